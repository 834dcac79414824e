"""Recipes: TOML files that describe an experiment completely. Imports neither PyTorch nor NumPy.

`schema` defines sections and keys, `loading` reads a file and the recipes it extends, `shipped` finds the recipes that
come with swincli.
"""

from swincli.recipe.loading import dump_recipe, load_recipe
from swincli.recipe.schema import Recipe

__all__ = ["Recipe", "dump_recipe", "load_recipe"]
