"""Logging of a run: live view, `stats.jsonl`, trackers (TensorBoard, W&B), sample grids."""
