"""Plots: metrics of several runs over training, nearest reals of the fakes, power spectra."""

PLOT_NOTE = "evaluate --plots"
"""Note of every plot; a plot with it may be replaced by another one."""
