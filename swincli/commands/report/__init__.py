"""`swincli report`: `command` (help text), `request` (options and checks), `run` (the page or the Markdown)."""
