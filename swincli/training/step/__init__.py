"""One training step: batches, losses, phases (D, R1, G), and how they run on devices and processes."""
