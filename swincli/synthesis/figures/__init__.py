"""Many images in one picture: grids, labelled grids, attention maps, style mixing, sweeps along directions."""
