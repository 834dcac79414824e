"""Structured pruning of a trained generator: `mlp_units` removes units, `distillation` repairs the images."""
