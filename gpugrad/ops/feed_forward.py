"""Affine maps with activations between them, as one function: what lies between two layers stays inside.

Because nobody else sees it, a hidden layer's cotangent can leave the next layer's product with the activation's
derivative in it already. Where the backend's products have the activation as an epilogue it costs no kernel, forward or
backward; elsewhere it is computed in place. Single layers are `linear`'s.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ..backend import backend_of, is_array
from ..batching import USED
from ..casting import CASTING, cast, narrowed
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import Tensor, apply
from .arguments import backend_for_all
from .core import Elementwise
from .elementwise import gelu_tanh, relu
from .linalg import LINEAR, linear

ACTIVATIONS: Final[dict[str, Elementwise]] = {"relu": relu, "gelu_tanh": gelu_tanh}

# A hidden layer's node stands for the values before the activation; the array beside it is all that is needed of them.
# For relu that is its result: relu of it is the same, and so are all derivatives. For the others it is the values.
_IDEMPOTENT: Final = frozenset({"relu"})


class Passing:
    """What one layer leaves for the next beside its result: the activated values, and the product's notes on them."""

    __slots__ = ("notes", "values")

    def __init__(self) -> None:
        self.values = self.notes = None

    def take(self) -> tuple[Any, Any]:
        """Both, which are forgotten here: recorded nodes keep this object, not the arrays."""
        taken = self.values, self.notes
        self.values = self.notes = None
        return taken


def _activate(name: str, z: Any, out: Any = None) -> Any:
    return backend_of(z).kernel(ACTIVATIONS[name].formula)(z, out=out)


def _times_derivative(name: str, g: Any, z: Any, out: Any = None) -> Any:
    """`g` times the activation's derivative; all that it reads is `z`, or relu's result, which stands for it."""
    body = ACTIVATIONS[name].plan((True,)).body
    return backend_of(g).kernel(body)(g, z, out=out)  # type: ignore[arg-type]


def _forward(
    needs: Needs,
    z: Any,
    weight: Any,
    bias: Any = None,
    *,
    before: str | None,
    then: str | None,
    notes: bool,
    wide: tuple[bool, ...],
    passing: Passing,
) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("feed_forward", z, weight, bias)
    x, mask = (z, None) if before is None else passing.take()
    if x is None:
        x = _activate(before, z)  # type: ignore[arg-type]
    extras = mask, None if before in _IDEMPOTENT or before is None or not needs[1] else x, _by_columns(weight)
    if then is None:
        return backend.linear(x, weight, bias), extras
    recorded = any(needs)
    made = backend.linear_activated(x, weight, bias, then, notes and recorded, recorded)
    if made is None:
        pre = backend.linear(x, weight, bias)
        made = _activate(then, pre, out=pre if then in _IDEMPOTENT else None), pre, None
    passing.values, pre, passing.notes = made
    return passing.values if pre is None else pre, extras


def _by_columns(weight: Any) -> bool:
    return bool(weight.flags.f_contiguous and not weight.flags.c_contiguous)


def _rule(
    g: Any, needs: Needs, z: Any, weight: Any, mask: Any, x: Any, by_columns: bool, *,
    before: str | None, wide: tuple[bool, ...], **_: Any,
) -> tuple[Any, ...]:  # fmt: skip
    gz = None
    if needs[0]:
        backend = backend_of(g)
        if before is not None:
            gz = backend.matmul_activated(g, weight, before, z, mask)
        if gz is None:
            gz = (backend.matmul_wide if wide[0] else backend.matmul)(g, weight)
            if before is not None:
                gz = _times_derivative(before, gz, z, out=gz)
    if not any(needs[1:]):
        return gz, *(None for _ in needs[1:])
    rest = LINEAR.rule(  # type: ignore[misc]
        g, (False, *needs[1:]), z if x is None else x, weight, by_columns, wide=wide
    )
    return gz, *rest[1:]


def _reference(z: Any, weight: Any, bias: Any = None, *, before: str | None, **_: Any) -> Any:
    return linear(z if before is None else ACTIVATIONS[before](z), weight, bias)


def _flops(shapes: tuple[Shape, ...], out_shape: Shape, *, then: str | None, **_: Any) -> int:
    return LINEAR.flops(shapes, out_shape) + (math.prod(out_shape) * _cost(then) if then else 0)


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, before: str | None, **_: Any) -> int:
    products = LINEAR.vjp_flops(shapes, out_shape, needs)
    return products + (math.prod(shapes[0]) * _cost(before, True) if before and needs[0] else 0)


def _cost(name: str, backward: bool = False) -> int:
    activation = ACTIVATIONS[name]
    return activation.vjp_flops(((1,),), (1,), (True,)) if backward else activation.flops(((1,),), (1,))


ACTIVATED_LINEAR = Primitive(
    "activated_linear",
    _forward,
    _rule,
    keeps=((0, 1), (0,), ()),
    reference=_reference,
    flops=_flops,
    vjp_flops=_vjp_flops,
)


