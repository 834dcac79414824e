"""Model files: `.safetensors` models, full checkpoints, tuned weights, and `official/` for the release's `.pt`."""
