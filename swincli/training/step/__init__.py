"""One training step: mini-batch, losses, phases (D, R1, G), optimisers, and how they run on a device or under DDP."""
