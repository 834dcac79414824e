"""Streams of uint8 images from any source, and the statistics computed from their features."""
