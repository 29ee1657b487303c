"""`check_grads`: derivatives against central differences along fixed random directions.

Two evaluations for each direction whatever the size, reference in float64, and an error budget for each dtype that
follows from the difference formula instead of one number for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..tensor import Tensor
from .reverse import vjp
from .tree import flatten

# Step and tolerance by the precision of the argument: central differences err by step^2 and eps/step.
_BUDGET: Final = {2: (3e-2, 5e-2), 4: (5e-3, 5e-3), 8: (1e-5, 1e-6)}


class GradientMismatchError(AssertionError):
    """A derivative differs from the difference quotient; the message has both numbers."""


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("rev",),
    *,
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    seed: int = 0,
    directions: int = 2,
) -> None:
    """Compare the derivatives of `f` at `args` with central differences, up to `order`.

    Args:
        f: function of arrays (or structures of them), giving an array or a structure.
        args: floating point or complex arguments; float64 gives the sharpest check.
        order: 1 checks the gradient, 2 also the gradient of the gradient, and so on.
        modes: "rev" for reverse mode.
        atol: absolute tolerance; by default from the dtype of the arguments.
        rtol: relative tolerance; likewise.
        eps: step of the difference; likewise.
        seed: seed of the directions, which are the same at every call.
        directions: how many directions are tried.

    Raises:
        GradientMismatchError: a derivative is off; shows order, direction, both values and the tolerance.
        ValueError: an unknown mode, or an order below 1.
    """
    unknown = [m for m in modes if m != "rev"]
    if unknown or order < 1:
        raise ValueError(
            f"[check_grads] modes = {tuple(modes)}, order = {order}; expected modes ('rev',) and order >= 1"
        )
    leaves, build = flatten(tuple(args))
    arrays = [np.asarray(_host(leaf)) for leaf in leaves]
    sizes = {a.dtype.itemsize // (2 if a.dtype.kind == "c" else 1) for a in arrays if a.dtype.kind in "fcV"}
    if not sizes:
        raise ValueError("[check_grads] no argument is floating point; there is nothing to differentiate")
    step, tolerance = _BUDGET[min(sizes)]
    _check(
        f,
        leaves,
        build,
        order,
        1,
        (eps or step, atol or tolerance, rtol or tolerance),
        np.random.default_rng(seed),
        directions,
    )


def _host(leaf: Any) -> Any:
    data = leaf.data if isinstance(leaf, Tensor) else leaf
    return backend_of(data).to_host(data)


def _direction(rng: np.random.Generator, like: Any) -> Any:
    """A random direction of the shape and dtype of `like`, on its device, of length about one for each element."""
    array = _host(like)
    array = np.asarray(array)
    values: Any = rng.standard_normal(array.shape)
    if array.dtype.kind == "c":
        values = values + 1j * rng.standard_normal(array.shape)
    data = like.data if isinstance(like, Tensor) else like
    out = backend_of(data).from_host(np.asarray(values).astype(array.dtype))
    return Tensor(out) if isinstance(like, Tensor) else out


def _moved(leaf: Any, direction: Any, by: float) -> Any:
    data = leaf.data if isinstance(leaf, Tensor) else leaf
    step = direction.data if isinstance(direction, Tensor) else direction
    moved = np.asarray(_host(data), dtype=_wide(np.asarray(_host(data)).dtype)) + by * np.asarray(_host(step))
    out = backend_of(data).from_host(moved.astype(np.asarray(_host(data)).dtype))
    return Tensor(out) if isinstance(leaf, Tensor) else out


def _wide(dtype: Any) -> Any:
    return np.complex128 if dtype.kind == "c" else np.float64


def _inner(a: Sequence[Any], b: Sequence[Any]) -> float:
    """The real inner product Re sum(a * b), in float64."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        x64, y64 = np.asarray(_host(x)), np.asarray(_host(y))
        total += float(np.real(np.sum(x64.astype(_wide(x64.dtype)) * y64.astype(_wide(y64.dtype)))))
    return total


def _check(
    f: Callable[..., Any],
    leaves: list[Any],
    build: Callable[[list[Any]], Any],
    order: int,
    level: int,
    budget: tuple[float, float, float],
    rng: np.random.Generator,
    directions: int,
) -> None:
    eps, atol, rtol = budget

    def outputs(values: list[Any]) -> list[Any]:
        return flatten(f(*build(values)))[0]

    out, pullback = vjp(f, *build(leaves))
    flat, rebuild = flatten(out)
    for number in range(directions):
        cotangent = [_direction(rng, o) for o in flat]
        tangent = [_direction(rng, leaf) for leaf in leaves]
        pulled = flatten(pullback(rebuild(cotangent)))[0]
        expected_dtypes = [np.asarray(_host(leaf)).dtype for leaf in leaves]
        for leaf, g, dtype in zip(leaves, pulled, expected_dtypes, strict=True):
            if np.shape(_host(g)) != np.shape(_host(leaf)) or np.asarray(_host(g)).dtype != dtype:
                raise GradientMismatchError(
                    f"[check_grads] order {level}: the gradient is {np.shape(_host(g))} {np.asarray(_host(g)).dtype} "
                    f"for an argument {np.shape(_host(leaf))} {dtype}; expected the same"
                )
        backward = _inner(pulled, tangent)
        ahead = outputs([_moved(leaf, d, +eps) for leaf, d in zip(leaves, tangent, strict=True)])
        behind = outputs([_moved(leaf, d, -eps) for leaf, d in zip(leaves, tangent, strict=True)])
        numeric = (_inner(ahead, cotangent) - _inner(behind, cotangent)) / (2 * eps)
        if not abs(backward - numeric) <= atol + rtol * max(abs(numeric), abs(backward)):
            raise GradientMismatchError(
                f"[check_grads] order {level}, direction {number}: reverse mode gives {backward:.10g}, central "
                f"differences {numeric:.10g} (difference {abs(backward - numeric):.3g}, "
                f"allowed {atol:.1g} + {rtol:.1g} relative)"
            )
    if order > level:
        fixed = [_direction(rng, o) for o in flat]

        def pulled_back(*args: Any) -> Any:
            return vjp(f, *args)[1](rebuild(fixed))

        looser = (eps, atol * 5, rtol * 5)
        _check(pulled_back, leaves, build, order, level + 1, looser, rng, directions)
