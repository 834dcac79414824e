"""Training: the loop, its phases and losses, EMA, training state, in-training metrics, logging."""
