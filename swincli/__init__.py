"""swincli: train, sample, explore and measure StyleSwin (Zhang et al., CVPR 2022).

The Python face. `import swincli` loads nothing; each name loads what it needs when it is first used.

    model = swincli.load_model("runs/quickstart")
    images = model.sample(seeds=[1, 2, 3], truncation=0.7)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from swincli.version import __version__

if TYPE_CHECKING:
    from swincli.api.evaluate import evaluate
    from swincli.api.export import export
    from swincli.api.files import load_recipe, load_store
    from swincli.api.model import LoadedModel, load_model
    from swincli.api.project import project
    from swincli.data.store.reader import Store
    from swincli.errors import SwincliError
    from swincli.recipe import Recipe

__all__ = [
    "LoadedModel",
    "Recipe",
    "Store",
    "SwincliError",
    "__version__",
    "evaluate",
    "export",
    "load_model",
    "load_recipe",
    "load_store",
    "project",
]

_HOMES = {
    "LoadedModel": "swincli.api.model",
    "Recipe": "swincli.recipe",
    "Store": "swincli.data.store.reader",
    "SwincliError": "swincli.errors",
    "evaluate": "swincli.api.evaluate",
    "export": "swincli.api.export",
    "load_model": "swincli.api.model",
    "load_recipe": "swincli.api.files",
    "load_store": "swincli.api.files",
    "project": "swincli.api.project",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'swincli' has no attribute {name!r}")
    import_module("swincli.system.openmp").prepare_environment()
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # the next look finds it at once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
