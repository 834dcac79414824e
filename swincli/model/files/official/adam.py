"""Adam's state: from `torch.optim.Adam.state_dict()`, which numbers the parameters, to our names and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from swincli.model.files.snapshot import AdamState

KINDS = ("step", "exp_avg", "exp_avg_sq")
PLAIN = (bool, int, float, str, type(None))


def read_adam(content: Any, orders: list[list[str]], shapes: dict[str, tuple[int, ...]]) -> tuple[AdamState, list[str]]:
    """Convert the state dict of an optimiser to our names.

    Args:
        content: The entry of the checkpoint.
        orders: Possible orders in which the parameters were numbered; the first that fits the moments' shapes is used.
        shapes: Shapes of the parameters by name.

    Returns:
        The state, and the problems found in it.
    """
    try:
        (group,) = content["param_groups"]
        numbers = [int(number) for number in group["params"]]
        entries = {number: dict(content["state"][number]) for number in content["state"]}
        settings = {name: _plain(value) for name, value in group.items() if name != "params"}
    except (KeyError, TypeError, ValueError):
        return AdamState({}, orders[0], {}), ["not the state of an Adam with one parameter group"]
    attempts = [_name(entries, numbers, order, shapes) for order in orders]
    chosen = next((index for index, (_, problems) in enumerate(attempts) if not problems), 0)
    named, problems = attempts[chosen]
    whole = any(isinstance(entry.get("step"), int) for entry in entries.values())
    moments = {name: {kind: _float(entry[kind]) for kind in KINDS} for name, entry in named.items()}
    return AdamState(moments, orders[chosen], settings, whole), problems


def _name(
    entries: dict[Any, dict[str, Any]], numbers: list[Any], order: list[str], shapes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Entries by parameter name, and the problems: wrong count, unknown numbers, wrong shapes."""
    if len(numbers) != len(order):
        return {}, [f"{len(numbers)} parameters, not {len(order)}"]
    names = dict(zip(numbers, order, strict=True))
    problems, named = [], {}
    for number, entry in entries.items():
        if number not in names:
            problems.append(f"unknown parameter {number}")
            continue
        name = names[number]
        wrong = _problem(entry, shapes[name])
        if wrong:
            problems.append(f"parameter {number} ({name}): {wrong}")
        else:
            named[name] = entry
    return named, problems


def _problem(entry: dict[str, Any], shape: tuple[int, ...]) -> str | None:
    if entry.keys() != set(KINDS):
        return f"has {', '.join(map(str, entry))}, not {', '.join(KINDS)}"
    for kind, wanted in (("exp_avg", shape), ("exp_avg_sq", shape)):
        value = entry[kind]
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return f"{kind} is not a tensor of floats"
        if tuple(value.shape) != wanted:
            return f"{kind} is {tuple(value.shape)}, not {wanted}"
    step = entry["step"]
    if isinstance(step, Tensor) and step.numel() != 1:
        return f"step is {tuple(step.shape)}, not one number"
    return None if isinstance(step, Tensor | int | float) else "step is not a number"


def write_adam(state: AdamState) -> dict[str, Any]:
    """The state dict that the release's optimiser loads; `state.order` gives the parameter numbers."""
    numbers = {name: number for number, name in enumerate(state.order)}
    entries = {}
    for name in sorted(state.moments, key=numbers.__getitem__):
        moment = state.moments[name]
        step = moment["step"]
        steps: Any = int(step) if state.whole_steps else step.clone()
        average, square = moment["exp_avg"].clone(), moment["exp_avg_sq"].clone()
        entries[numbers[name]] = {"step": steps, "exp_avg": average, "exp_avg_sq": square}
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in state.settings.items()}
    return {"state": entries, "param_groups": [settings | {"params": list(range(len(state.order)))}]}


def _float(value: Any) -> Tensor:
    return value.detach().float() if isinstance(value, Tensor) else torch.tensor(float(value))


def _plain(value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, Tensor) and value.numel() == 1:  # a learning rate stored as a tensor
        return value.item()
    raise ValueError(f"{type(value).__name__} is not a setting of Adam")
