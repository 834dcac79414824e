"""From seeds to pictures: latents, truncation, sampling and grids."""
