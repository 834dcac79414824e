"""`swincli train`."""
