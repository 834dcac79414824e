"""`swincli export`: `command` (help text), `request` (options and checks), `run` (files)."""
