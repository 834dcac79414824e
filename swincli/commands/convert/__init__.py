"""`swincli convert`: `command` (help text), `request` (options and checks), `run` (files), `prune` (smaller models)."""
