"""Token mixers: what stands between the two norms of a block."""
