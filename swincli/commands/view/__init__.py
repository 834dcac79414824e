"""`swincli view`: `command` (help text), `request` (options and checks), `run` (opening and serving)."""
