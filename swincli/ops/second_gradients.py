"""Second gradients of operations with a fast gradient of their own, such as the tiled ones on a CPU.

The fast gradient cannot be differentiated again. Where a second one is asked for (`create_graph=True`, as by path
length), the backward pass runs the plain operations instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def is_wanted() -> bool:
    """Whether the running backward pass will be differentiated. Autograd is on in a backward pass only then."""
    return torch.is_grad_enabled()


def plain_gradients(
    plain: Callable[..., Tensor], inputs: Sequence[Tensor | None], grad: Tensor
) -> tuple[Tensor | None, ...]:
    """Gradients of `plain(*inputs)` that can be differentiated again, with respect to the inputs and to `grad`.

    They are taken at views of the inputs, nodes of their own. If two inputs were parts of one tensor that earlier
    operations used as well, as styles are, autograd would go back through all of those, and these through theirs.

    Args:
        plain: The operation in operations that autograd knows.
        inputs: Its inputs, as saved for the backward pass; None for one that is left out.
        grad: Gradient of its result.

    Returns:
        One gradient per input; None for inputs that need none.
    """
    wanted = [value is not None and value.requires_grad for value in inputs]
    own = [None if value is None else value.view_as(value) for value in inputs]
    asked = [value for value, is_asked in zip(own, wanted, strict=True) if value is not None and is_asked]
    gradients = iter(torch.autograd.grad(plain(*own), asked, grad, create_graph=True))
    return tuple(next(gradients) if is_asked else None for is_asked in wanted)
