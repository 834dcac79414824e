"""Output files of a projection: code, image, comparison with the target; and its PSNR, SSIM and LPIPS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from swincli.data.images.digital_source import COMPOSITE
from swincli.metrics.networks.stlpips import SMALLEST, PerceptualDistance
from swincli.projection.networks import resize_for_network
from swincli.projection.psnr_ssim import psnr, ssim
from swincli.projection.targets import Target
from swincli.synthesis.figures.labelled_grid import GridLabels, draw_labelled_grid
from swincli.synthesis.latents.files import MODEL_NOTE, Latents, write_latents
from swincli.synthesis.output.provenance import NOTE, Output, save_image
from swincli.system.atomic_files import write_atomically
from swincli.units import format_json

RECORDS = "projections.json"
HASH_DIGITS = 12
MIN_FRAME = 256  # pixels; smaller video frames are enlarged


@dataclass(frozen=True)
class ProjectionFiles:
    """Output files of one picture."""

    latents: Output
    image: Output
    pair: Output
    video: Path

    @property
    def outputs(self) -> list[Output]:
        """The files that carry a note."""
        return [self.latents, self.image, self.pair]


@dataclass(frozen=True)
class Similarity:
    """Similarity of an image and its target.

    Attributes:
        psnr: In dB.
        ssim: At most 1.
        perceptual: Shift-tolerant LPIPS, at least 0; None if its weights are not installed.
    """

    psnr: float
    ssim: float
    perceptual: float | None


def projection_files(out: Path, target: Target, settings: str) -> ProjectionFiles:
    """Output files of a picture, with the settings and the picture's hash in their notes."""
    note = f"{settings} picture={target.digest[:HASH_DIGITS]}"
    image, pair = _image_and_pair(out, target.stem, note)
    return ProjectionFiles(Output(out / f"{target.stem}.npz", note), image, pair, out / f"{target.stem}-search.mp4")


def tuned_files(out: Path, target: Target, note: str) -> tuple[Output, Output]:
    """Files of the tuned model's image, and of target, untuned and tuned image side by side."""
    return _image_and_pair(out, f"{target.stem}-tuned", note)


def _image_and_pair(out: Path, stem: str, note: str) -> tuple[Output, Output]:
    """Files of an image of the model, and of one that shows the user's picture too."""
    return Output(out / f"{stem}.png", note), Output(out / f"{stem}-pair.png", note, COMPOSITE)


def save_projection(files: ProjectionFiles, target: Target, code: Tensor, picture: Tensor, identity: str) -> None:
    """Write the files of one picture, the code last.

    Args:
        files: The files.
        target: The picture.
        code: w `[latent_dim]` or w+ `[L, latent_dim]`.
        picture: The image of the code, uint8 `[size, size, 3]`.
        identity: The model's identity, from `model_identity`.

    Raises:
        ResourceError: a file cannot be written.
    """
    save_image(files.image, picture)
    save_image(files.pair, _side_by_side(target, {"projection": picture}))
    latents = Latents("w" if code.ndim == 1 else "w_plus", code[None])
    write_latents(files.latents.path, latents, {MODEL_NOTE: identity, NOTE: files.latents.note})


def save_tuned(image: Output, pair: Output, target: Target, before: Tensor, after: Tensor) -> None:
    """Write the tuned model's image `after`, and target, `before` and `after` side by side.

    Raises:
        ResourceError: a file cannot be written.
    """
    save_image(image, after)
    save_image(pair, _side_by_side(target, {"projection": before, "tuned": after}))


def _side_by_side(target: Target, pictures: Mapping[str, Tensor]) -> Tensor:
    captions = ["", *(f"{psnr(picture, target.picture):.1f} dB" for picture in pictures.values())]
    shown = [target.picture, *pictures.values()]
    return draw_labelled_grid(shown, len(shown), GridLabels(columns=("target", *pictures), captions=captions))


def video_frame(target: Target, picture: Tensor) -> Tensor:
    """A video frame: target and image side by side, uint8 `[H, W, 3]`."""
    scale = max(1, -(-MIN_FRAME // len(picture)))
    both = torch.cat([target.picture, picture], dim=1)
    return both.repeat_interleave(scale, dim=0).repeat_interleave(scale, dim=1)


@torch.no_grad()
def measure_similarity(
    target: Target, picture: Tensor, distance: PerceptualDistance | None, device: torch.device
) -> Similarity:
    """Similarity of an image, uint8 `[size, size, 3]`, and its target; the network is on `device`."""
    perceptual = None
    if distance is not None:
        pair = torch.stack([picture, target.picture]).to(device).permute(0, 3, 1, 2) / 127.5 - 1
        one, other = resize_for_network(pair, SMALLEST).split(1)
        perceptual = distance(one, other).item()
    return Similarity(psnr(picture, target.picture), ssim(picture, target.picture), perceptual)


def save_records(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Add results to a file; a result with the same `latents` path is replaced.

    Raises:
        ResourceError: the file cannot be written.
    """
    records = {str(entry["latents"]): entry for entry in [*_read_records(path), *results]}
    text = format_json({"results": list(records.values())}, indent=1) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def are_records(path: Path) -> bool:
    """Whether a file holds results of earlier calls."""
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8"))["results"], list)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _read_records(path: Path) -> list[dict[str, Any]]:
    """Results of earlier calls; none if the file is damaged, as they can be measured again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["results"]
        return [entry for entry in found if "latents" in entry]
    except (OSError, ValueError, KeyError, TypeError):
        return []
