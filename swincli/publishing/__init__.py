"""What leaves the machine: the report of a run as one page, and a model as a folder for a hub."""
