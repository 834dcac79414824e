"""`swincli prepare-data`: `command` (help text), `request` (options and checks), `run` (preparing, checking)."""
