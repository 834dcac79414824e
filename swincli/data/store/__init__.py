"""Stores of images: reading, writing (raw, encoded, StyleGAN zips), verifying."""
