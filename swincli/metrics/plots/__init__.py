"""Plots: metrics of several runs over training, nearest reals of the fakes, power spectra."""
