"""`check_grads`: derivatives of both modes against central differences along fixed random directions.

Two evaluations for each direction whatever the size, sums in float64, and an error budget for each dtype that follows
from the difference formula instead of one number for all. Derivatives of derivatives are checked the same way, as
functions in their turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..tensor import Tensor
from .forward import jvp
from .reverse import vjp
from .tree import flatten

# Step and tolerance by the precision of the argument: central differences err by step^2 and eps/step.
_BUDGET: Final = {
    "bfloat16": (1e-1, 1.5e-1), "float16": (3e-2, 5e-2), "float32": (5e-3, 5e-3), "float64": (1e-5, 1e-6),
}  # fmt: skip
_MODES: Final = {"rev": "reverse mode", "fwd": "forward mode"}
# A derivative is checked with so much more room than the function: its values carry the rounding of one more pass.
_LOOSER: Final = 5.0


class GradientMismatchError(AssertionError):
    """A derivative differs from the difference quotient; the message has both numbers."""


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("rev", "fwd"),
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
        order: 1 checks the first derivative, 2 also the derivatives of that, and so on.
        modes: "rev" for reverse mode, "fwd" for forward mode. With both, second derivatives are checked in all four
            combinations.
        atol: absolute tolerance; by default from the least precise dtype of the arguments (1e-6 for float64, 5e-3 for
            float32, 5e-2 for float16, 0.15 for bfloat16; five times that for each further order).
        rtol: relative tolerance; likewise.
        eps: step of the difference; likewise (1e-5, 5e-3, 3e-2, 0.1).
        seed: seed of the directions, which are the same at every call.
        directions: how many directions are tried.

    Raises:
        GradientMismatchError: a derivative is off, or of another shape or dtype than it must be; shows the order, the
            modes that led there, the direction, both values and the tolerance.
        ValueError: an unknown mode or none, an order below 1, or no argument to differentiate.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> gg.check_grads(lambda x: gg.sum(gg.sin(x) * x), (np.linspace(0.0, 1.0, 4),), order=2)
    """
    if not modes or any(m not in _MODES for m in modes) or order < 1:
        raise ValueError(
            f"[check_grads] modes = {tuple(modes)}, order = {order}; expected modes of ('rev', 'fwd') and order >= 1"
        )
    leaves, build = flatten(tuple(args))
    arrays = [np.asarray(_host(leaf)) for leaf in leaves]
    precisions = [_precision(a.dtype) for a in arrays if a.dtype.kind in "fcV"]
    if not precisions:
        raise ValueError("[check_grads] no argument is floating point; there is nothing to differentiate")
    step, tolerance = max(_BUDGET[p] for p in precisions)
    check = _Check(
        build,
        tuple(modes),
        tolerance if atol is None else atol,
        tolerance if rtol is None else rtol,
        step if eps is None else eps,
        np.random.default_rng(seed),
        directions,
    )
    check.all_orders(f, leaves, order, ())


def _precision(dtype: Any) -> str:
    """The name in the budget: that of a complex number's parts, float64 for what is wider."""
    name = np.dtype(dtype).name.replace("complex64", "float32")
    return name if name in _BUDGET else "float64"


def _host(leaf: Any) -> Any:
    data = leaf.data if isinstance(leaf, Tensor) else leaf
    return backend_of(data).to_host(data)


def _direction(rng: np.random.Generator, like: Any) -> Any:
    """A random direction of the shape and dtype of `like`, on its device, of length about one for each element."""
    array = np.asarray(_host(like))
    values: Any = rng.standard_normal(array.shape)
    if array.dtype.kind == "c":
        values = values + 1j * rng.standard_normal(array.shape)
    data = like.data if isinstance(like, Tensor) else like
    out = backend_of(data).from_host(np.asarray(values).astype(array.dtype))
    return Tensor(out) if isinstance(like, Tensor) else out


def _moved(leaf: Any, direction: Any, by: float) -> Any:
    data = leaf.data if isinstance(leaf, Tensor) else leaf
    array, step = np.asarray(_host(leaf)), np.asarray(_host(direction))
    moved = array.astype(_wide(array.dtype)) + by * step
    out = backend_of(data).from_host(moved.astype(array.dtype))
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


