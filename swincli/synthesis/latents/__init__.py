"""Latent codes (z, w, w+) of seeds and files, truncation, class labels, and directions in w."""
