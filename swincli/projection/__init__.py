"""GAN inversion: the w or w+ whose image is closest to a picture, and a generator tuned around it (pivotal tuning)."""
