"""The layers that the networks are built of: attention, MLP, style injection, positions, labels."""
