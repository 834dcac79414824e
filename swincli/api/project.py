"""`swincli.project`: the result of `swincli project --json`, for a model that is already loaded."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from swincli.api.model import LoadedModel, as_loaded
from swincli.commands.project.request import ProjectRequest
from swincli.commands.project.run import run
from swincli.console import Console


def project(
    model: LoadedModel | str | PathLike[str],
    pictures: Sequence[str | PathLike[str]],
    *,
    out: str | PathLike[str] = "projections",
    crop: Literal["center", "none"] = "center",
    space: Literal["w", "w+"] = "w",
    steps: int = 1000,
    loss: str | None = None,
    seed: int = 0,
    tune: bool = False,
    tune_steps: int | None = None,
    video: bool = False,
    batch: int | None = None,
    force: bool = False,
    quiet: bool = True,
) -> dict[str, Any]:
    """Find the codes of pictures, as `swincli project` does. Files that exist with the same settings are kept.

    Args:
        model: A model of `swincli.load_model`, or what that takes.
        pictures: Paths of picture files, or of folders or zips of them.
        out: Folder of the files: for each picture the codes NAME.npz, the image NAME.png, and both side by side.
        crop: "center" cuts out the largest central square, "none" accepts only square pictures.
        space: "w" `[latent_dim]` stays close to generated images, "w+" `[num_ws, latent_dim]` gets closer to a picture.
        steps: Optimisation steps.
        loss: Network of the perceptual loss, as after `--loss`.
        seed: Seed of the noise.
        tune: Also fine-tune the generator to the pictures (pivotal tuning: Roich et al., 2021).
        tune_steps: Fine-tuning steps per batch; default: 350. Only with `tune`.
        video: Also write a video of the optimisation.
        batch: Pictures per batch.
        force: Overwrite files that were made with other settings.
        quiet: Print nothing but warnings, which go to stderr.

    Returns:
        The object of `swincli project --json`: "results" has one entry per picture: "latents", "image", "psnr" in dB,
        "ssim", "perceptual" and more. "tuned" is the file of tuned weights or None, "records" the file of all results.

    Raises:
        SwincliError: a picture or the model cannot be read, a file with other settings exists, or `tune_steps` is given
            without `tune`.
    """
    request = ProjectRequest(
        images=[str(picture) for picture in pictures],
        crop=crop,
        space=space,
        steps=steps,
        loss=loss,
        seed=seed,
        tune=tune,
        tune_steps=ProjectRequest.tune_steps if tune_steps is None else tune_steps,
        out=Path(out),
        video=video,
        batch=batch,
        force=force,
        given=() if tune_steps is None else ("--tune-steps",),
    )
    request.check()
    core = as_loaded(model).core
    return run(request, core.device, Console(quiet=quiet), model=core).facts
