"""The transforms under the names of `torch.func`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .nn.stateless import functional_call as functional_call
from .transforms import grad as grad
from .transforms import hessian as hessian
from .transforms import jacfwd as jacfwd
from .transforms import jacrev as jacrev
from .transforms import jvp as jvp
from .transforms import linearize as linearize
from .transforms import value_and_grad
from .transforms import vjp as vjp
from .transforms import vmap as _vmap


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """`gg.value_and_grad` with the gradient first: (gradient, value)."""
    both = value_and_grad(func, argnums, has_aux)

    def inner(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return gradient, value

    return inner


def vmap(func: Callable[..., Any], in_dims: Any = 0, out_dims: Any = 0, randomness: str = "different") -> Any:
    """`gg.vmap` with PyTorch's names of its axes.

    Args:
        func: a function of one example.
        in_dims: as `in_axes` of `gg.vmap`.
        out_dims: as `out_axes`.
        randomness: "different": each example has random numbers of its own, the only way here.

    Raises:
        ValueError: another `randomness`.
    """
    if randomness != "different":
        raise ValueError(f'[vmap] randomness = {randomness!r}; expected "different": each example draws its own')
    return _vmap(func, in_dims, out_dims)
