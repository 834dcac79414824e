"""Walks through latent space: key frames, paths between them, frame times, and constant perceptual pace."""
