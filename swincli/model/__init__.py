"""StyleSwin's two networks, and their weights as files."""
