"""Codes: z, w and w+ of seeds and files, truncation, classes, directions in w."""
