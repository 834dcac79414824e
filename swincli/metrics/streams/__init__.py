"""Pictures of any source as streams of uint8 batches, and the features collected from them."""
