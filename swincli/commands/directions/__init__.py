"""`swincli directions`: `command` (help texts), `request` (options), `find`, `show` and `files` (the work)."""
