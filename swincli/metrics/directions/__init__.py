"""Directions with names: how they are found, and the numbers about them."""
