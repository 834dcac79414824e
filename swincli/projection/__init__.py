"""From pictures back to codes: the w or w+ whose image comes closest to a picture, and a generator tuned around it."""
