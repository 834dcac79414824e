"""The discriminators: a registry, StyleSwin's wavelet discriminator, residual ones, and their shared epilogue."""