def _last_forward(needs: Needs, z: Any, *, activation: str, passing: Any) -> tuple[Any, tuple[Any, ...]]:
    y = passing.take()[0]
    return _activate(activation, z) if y is None else y, ()


def _last_rule(g: Any, needs: Needs, z: Any, *, activation: str, passing: Any) -> tuple[Any]:
    return (_times_derivative(activation, g, z),)


ACTIVATED = Primitive(
    "activated",
    _last_forward,
    _last_rule,
    keeps=((0,),),
    reference=lambda z, activation, passing: ACTIVATIONS[activation](z),
    flops=lambda shapes, out_shape, activation, passing: 0,  # the product before it has done the work
    vjp_flops=lambda shapes, out_shape, needs, activation, passing: math.prod(out_shape) * _cost(activation, True),
)


@public
def feed_forward(x: Any, layers: Sequence[tuple[Any, Any, str | None]]) -> Any:
    """Affine maps one after the other, each followed by its activation: `activation(x @ weight.T + bias)`.

    The numbers are those of `linear` and the activation one by one. On a GPU bias and activation are part of the matrix
    product (cuBLASLt's epilogues RELU and, for the tanh form, GELU), and backward so are the derivative of a hidden
    layer's activation and the bias's gradient. `nn.Sequential` calls this for its runs of `Linear`, `ReLU` and
    `GELU(approximate="tanh")`.

    Args:
        x: (*batch, in).
        layers: for each (weight, bias, activation): (out, in) of the dtype of `x`, (out,) or None, and "relu",
            "gelu_tanh" or None.

    Returns:
        (*batch, out of the last layer). relu's gradient at 0 is 0.

    Raises:
        ValueError: the lengths do not fit, there is no layer, or the activation is another.
        TypeError: `x` and a weight differ in dtype.

    Example:
        >>> import gpugrad as gg
        >>> w = gg.tensor([[1.0, -1.0], [2.0, 0.5]])
        >>> gg.nn.functional.feed_forward(gg.tensor([[1.0, 2.0]]), [(w, None, "relu"), (w, None, None)])
        tensor([[-3. ,  1.5]])
    """
    layers = list(layers)
    return joined(x, layers, [_at_once] * (len(layers) + 1))


def _at_once(call: Callable[[], Any]) -> Any:
    return call()


def joined(x: Any, layers: Sequence[tuple[Any, Any, str | None]], doers: Sequence[Callable[..., Any]]) -> Any:
    """`feed_forward`, each layer run by its doer, `doers[i](call)`, and an activation at the end by the last one."""
    x = x if isinstance(x, Tensor) or is_array(x) else np.asarray(x)
    layers = _checked(x, layers)
    if x.ndim == 1:
        return joined(x.reshape(1, -1), layers, doers).reshape(-1)
    before: str | None = None
    passing = Passing()
    for i, (weight, bias, then) in enumerate(layers):
        wide: tuple[bool, ...] = (False, False)
        if CASTING:
            x, weight, bias = cast("linear", (x, weight, bias))
            wide = narrowed(x, weight)
        _check_dtype(x, weight)
        if USED:  # the values that a layer leaves for the next are not seen by maps
            x = linear(x, weight, bias)
            x = x if then is None else ACTIVATIONS[then](x)
            continue
        static = {"before": before, "then": then, "notes": i + 1 < len(layers), "wide": wide, "passing": passing}
        operands = (x, weight) if bias is None else (x, weight, bias)
        x = doers[i](functools.partial(apply, ACTIVATED_LINEAR, operands, static))
        before = then
    if before is None:
        return x
    static = {"activation": before, "passing": passing}
    return doers[-1](functools.partial(apply, ACTIVATED, (x,), static))


def _checked(x: Any, layers: Sequence[tuple[Any, Any, str | None]]) -> list[tuple[Any, Any, str | None]]:
    layers = list(layers)
    length = x.shape[-1] if x.ndim else None
    for i, (weight, bias, activation) in enumerate(layers):
        if weight.ndim != 2 or weight.shape[1] != length or (bias is not None and bias.shape != weight.shape[:1]):
            shown = "" if bias is None else f", bias {tuple(bias.shape)}"
            raise ValueError(
                f"[feed_forward] layer {i} has weight {tuple(weight.shape)}{shown} but gets (..., {length}) "
                f"(x: {tuple(x.shape)}); expected (out, {length}) and (out,)"
            )
        if activation is not None and activation not in ACTIVATIONS:
            raise ValueError(
                f"[feed_forward] activation = {activation!r} of layer {i}; expected None or one of "
                f"{', '.join(map(repr, ACTIVATIONS))}"
            )
        length = weight.shape[0]
    if not layers:
        raise ValueError("[feed_forward] layers is empty; expected (weight, bias, activation) for each layer")
    return layers


def _check_dtype(x: Any, weight: Any) -> None:
    if x.dtype != weight.dtype:
        raise TypeError(
            f"[feed_forward] x is {x.dtype} {tuple(x.shape)} but weight is {weight.dtype} {tuple(weight.shape)}; "
            f"convert one: x.astype({weight.dtype.name!r}), or the layers with .to({x.dtype.name!r})"
        )
