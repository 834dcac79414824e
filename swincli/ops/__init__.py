"""Tensor operations without modules: FIR filters, wavelets, window attention, normalisation, and CPU tiling."""
