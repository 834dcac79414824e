"""swincli: train, sample, explore and measure StyleSwin (Zhang et al., CVPR 2022)."""

__version__ = "0.1.0"
