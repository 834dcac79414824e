"""95 % confidence intervals of all metrics: bootstrap, jackknife and Wilson intervals."""
