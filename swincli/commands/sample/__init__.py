"""`swincli sample`: `command` (help text), `request` (options and checks), `run` (drawing and writing).

`plan` lists every file before anything is drawn; `pages` makes the attention and sweep pages of single images.
"""
