"""Checkpoints of the original release (microsoft/StyleSwin): their names, reading them safely, and writing them."""

from swincli.model.files.official.layout import discriminator_names, generator_names
from swincli.model.files.official.reading import is_original, read_original
from swincli.model.files.official.writing import unlike_the_release, write_original

__all__ = [
    "discriminator_names",
    "generator_names",
    "is_original",
    "read_original",
    "unlike_the_release",
    "write_original",
]
