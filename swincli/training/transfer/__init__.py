"""Starting from other weights: `train.init`, checkpoints of any kind, weights that match by name and shape."""
