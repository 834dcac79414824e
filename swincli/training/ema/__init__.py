"""Moving averages of G: the plain EMA, power-function EMAs (Karras et al., 2024), and post-hoc reconstruction."""
