"""Definitions of the metrics on arrays, one file each: FID, FID∞, KID, PRDC, IS, PPL, spectrum, memorization."""
