"""Feature networks (Inception, EfficientNet, TorchScript, shift-tolerant LPIPS), their weights and input sizes."""
