"""`swincli interpolate`: `command` (help text), `request` (options and checks), `run` (making the video)."""
