"""Models on disk: `.safetensors` files, snapshots of a training, tuned weights, and `official/` for `.pt` files."""
