"""Measuring: two sides of pictures go once through a detector, then every metric asked for is computed from that.

`streams` brings the pictures, `resizing` and `detectors` make features of them, `features` gathers these (with
`moments`), `reference` remembers the real side, `table` lists the metrics, `evaluation` puts it together and `protocol`
records how it was done. A new metric is one file and one row in `table`.
"""
