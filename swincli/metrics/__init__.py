"""Metrics: FID, KID, precision/recall, density/coverage, IS, PPL and others, between fakes and real images.

Each side goes once through a detector, then every metric is computed from what was kept. `streams` reads the images,
`networks` resizes them and extracts features, `definitions` holds one file per metric, `confidence` adds 95 % intervals
and `plots` draws. `registry` has one row per metric; `evaluate` runs everything and `protocol` records how.
"""
