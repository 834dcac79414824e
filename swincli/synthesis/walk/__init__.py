"""Walks through latent space: key frames, paths between them, timing, and pace by perceived distance."""
