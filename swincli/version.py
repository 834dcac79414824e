"""The version of swincli."""

__version__ = "0.1.0"
