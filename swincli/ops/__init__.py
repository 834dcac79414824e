"""Fixed linear operations on images: FIR filters and wavelets. Differentiable any number of times."""
