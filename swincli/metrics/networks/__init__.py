"""Pretrained networks (Inception, EfficientNet, TorchScript files, ST-LPIPS), their weights and input sizes."""
