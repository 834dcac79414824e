"""What a run reports: the live view, `stats.jsonl`, TensorBoard, W&B, sample grids."""
