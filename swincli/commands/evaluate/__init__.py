"""`swincli evaluate`: `command` (help text), `request` (options and checks), `run` (measuring), `tables` (stderr)."""
