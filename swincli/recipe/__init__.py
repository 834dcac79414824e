"""The recipe: the one description of an experiment that every verb shares. Knows no torch.

`schema` says what a recipe may hold, `loading` reads one with everything it extends, `shipped` finds those that come
along.
"""

from swincli.recipe.loading import dump_recipe, load_recipe
from swincli.recipe.schema import Recipe

__all__ = ["Recipe", "dump_recipe", "load_recipe"]
