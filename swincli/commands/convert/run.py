"""`run`: what `swincli convert` converts, averages, prunes or exchanges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from swincli.commands.convert.remake import remake_model
from swincli.commands.convert.request import NAMED, ConvertRequest
from swincli.commands.typer_command import Result
from swincli.console import Console
from swincli.model.files.ancestry import to_notes, with_parent
from swincli.model.files.find_checkpoint import find_checkpoint
from swincli.model.files.model_file import read_snapshot, save_snapshot
from swincli.model.files.official import unsupported_by_release, write_original
from swincli.model.files.snapshot import PARTS
from swincli.system.overwrite import check_overwrite, check_utf8
from swincli.training.ema.posthoc import POOR_FIT, plan_reconstruction, write_reconstruction


def run(request: ConvertRequest, device: torch.device, console: Console) -> Result:
    """Convert a checkpoint, reconstruct an average, prune a model, or exchange its mixers.

    Args:
        request: Checked options.
        device: Where a model is pruned or distilled.
        console: Receives messages, warnings and progress.

    Raises:
        SwincliError: the input cannot be read, or the output cannot be written or exists.
    """
    check_overwrite([request.dest], force=request.force, reason="exists")
    check_utf8(request.dest)
    if request.ema_width is not None:
        return _reconstruct_ema(Path(request.source), request.dest, request.ema_width, request.at_count, console)
    if request.prune is not None or request.mixers is not None:
        return remake_model(request, device, console)
    return _convert_checkpoint(request.source, request.dest, request.images_seen_count, console)


def _reconstruct_ema(folder: Path, dest: Path, width: float, at: int | None, console: Console) -> Result:
    plan = plan_reconstruction(folder, width, at)
    seen, error, used = plan.wanted.images_seen, plan.solution.error, len(plan.needed)
    with console.progress("Mixing averages", used, "snapshots") as advance:
        write_reconstruction(plan, dest, advance)
    summary = f"EMA width {width:g} at {seen:,} images, from {used} snapshots; error of the profile: {error:.2%}"
    if error > POOR_FIT:
        console.warn(f"{summary}: the snapshots are too few or too far apart for this width")
    else:
        console.say(summary)
    facts = {"ema_width": width, "profile_error": error, "snapshots": used}
    return Result({"path": str(dest), "images_seen": seen, "parts": ["g_ema"], **facts}, [str(dest)])


def _convert_checkpoint(text: str, dest: Path, images_seen: int | None, console: Console) -> Result:
    source = find_checkpoint(text) if text.startswith(NAMED) else Path(text)
    snapshot = read_snapshot(source)
    snapshot = snapshot if images_seen is None else replace(snapshot, images_seen=images_seen)
    ancestors = with_parent(snapshot.ancestors, source, "convert", snapshot.images_seen)
    for ancestor in snapshot.ancestors:
        console.say(f"{source}: {ancestor}")
    if dest.suffix == ".pt":
        odd = unsupported_by_release(snapshot.recipe.model)
        if odd:
            keys = ", ".join(f"model.{key} = {getattr(snapshot.recipe.model, key)}" for key in odd)
            console.warn(f"the original code cannot build these networks ({keys}); only swincli reads the file")
        write_original(dest, snapshot)
    else:
        save_snapshot(dest, replace(snapshot, ancestors=ancestors))
    missing = [part for part in PARTS if part not in snapshot.parts]
    if missing:
        console.say(f"{dest} has no {', '.join(missing)}, because {source} has none")
    if not snapshot.images_seen:
        console.say(f"{source} does not say how many images it was trained on; give --images-seen N")
    facts = {"path": str(dest), "images_seen": snapshot.images_seen, "parts": snapshot.parts}
    return Result(facts | {"ancestors": to_notes(ancestors)}, [str(dest)])
