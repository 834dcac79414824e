"""Building blocks of G and D: attention, MLP, adaptive norms, style injection, position encodings, class labels."""
