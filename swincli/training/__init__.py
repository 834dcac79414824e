"""Training: losses, schedules, the average of weights, states on disk, the loop and its report."""
