"""The parity vectors: the release's weights, and what the release computed with them.

They are beside a checkout, in `../shared/parity`.
"""

from __future__ import annotations

import importlib.util
import json
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from shared_material import PARITY

from swincli.model.discriminators.wavelet import WaveletDiscriminator
from swincli.model.files.official import discriminator_names, generator_names
from swincli.model.generator import Generator
from swincli.model.meta_init import meta_init
from swincli.recipe.schema import ModelSection

Weights = dict[str, NDArray[Any]]


class ParityCase:
    """The networks of one size.

    Args:
        size: 64 or 256.
    """

    def __init__(self, size: int) -> None:
        self.manifest: dict[str, Any] = json.loads((PARITY / f"manifest_{size}.json").read_text())
        self.vectors: Weights = dict(np.load(PARITY / f"vectors_{size}.npz"))
        self.config = ModelSection(
            size=size,
            g_multiplier=self.manifest["g_channel_multiplier"],
            d_multiplier=self.manifest["d_channel_multiplier"],
            spectral_norm=self.manifest["spectral_norm"],
        )

    @cached_property
    def g_weights(self) -> Weights:
        """G's weights by the release's names."""
        return self._filled("g_ema")

    @cached_property
    def d_weights(self) -> Weights:
        """D's weights by the release's names."""
        return self._filled("d")

    def generator(self, dtype: torch.dtype) -> Generator:
        """Our G with the release's weights, in eval mode and without gradients."""
        with meta_init():
            network = Generator(self.config)
        return self._loaded(network, generator_names(self.config), self.g_weights, dtype)

    def discriminator(self, dtype: torch.dtype) -> WaveletDiscriminator:
        """Our D with the release's weights, in eval mode and without gradients."""
        with meta_init():
            network = WaveletDiscriminator(self.config)
        return self._loaded(network, discriminator_names(self.config), self.d_weights, dtype)

    def images(self) -> torch.Tensor:
        """The images that the release's D was given, float32 `[4, 3, size, size]`."""
        random = np.random.RandomState(7)
        random.standard_normal((2, 512))
        side = self.config.size
        return torch.from_numpy(random.uniform(-2, 2, (4, 3, side, side)).astype(np.float32))

    def _filled(self, part: str) -> Weights:
        """The release's fill. Its 200 steps of power iteration run on W Wᵀ here, in a tenth of the time."""
        release, entries, salt = _official_fill(), self.manifest[part], self.manifest["salt"]
        filled: Weights = release.fill({key: entry for key, entry in entries.items() if entry["kind"] != "sn_u"}, salt)
        for key in (key for key, entry in entries.items() if entry["kind"] == "sn_u"):
            stem = key.removesuffix("weight_u")
            weight = filled[stem + "weight_orig"].astype(np.float64)
            matrix = weight.reshape(len(weight), -1)
            square, u = matrix @ matrix.T, release._normal(salt + key, [len(weight)])
            for _ in range(199):
                u = square @ u
                u /= np.linalg.norm(u)
            v = matrix.T @ u
            v /= np.linalg.norm(v)
            u = matrix @ v
            u /= np.linalg.norm(u)
            filled[key], filled[stem + "weight_v"] = u.astype(np.float32), v.astype(np.float32)
        return filled

    @staticmethod
    def _loaded(network: Any, names: dict[str, str], weights: Weights, dtype: torch.dtype) -> Any:
        state = {name: torch.tensor(weights[theirs], dtype=dtype) for name, theirs in names.items()}
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False)


def _official_fill() -> ModuleType:
    spec = importlib.util.spec_from_file_location("official_fill", PARITY / "official_fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
