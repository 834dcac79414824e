"""What D sees: training flips, bCR, DiffAugment and ADA, and the probability of their transforms."""
