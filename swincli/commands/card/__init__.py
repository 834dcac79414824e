"""`swincli card`: `command` (help text), `request` (options and checks), `run` (the folder, and the push)."""
