"""`swincli prepare-data`: from a source of pictures to a store, with labels, splits, deduplication and a report."""
