"""Figures of several images: grids, labelled grids, attention maps, style mixing, sweeps along directions."""
