"""One file a metric: FID, KID, precision/recall/density/coverage, IS, FID infinity, spectrum, memorization, PPL."""