@dataclass(frozen=True)
class _Check:
    """One call of `check_grads`: what stays the same from order to order."""

    build: Callable[[list[Any]], Any]
    modes: tuple[str, ...]
    atol: float
    rtol: float
    eps: float
    rng: np.random.Generator
    directions: int

    def all_orders(self, f: Callable[..., Any], leaves: list[Any], order: int, above: tuple[str, ...]) -> None:
        """Check `f`, which is a derivative by the modes `above`, then its derivatives down to `order`."""
        value = f(*self.build(leaves))
        outputs, rebuild = flatten(value)
        self._first_order(f, leaves, (outputs, rebuild), above)
        if order <= len(above) + 1:
            return
        cotangent = rebuild([_direction(self.rng, o) for o in outputs])
        tangents = self.build([_direction(self.rng, leaf) for leaf in leaves])
        derivatives: dict[str, Callable[..., Any]] = {
            "rev": lambda *args: vjp(f, *args)[1](cotangent),
            "fwd": lambda *args: jvp(f, args, tangents)[1],
        }
        for mode in self.modes:
            self.all_orders(derivatives[mode], leaves, order, (*above, mode))

    def _first_order(
        self,
        f: Callable[..., Any],
        leaves: list[Any],
        output: tuple[list[Any], Callable[[list[Any]], Any]],
        above: tuple[str, ...],
    ) -> None:
        outputs, rebuild = output
        pullback = vjp(f, *self.build(leaves))[1] if "rev" in self.modes else None
        for number in range(self.directions):
            cotangent = [_direction(self.rng, o) for o in outputs]
            tangent = [_direction(self.rng, leaf) for leaf in leaves]
            found: dict[str, float] = {}
            if pullback is not None:
                pulled = flatten(pullback(rebuild(cotangent)))[0]
                _require_alike(pulled, leaves, "gradient", "argument", above)
                found["rev"] = _inner(pulled, tangent)
            if "fwd" in self.modes:
                pushed = flatten(jvp(f, self.build(leaves), self.build(tangent))[1])[0]
                _require_alike(pushed, outputs, "tangent", "output", above)
                found["fwd"] = _inner(pushed, cotangent)
            numeric = self._difference(f, leaves, tangent, cotangent)
            for mode, derivative in found.items():
                self._compare(derivative, numeric, mode, above, number)

    def _difference(self, f: Callable[..., Any], leaves: list[Any], tangent: list[Any], cotangent: list[Any]) -> float:
        """The central difference along `tangent`, seen through `cotangent`."""
        ends = []
        for step in (self.eps, -self.eps):
            moved = [_moved(leaf, d, step) for leaf, d in zip(leaves, tangent, strict=True)]
            ends.append(_inner(flatten(f(*self.build(moved)))[0], cotangent))
        return (ends[0] - ends[1]) / (2 * self.eps)

    def _compare(self, found: float, numeric: float, mode: str, above: tuple[str, ...], number: int) -> None:
        room = _LOOSER ** len(above)
        atol, rtol = self.atol * room, self.rtol * room
        if not abs(found - numeric) <= atol + rtol * max(abs(numeric), abs(found)):
            raise GradientMismatchError(
                f"{_where(above)}, direction {number}: {_MODES[mode]} gives {found:.10g}, central differences "
                f"{numeric:.10g} (difference {abs(found - numeric):.3g}, allowed {atol:.1g} + {rtol:.1g} relative)"
            )


def _where(above: tuple[str, ...]) -> str:
    """The order, and whose derivative it is."""
    of = "".join(f" of {_MODES[m]}" for m in reversed(above))
    return f"[check_grads] order {len(above) + 1}{of and f' (the derivative{of})'}"


def _require_alike(found: list[Any], models: list[Any], what: str, whose: str, above: tuple[str, ...]) -> None:
    """Derivatives have the shapes and dtypes of what they belong to."""
    for g, model in zip(found, models, strict=True):
        array, wanted = np.asarray(_host(g)), np.asarray(_host(model))
        if array.shape != wanted.shape or (array.dtype != wanted.dtype and wanted.dtype.kind in "fcV"):
            raise GradientMismatchError(
                f"{_where(above)}: the {what} is {array.shape} {array.dtype} for an {whose} {wanted.shape} "
                f"{wanted.dtype}; expected the same"
            )
