"""The discriminators: a registry, the wavelet one of StyleSwin, residual ones, and the head that they share."""
