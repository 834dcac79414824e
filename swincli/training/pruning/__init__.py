"""Smaller and other networks from a trained generator: `smaller_model` removes units and heads, `mixer_exchange`
exchanges mixers, and `distillation` repairs the images."""
