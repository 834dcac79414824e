"""Pretrained networks of pip packages: EfficientNet-Lite0, and how weights are found, checked and loaded."""
