"""`swincli project`: `command` (the options), `request` (what they ask for, checked), `run` (what is done).

`perception` chooses the network of the perceptual loss.
"""
