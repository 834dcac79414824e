"""The release's command line arguments, which its checkpoints store: from arguments to a recipe, and back."""

from __future__ import annotations

import argparse
from typing import Any

from pydantic import ValidationError

from swincli.model.config_diff import differing_keys
from swincli.recipe import Recipe, load_recipe
from swincli.recipe.schema import ModelSection
from swincli.recipe.shipped import find_shipped

PUBLISHED = ("ffhq256", "celebahq256", "church256", "ffhq1024", "celebahq1024")
PROCESSES = 8  # in every published run; a checkpoint records only whether there was more than one
EMA_DECAY = 0.5 ** (32 / 10_000)  # per step, whatever the batch size
IMAGES_SEEN = "images_seen"  # not an argument of the release; written if nothing else gives the number
Arguments = dict[str, Any]


def plain_arguments(value: Any) -> Arguments:
    """The plain values of a namespace by name; an empty dict for anything but a namespace."""
    if not isinstance(value, argparse.Namespace):
        return {}
    plain = (str, int, float, type(None))  # bool is an int
    return {name: entry for name, entry in vars(value).items() if isinstance(entry, plain)}


def images_seen(name: str, arguments: Arguments, steps: int, batch: int) -> int:
    """Images that a checkpoint was trained for: the number that swincli noted, or steps x batch.

    Args:
        name: The file name without its suffix; the release names files by the step.
        arguments: The checkpoint's arguments.
        steps: Steps of G's optimiser, used if the name is not a number.
        batch: Images per step over all processes.
    """
    noted = _number(arguments, IMAGES_SEEN)
    return int(noted) if noted is not None else steps_taken(name, steps) * batch


def steps_taken(name: str, steps: int) -> int:
    """Steps that a checkpoint was trained for: the file name if it is a number, else the optimiser's steps."""
    return int(name) if name.isascii() and name.isdigit() else steps


def recipe_of(arguments: Arguments, model: ModelSection, steps: int) -> Recipe:
    """The training recipe of a checkpoint, as far as its arguments determine it.

    If a published recipe has the same networks and agrees with all arguments, it is that recipe. Otherwise the
    arguments override the defaults.
    """
    settings = _settings(arguments, steps)
    for name in PUBLISHED if {"total", "batch"} <= settings["train"].keys() else ():
        path = find_shipped(name)
        recipe = load_recipe(str(path)) if path else None
        if recipe and _agrees(recipe, settings) and not _network_keys(recipe.model, model):
            return recipe.model_copy(update={"model": model})
    try:
        return Recipe.model_validate({"model": model.model_dump(), **settings})
    except ValidationError:  # values that no recipe allows; they are only for information
        return Recipe(model=model)


def _agrees(recipe: Recipe, settings: dict[str, dict[str, Any]]) -> bool:
    tree = recipe.model_dump()
    return all(tree[section][key] == value for section, keys in settings.items() for key, value in keys.items())


def _network_keys(one: ModelSection, other: ModelSection) -> list[str]:
    return [key for key in differing_keys(one, other) if not key.startswith("pixel_")]


def _settings(arguments: Arguments, steps: int) -> dict[str, dict[str, Any]]:
    """The recipe values that the arguments determine, by section and key."""
    train = {"beta1": _number(arguments, "beta1"), "beta2": _number(arguments, "beta2")}
    loss = {"r1_gamma": _number(arguments, "r1"), "r1_interval": _number(arguments, "d_reg_every")}
    ema: dict[str, Any] = {}
    batch, total = _number(arguments, "batch"), _number(arguments, "iter")
    start = _number(arguments, "lr_decay_start_steps") if arguments.get("lr_decay") else None
    if batch is not None:
        batch *= PROCESSES if arguments.get("distributed") else 1
        train["batch"] = batch
        whole = (
            batch * 10_000 % 32 == 0
        )  # then a half-life in images gives the same decay, for any later batch size too
        ema |= {"half_life": batch * 10_000 // 32} if whole else {"decay": EMA_DECAY}
        if total is not None:
            train |= {"total": total * batch, "decay_from": start and start * batch}
    d_rate, g_rate = _number(arguments, "D_lr"), _number(arguments, "G_lr")
    if start is None or 0 < steps <= start:  # later the arguments contain learning rates that have decayed
        train |= {"d_lr": d_rate, "g_lr": d_rate / 4 if d_rate and arguments.get("ttur") else g_rate}
    if "bcr" in arguments:
        for kind in ("real", "fake"):
            loss[f"bcr_{kind}"] = _number(arguments, f"bcr_{kind}_lambda") if arguments["bcr"] else 0.0
    augment = {"flip": bool(arguments["use_flip"])} if "use_flip" in arguments else {}
    sections = {"train": train, "loss": loss, "augment": augment, "ema": ema}
    return {
        section: {key: value for key, value in keys.items() if value is not None or key == "decay_from"}
        for section, keys in sections.items()
    }


def _number(arguments: Arguments, name: str) -> Any:
    value = arguments.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def arguments_of(recipe: Recipe, seen: int) -> Arguments:
    """Arguments with which the release builds the networks of a recipe and trains them the same way, on one GPU."""
    model, train, loss = recipe.model, recipe.train, recipe.loss
    decays = train.decay_from is not None
    return {
        "size": model.size,
        "style_dim": model.latent_dim,
        "n_mlp": model.mapping_layers,
        "start_dim": model.channels("g")[4],
        "G_channel_multiplier": model.g_multiplier,
        "D_channel_multiplier": model.d_multiplier,
        "mlp_ratio": model.hidden_at(4) // model.width_at(4),
        "lr_mlp": 0.01,
        "enable_full_resolution": model.window_at(model.size),
        "D_sn": model.spectral_norm,
        "batch": train.batch,
        "iter": -(-train.total // train.batch),
        "start_iter": seen // train.batch,
        "r1": loss.r1_gamma,
        "d_reg_every": loss.r1_interval,
        "g_reg_every": 10_000_000,
        "G_lr": train.g_lr,
        "D_lr": train.d_lr,
        "ttur": train.g_lr * 4 == train.d_lr,
        "beta1": train.beta1,
        "beta2": train.beta2,
        "lr_decay": decays,
        "lr_decay_start_steps": train.decay_from // train.batch if train.decay_from is not None else 800_000,
        "bcr": bool(loss.bcr_real or loss.bcr_fake),
        "bcr_real_lambda": loss.bcr_real,
        "bcr_fake_lambda": loss.bcr_fake,
        "use_flip": recipe.augment.flip,
        "gan_weight": 1.0,
        "distributed": False,
    }
