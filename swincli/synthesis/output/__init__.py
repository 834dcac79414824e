"""Files: images that carry their provenance, archives, videos, folders of frames."""
