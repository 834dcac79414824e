"""The files of a projection: its code, its image, target and image side by side; and the figures of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swincli.metrics.networks.stlpips import SMALLEST, PerceptualDistance
from swincli.projection.networks import of_fitting_size
from swincli.projection.quality import psnr, ssim
from swincli.projection.targets import Target
from swincli.synthesis.figures.labelled_grid import Words, label_pictures
from swincli.synthesis.latents.files import MODEL_NOTE, Latents, write_latents
from swincli.synthesis.output.provenance import NOTE, Output, save_image
from swincli.system.atomic_files import write_atomically

RECORDS = "projections.json"
HASH_DIGITS = 12
FRAME = 256  # smaller frames of a video are enlarged to this


@dataclass(frozen=True)
class Files:
    """Where the projection of one picture goes."""

    latents: Output
    image: Output
    pair: Output
    video: Path

    @property
    def outputs(self) -> list[Output]:
        """Those with notes in them."""
        return [self.latents, self.image, self.pair]


@dataclass(frozen=True)
class Figures:
    """How close an image is to its target.

    Attributes:
        psnr: In decibels.
        ssim: At most 1.
        perceptual: Shift-tolerant LPIPS, at least 0; None where its weights are not there.
    """

    psnr: float
    ssim: float
    perceptual: float | None


def files_of(out: Path, target: Target, settings: str) -> Files:
    """The files of a picture's projection, with notes of all that decides what is in them."""
    note = f"{settings} picture={target.digest[:HASH_DIGITS]}"
    image, pair = (Output(out / f"{target.stem}{end}.png", note) for end in ("", "-pair"))
    return Files(Output(out / f"{target.stem}.npz", note), image, pair, out / f"{target.stem}-search.mp4")


def tuned_files_of(out: Path, target: Target, note: str) -> tuple[Output, Output]:
    """The image of the tuned model, and target, first image and this one side by side."""
    image, pair = (Output(out / f"{target.stem}-tuned{end}.png", note) for end in ("", "-pair"))
    return image, pair


def save_projection(files: Files, target: Target, code: Tensor, picture: Tensor, identity: str) -> None:
    """Write the files of one picture, the code last.

    Args:
        files: Where they go.
        target: The picture.
        code: w `[latent_dim]` or w+ `[L, latent_dim]`.
        picture: The image that it gives, uint8 `[size, size, 3]`.
        identity: Of the model, from `model_identity`.

    Raises:
        ResourceError: a file cannot be written.
    """
    save_image(files.image, picture)
    save_image(files.pair, _side_by_side(target, {"projection": picture}))
    latents = Latents("w" if code.ndim == 1 else "w_plus", code[None])
    write_latents(files.latents.path, latents, {MODEL_NOTE: identity, NOTE: files.latents.note})


def save_tuned(image: Output, pair: Output, target: Target, before: Tensor, after: Tensor) -> None:
    """Write the image of the tuned model, and the picture, the image before and the one after side by side.

    Raises:
        ResourceError: a file cannot be written.
    """
    save_image(image, after)
    save_image(pair, _side_by_side(target, {"projection": before, "tuned": after}))


def _side_by_side(target: Target, pictures: Mapping[str, Tensor]) -> Tensor:
    captions = ["", *(f"{psnr(picture, target.picture):.1f} dB" for picture in pictures.values())]
    shown = [target.picture, *pictures.values()]
    return label_pictures(shown, len(shown), Words(columns=("target", *pictures), captions=captions))


def frame_of(target: Target, picture: Tensor) -> Tensor:
    """A frame of a video: target and image side by side, uint8 `[H, W, 3]`."""
    scale = max(1, -(-FRAME // len(picture)))
    both = torch.cat([target.picture, picture], dim=1)
    return both.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)


@torch.no_grad()
def measure(target: Target, picture: Tensor, distance: PerceptualDistance | None, device: torch.device) -> Figures:
    """How close an image, uint8 `[size, size, 3]`, is to its target; the network is on `device`."""
    perceptual = None
    if distance is not None:
        pair = torch.stack([picture, target.picture]).to(device).permute(0, 3, 1, 2) / 127.5 - 1
        one, other = of_fitting_size(pair, SMALLEST).split(1)
        perceptual = distance(one, other).item()
    return Figures(psnr(picture, target.picture), ssim(picture, target.picture), perceptual)


def save_records(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Add results to those in a file, by their latents; those of the same latents are replaced.

    Raises:
        ResourceError: the file cannot be written.
    """
    records = {str(entry["latents"]): entry for entry in [*_read_records(path), *results]}
    text = json.dumps({"results": list(records.values())}, indent=1) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _read_records(path: Path) -> list[dict[str, Any]]:
    """What an earlier call has recorded; nothing where the file is damaged, as all of it can be measured again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["results"]
        return [entry for entry in found if "latents" in entry]
    except (OSError, ValueError, KeyError, TypeError):
        return []
