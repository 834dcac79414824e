"""`swincli project`: `command` (help text), `request` (options), `run` (optimising and writing), `tables` (stderr).

`perception` chooses the network of the perceptual loss.
"""
