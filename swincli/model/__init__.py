"""StyleSwin's generator and discriminators, and model files."""
