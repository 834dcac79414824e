"""`swincli evaluate`: `command` (the options), `request` (what they ask for, checked), `run` (what is done)."""
