"""Augmentation on the device: horizontal flips, and the transforms of bCR."""
