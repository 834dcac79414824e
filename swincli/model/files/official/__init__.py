"""Checkpoints of the original release (microsoft/StyleSwin): key names, safe reading, and writing."""

from swincli.model.files.official.layout import discriminator_names, generator_names
from swincli.model.files.official.reading import is_original, read_original
from swincli.model.files.official.writing import unsupported_by_release, write_original

__all__ = [
    "discriminator_names",
    "generator_names",
    "is_original",
    "read_original",
    "unsupported_by_release",
    "write_original",
]
