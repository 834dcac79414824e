"""From seeds or codes to images: latents, truncation, sampling, attention maps, figures, walks and output files."""
