"""`swincli.load_model`, and the model that it returns: codes in, images out, as numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from swincli.commands.model_options import open_model, read_truncation
from swincli.errors import UsageError
from swincli.model.files.model_file import Model
from swincli.synthesis.latents.codes import codes_of_z
from swincli.synthesis.latents.edits import Amount, open_edits
from swincli.synthesis.latents.texts import read_texts
from swincli.synthesis.sample_set import render_samples, seed_samples
from swincli.synthesis.sampling import render_all, sampling_batch
from swincli.system import runtime

Labels = Mapping[str, str | float | bool | Sequence[str]]
"""Values of attributes by name."""


class LoadedModel:
    """A trained generator, ready to draw images. Made by `swincli.load_model`.

    Attributes:
        core: The loaded networks and all that belongs to them, for code that goes deeper.
    """

    def __init__(self, core: Model) -> None:
        self.core = core

    def __repr__(self) -> str:
        return f"<swincli model {self.path}: {self.resolution} px, {self.images_seen:,} images seen, {self.device}>"

    @property
    def path(self) -> Path:
        """The file that it was read from."""
        return self.core.path

    @property
    def resolution(self) -> int:
        """Side of its images in pixels."""
        return self.core.recipe.model.size

    @property
    def latent_dim(self) -> int:
        """Numbers in one w."""
        return self.core.recipe.model.latent_dim

    @property
    def num_ws(self) -> int:
        """Codes of one image in w+."""
        return self.core.recipe.model.num_ws

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of its classes; None for an unconditional model."""
        return None if self.core.classes is None else self.core.classes.names

    @property
    def attributes(self) -> tuple[dict[str, Any], ...] | None:
        """Names, kinds, values and ranges of its attributes; None for a model without any."""
        return None if self.core.attributes is None else tuple(one.as_dict() for one in self.core.attributes.each)

    @property
    def images_seen(self) -> int:
        """Images that it was trained on, repetitions included."""
        return self.core.images_seen

    @property
    def ancestors(self) -> tuple[str, ...]:
        """The models that it was made from and how, the oldest first, such as "fine-tuned from ffhq256.safetensors"."""
        return tuple(map(str, self.core.ancestors))

    @property
    def device(self) -> str:
        """Where it runs, such as "cpu" or "cuda:0"."""
        return str(self.core.device)

    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float = 1.0,
        truncation_layers: int | None = None,
        truncation_centres: int | None = None,
        classes: str | int | None = None,
        labels: Labels | None = None,
        texts: Sequence[str] | None = None,
        guidance: float = 1.0,
        batch: int | None = None,
        preview: int | None = None,
    ) -> NDArray[np.uint8]:
        """Images of seeds, the same bytes as `swincli sample --seeds ...` writes.

        Args:
            seeds: One image each, 0 to 2^32 - 1.
            truncation: Below 1: more typical, less varied images (Karras et al., 2019, appendix B).
            truncation_layers: Truncate only the first N codes of w+.
            truncation_centres: Truncate towards the nearest of K cluster centres of w.
            classes: Of a conditional model, a class by name or number, or several as "cat,dog"; each seed then gives
                one image of every class, class by class. By default a class is drawn for each seed.
            labels: Of a model with attributes, values by name, such as {"hair": "red", "glasses": True, "age": 30}, a
                list for one of several values. Others are drawn as they occur together in training.
            texts: Of a model of texts: each seed gives one image of every text, text by text. By default the captions
                of training images are drawn.
            guidance: Of a model of texts: above 1, more of the text and less variety.
            batch: Images at once; as many as fit a modest machine or half of the GPU by default.
            preview: Draw the running image at this side, such as 64, enlarged to H x W. Levels above are left out.

        Returns:
            uint8 `[N, H, W, 3]`, RGB.

        Raises:
            ResourceError: a text needs the sentence encoder, which is not installed.
            UsageError: no such class, attribute or value, no texts, a truncation that cannot be, or a preview of a
                side that the image never has.
        """
        cut = read_truncation(self.core, truncation, truncation_layers, truncation_centres, guidance)
        found = None if texts is None else read_texts(self.core, texts, "texts")
        drawing = seed_samples(self.core, list(seeds), _wanted(classes, labels), cut, found)
        most = batch or sampling_batch(self.core.recipe.model, self.core.device)
        chosen, batch = range(len(drawing)), min(most, max(1, len(drawing)))
        return self._gather(render_samples(self.core, drawing, chosen, batch, preview))

    def map(
        self,
        seeds: Sequence[int] | None = None,
        *,
        z: ArrayLike | None = None,
        truncation: float = 1.0,
        classes: str | int | None = None,
        labels: Labels | None = None,
    ) -> NDArray[np.float32]:
        """w of seeds, or of given z.

        Args:
            seeds: One w each.
            z: Instead of seeds: float `[N, latent_dim]`, standard normal. Unconditional models only.
            truncation: Moves w towards the mean w (of its class); 1 leaves it as it is.
            classes: As in `sample`.
            labels: As in `sample`.

        Returns:
            float32 `[N, latent_dim]`.

        Raises:
            UsageError: neither or both of seeds and z, z of another shape, z for a conditional model, no such class.
        """
        if (seeds is None) == (z is None):
            raise UsageError("map: give either seeds or z", "For example model.map(seeds=[1, 2])")
        cut = read_truncation(self.core, truncation, None, None)
        if seeds is not None:
            drawing = seed_samples(self.core, list(seeds), _wanted(classes, labels), cut)
            count = len(drawing)
            parts = [drawing.codes(range(start, min(start + 256, count))) for start in range(0, count, 256)]
            w_plus = torch.cat(parts) if parts else torch.empty(0, 1, self.latent_dim)
        else:
            if self.core.is_conditional:
                raise UsageError("map: z alone does not decide w of a conditional model", "Give seeds and classes.")
            w_plus = codes_of_z(self.core, self._codes(z, (2,)), cut)
        return np.asarray(w_plus[:, 0].cpu().numpy(), np.float32)

    def synthesise(self, w: ArrayLike, *, batch: int | None = None, preview: int | None = None) -> NDArray[np.uint8]:
        """Images of codes.

        Where neighbouring batches have the same first codes, row by row, their levels are computed once on a CPU. With
        `batch=1`, a walk that moves only the last codes of w+ saves most. The images are the same to the bit.

        Args:
            w: w `[N, latent_dim]` or w+ `[N, num_ws, latent_dim]`, such as `map` returns or `project` saves.
            batch: Images at once; as many as fit a modest machine or half of the GPU by default.
            preview: As in `sample`.

        Returns:
            uint8 `[N, H, W, 3]`, RGB.

        Raises:
            UsageError: codes of another shape, or a preview of a side that the image never has.
        """
        codes = self._codes(w, (2, 3))
        w_plus = codes if codes.ndim == 3 else self.core.generator.broadcast(codes)
        step = batch or sampling_batch(self.core.recipe.model, self.core.device)
        parts = (part for part in w_plus.split(step) if len(part))
        return self._gather(render_all(self.core, parts, preview=preview))

    def edit(self, w: ArrayLike, edits: Mapping[str, float]) -> NDArray[np.float32]:
        """Codes moved along directions of `swincli directions`.

        Args:
            w: w `[N, latent_dim]` or w+ `[N, num_ws, latent_dim]`.
            edits: Steps by the name or file of a direction, in standard deviations, such as `{"smile": 1.5}`.

        Returns:
            w+ `[N, num_ws, latent_dim]`, for `synthesise`.

        Raises:
            UsageError: the model has no such direction, it moves style channels, or codes of another shape.
            DataError: a direction of another model.
        """
        codes = self._codes(w, (2, 3))
        moved = open_edits(self.core, [[Amount(str(name), float(steps)) for name, steps in edits.items()]])
        if moved.editor.moves_channels:
            raise UsageError("edit: style channels are no codes of w+", "Draw them with `swincli sample --edit`.")
        w_plus = codes if codes.ndim == 3 else self.core.generator.broadcast(codes)
        return np.asarray(moved.editor.move(w_plus, moved.steps[0]).cpu().numpy(), np.float32)

    def _codes(self, values: Any, dims: tuple[int, ...]) -> Tensor:
        codes = torch.as_tensor(np.asarray(values, np.float32), device=self.core.device)
        whole = codes.ndim != 3 or codes.shape[1] == self.num_ws
        if codes.ndim not in dims or codes.shape[-1] != self.latent_dim or not whole:
            wanted = {2: f"[N, {self.latent_dim}]", 3: f"[N, {self.num_ws}, {self.latent_dim}]"}
            shapes = " or ".join(wanted[number] for number in dims)
            raise UsageError(f"codes of shape {list(codes.shape)}: this model takes {shapes}")
        return codes

    def _gather(self, parts: Iterator[Tensor]) -> NDArray[np.uint8]:
        images = [part.numpy() for part in parts]
        return np.concatenate(images) if images else np.empty((0, self.resolution, self.resolution, 3), np.uint8)


