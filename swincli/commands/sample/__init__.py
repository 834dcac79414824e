"""`swincli sample`: `command` (the options), `request` (what they ask for, checked), `run` (what is done).

Between request and run stand `plan` (every file that will be written) and `pages` (pictures of single images).
"""
