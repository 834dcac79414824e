"""Plots of metrics: runs compared, nearest training pictures, radial spectra."""