def _wanted(classes: str | int | None, labels: Labels | None) -> str | list[str] | None:
    """Labels as `describe_seeds` takes them."""
    if classes is not None and labels:
        raise UsageError("classes, labels: a model has classes or attributes", "Give one of them.")
    if labels:
        return [f"{name}={_spelled(value)}" for name, value in labels.items()]
    return None if classes is None else str(classes)


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "+".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)


def load_model(
    source: str | PathLike[str] | None = None, device: str = "auto", *, tuned: str | PathLike[str] | None = None
) -> LoadedModel:
    """A model, as `--checkpoint` takes it.

    PyTorch is set up as for the commands: float32 without TF32, denormal numbers flushed to zero. So a seed gives the
    same bytes as with `swincli sample`.

    Args:
        source: A run folder (its newest model), a `.safetensors` file, an original `.pt` checkpoint, `builtin:NAME`, or
            `hf:OWNER/NAME` of a hub; None for the newest run under `runs/`.
        device: "auto" takes CUDA, then MPS, then the CPU.
        tuned: Apply the tuned weights that `swincli project --tune` wrote.

    Raises:
        CheckpointError: no such model, or a damaged one.
        ResourceError: the machine has no such device.
    """
    runtime.configure()
    place = runtime.choose_device(device)
    path = None if source is None else str(source)
    return LoadedModel(open_model(path, place, None if tuned is None else Path(tuned)))


def as_loaded(model: LoadedModel | str | PathLike[str]) -> LoadedModel:
    """The model itself, or the one that `load_model` opens."""
    return model if isinstance(model, LoadedModel) else load_model(model)
