"""Output files: images with provenance notes, archives, videos, folders of frames."""
