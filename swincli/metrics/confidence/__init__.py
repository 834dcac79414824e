"""95 % confidence intervals of every metric, and the bootstrap behind most of them."""
