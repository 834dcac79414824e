"""`prepare-data`: from a source of pictures to a store, with labels, splits, duplicates and a report."""
