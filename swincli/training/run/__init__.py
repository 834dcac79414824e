"""The run folder: its files, the training state, signals that stop a run, messages for a full memory."""
