"""One training run: its folder, training state, running statistics, stop signals, out-of-memory hints."""
