"""EMA of G's weights: the plain one, power-function EMAs (Karras et al., 2024), and post-hoc reconstruction."""
