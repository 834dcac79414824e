"""What the machine and the launcher give: processes, devices, cores, memory limits, files, the cache folder."""
