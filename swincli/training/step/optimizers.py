"""Adam for G and D: lazy-regularisation correction, and moments by parameter name for checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from swincli.model.files.snapshot import AdamState
from swincli.recipe import Recipe
from swincli.training.step.freeze_d import trained_parameters

EPS = 1e-8
_FUSED_DEVICES = ("cpu", "cuda", "mps")
_IMPLEMENTATION = ("fused", "foreach", "capturable")  # settings of the machine, not of the experiment


def make_optimizer(
    parameters: list[nn.Parameter], lr: float, betas: tuple[float, float], interval: int
) -> torch.optim.Adam:
    """Adam with learning rate and betas corrected for a lazy regulariser.

    The regulariser adds one optimiser step every `interval` steps, so rate and exponents of the betas are multiplied by
    `interval / (interval + 1)` (Karras et al., 2020, appendix B). `interval=0` means no lazy regulariser.
    """
    ratio = _lazy_ratio(interval)
    corrected = (betas[0] ** ratio, betas[1] ** ratio)
    fused = True if parameters[0].device.type in _FUSED_DEVICES else None  # False would rule out foreach too
    optimizer = torch.optim.Adam(parameters, lr=lr * ratio, betas=corrected, eps=EPS, fused=fused)
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return optimizer


def make_optimizers(
    generator: nn.Module, discriminator: nn.Module, recipe: Recipe
) -> tuple[torch.optim.Adam, torch.optim.Adam]:
    """The optimisers of G and D for a recipe.

    Raises:
        RecipeError: `train.freeze_d` freezes more resolutions than D has.
    """
    train, intervals = recipe.train, lazy_intervals(recipe)
    betas = (train.beta1, train.beta2)
    return (
        make_optimizer(list(generator.parameters()), train.g_lr, betas, intervals[0]),
        make_optimizer(
            trained_parameters(discriminator, train.freeze_d),
            train.d_lr,
            betas,
            intervals[1],
        ),
    )


def lazy_intervals(recipe: Recipe) -> tuple[int, int]:
    """Interval of the lazy regulariser of G (path length) and of D (R1 and R2); 0 without one."""
    loss = recipe.loss
    return (
        loss.path_length_interval if loss.path_length else 0,
        loss.r1_interval if loss.has_penalty_phase else 0,
    )


def _lazy_ratio(interval: int) -> float:
    return interval / (interval + 1) if interval else 1.0


def set_rates(optimizer: torch.optim.Adam, lr_scale: float, beta2: float | None, interval: int) -> None:
    """Set the learning rate to a share of its start, and beta2 unless it is None.

    beta2 is corrected for a lazy regulariser, as in `make_optimizer`.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * lr_scale
        if beta2 is not None:
            group["betas"] = (group["betas"][0], beta2 ** _lazy_ratio(interval))


def name_moments(content: dict[str, Any], names: list[str]) -> AdamState:
    """Adam's moments by parameter name, from an optimiser's `state_dict`, which has them by parameter number.

    Raises:
        IndexError: the optimiser has more parameters than `names`.
    """
    moments = {names[number]: dict(entry) for number, entry in content["state"].items()}
    return AdamState(moments, names, {})


def load_moments(optimizer: torch.optim.Adam, network: nn.Module, state: AdamState) -> None:
    """Load moments by parameter name into an optimiser; the inverse of `name_moments`.

    Parameters without saved moments keep empty ones.

    Args:
        optimizer: Optimiser of all or some of the network's parameters.
        network: Gives the parameters' names.
        state: Moments by name.

    Raises:
        ValueError: the shape of a moment is not the shape of its parameter.
    """
    content = optimizer.state_dict()
    names = {parameter: name for name, parameter in network.named_parameters()}
    for number, parameter in enumerate(optimizer.param_groups[0]["params"]):
        moments = state.moments.get(names[parameter])
        if moments is None:
            continue
        moments = {kind: value.reshape(()) if _is_one_step(kind, value) else value for kind, value in moments.items()}
        shapes = {kind: tuple(value.shape) for kind, value in moments.items()}
        if shapes != {"step": (), "exp_avg": tuple(parameter.shape), "exp_avg_sq": tuple(parameter.shape)}:
            raise ValueError(
                f"the moments of {names[parameter]} have shapes {shapes}, the parameter {tuple(parameter.shape)}"
            )
        content["state"][number] = {kind: value.clone() for kind, value in moments.items()}
    load_optimizer(optimizer, content)


def _is_one_step(kind: str, value: Tensor) -> bool:
    """Whether it is a number of steps; some optimisers save it as `[1]`."""
    return kind == "step" and value.numel() == 1


def load_optimizer(optimizer: torch.optim.Adam, content: dict[str, Any]) -> None:
    """Load the `state_dict` of an optimiser, which may come from another machine or memory format.

    The implementation of Adam stays this machine's. The moments get the memory layout of their parameters.

    Raises:
        ValueError: the number of parameters differs.
    """
    groups = zip(content["param_groups"], optimizer.param_groups, strict=True)
    own = [saved | {name: here[name] for name in _IMPLEMENTATION if name in here} for saved, here in groups]
    optimizer.load_state_dict({**content, "param_groups": own})
    match_layout(optimizer)


def match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give the moments the memory layout of their parameters; the values stay.

    Fused Adam walks through memory in order. On a CPU it does not compare strides: with another layout it would update
    parameters with the moments of other elements. On CUDA it raises.
    """
    for parameter, moments in optimizer.state.items():
        for kind, value in moments.items():
            if value.shape == parameter.shape and value.stride() != parameter.stride():
                moments[kind] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
