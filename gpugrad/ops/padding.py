"""Padding: more elements at the ends of an array, in all of NumPy's modes.

Constant ends are a primitive, whose rule is slicing. Those that repeat elements are indexing; those of values that are
computed (`maximum`, `mean`, `linear_ramp`, ...) are joined on, axis by axis, as NumPy does.
"""

from __future__ import annotations

import operator
from typing import Any, Final

import numpy as np

from ..backend import backend_of
from ..primitive import FUNCTIONS, Needs, Primitive, public
from .arguments import apply_one, axis_index, bare, operand
from .costs import no_flops
from .index import take
from .joining import concatenate
from .shape import broadcast_to

Widths = tuple[tuple[int, int], ...]
# Modes whose new elements are elements of the array; modes whose are a statistic of those next to the end.
TAKEN: Final = ("edge", "reflect", "symmetric", "wrap")
STATISTICS: Final = {"maximum": "max", "mean": "mean", "median": "median", "minimum": "min"}
MODES: Final = ("constant", "empty", "linear_ramp", *TAKEN, *STATISTICS)


def _pad_forward(needs: Needs, x: Any, *, widths: Widths, value: Any) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_of(x)
    out = backend.empty(tuple([n + a + b for n, (a, b) in zip(x.shape, widths, strict=True)]), x.dtype)
    inside = tuple([slice(a, a + n) for n, (a, _) in zip(x.shape, widths, strict=True)])
    backend.put(out, ..., value)
    backend.put(out, inside, x)
    return out, (inside,)


def _pad_rule(g: Any, needs: Needs, inside: tuple[slice, ...], *, widths: Widths, value: Any) -> tuple[Any, ...]:
    return (g[inside],)


PAD = Primitive("pad", _pad_forward, _pad_rule, fresh=False, flops=no_flops)


@public
def pad(
    x: Any,
    pad_width: Any,
    mode: str = "constant",
    constant_values: Any = 0,
    *,
    end_values: Any = 0,
    stat_length: Any = None,
) -> Any:
    """Extend an array at its ends.

    Args:
        x: the array.
        pad_width: how many elements before and after each axis: ((before, after), ...), one pair for all axes, or one
            integer (NumPy's order: first axis first); or such of some axes, as a dictionary.
        mode: "constant"; "edge" repeats the last element, "reflect" mirrors at it, "symmetric" mirrors with it, "wrap"
            continues at the other end; "maximum", "mean", "median" and "minimum" of the `stat_length` elements next to
            the end; "linear_ramp" goes from the last element to `end_values`; "empty" promises nothing. Gradients go
            back to where each element was taken from.
        constant_values: the numbers written by "constant", in the forms of `pad_width`; they have no gradient.
        end_values: the numbers that "linear_ramp" ends at, likewise.
        stat_length: how many elements, likewise; None for all.

    Raises:
        ValueError: an unknown mode, negative widths, or widths that do not fit the axes.
    """
    x = operand(x)
    if mode not in MODES:
        raise ValueError(f"[pad] mode = {mode!r}; expected one of {', '.join(MODES)}")
    widths = _widths(x, pad_width)
    if mode == "empty":
        mode, constant_values = "constant", 0
    if mode == "constant" and np.ndim(constant_values) == 0:
        return apply_one(PAD, x, {"widths": widths, "value": constant_values})
    ends_at = constant_values if mode == "constant" else end_values
    values = _pairs("constant_values" if mode == "constant" else "end_values", x, ends_at)
    lengths = _pairs("stat_length", x, stat_length)
    for i, width in enumerate(widths):
        if width == (0, 0):
            continue
        if not x.shape[i] and mode != "constant":
            raise ValueError(f"[pad] mode = {mode!r} on axis {i} of shape {x.shape}, which is empty; use 'constant'")
        if mode in TAKEN:
            x = take(x, np.pad(np.arange(x.shape[i]), width, mode=mode), i)  # type: ignore[call-overload]
        else:
            ends = [_end(x, i, side, width[side], mode, values[i][side], lengths[i][side]) for side in (0, 1)]
            x = concatenate([ends[0], x, ends[1]], i)
    return x


def _widths(x: Any, pad_width: Any) -> Widths:
    if isinstance(pad_width, dict):
        by_axis = {
            axis_index("pad", k, x.shape): (v, v) if isinstance(v, int) else tuple(v) for k, v in pad_width.items()
        }
        pad_width = [by_axis.get(i, (0, 0)) for i in range(len(x.shape))]
    widths = tuple((operator.index(a), operator.index(b)) for a, b in _pairs("pad_width", x, pad_width))
    if min((n for pair in widths for n in pair), default=0) < 0:
        raise ValueError(f"[pad] pad_width = {pad_width}; expected no negative width: cut with a slice")
    return widths


def _pairs(name: str, x: Any, values: Any) -> list[Any]:
    """One value, a pair or a pair for each axis, as a list of pairs."""
    try:
        return np.broadcast_to(np.asarray(values), (len(x.shape), 2)).tolist()  # type: ignore[no-any-return]
    except ValueError:
        raise ValueError(
            f"[pad] {name} = {values} for an array of shape {x.shape}; expected (before, after) for each axis"
        ) from None


def _end(x: Any, axis: int, side: int, width: int, mode: str, value: Any, length: int | None) -> Any:
    """What `mode` puts before (side 0) or after (1) an array, `width` elements along an axis."""
    shape = (*x.shape[:axis], width, *x.shape[axis + 1 :])
    backend, whole = backend_of(bare(x)), x.dtype.kind in "iub"
    if mode == "constant":
        return backend.from_host(np.full(shape, value, x.dtype))
    n = x.shape[axis]
    count = 1 if mode == "linear_ramp" else n if length is None else min(length, n)
    if count < 1:
        raise ValueError(f"[pad] stat_length = {length}; expected at least 1, or None for all elements")
    part = x[(slice(None),) * axis + ((slice(0, count), slice(n - count, n))[side],)]
    if mode == "linear_ramp":
        steps = np.arange(width) / max(width, 1)
        steps = steps[:: 1 - 2 * side].reshape(-1, *(1,) * (len(x.shape) - axis - 1))
        share = backend.from_host(steps if whole else steps.astype(np.zeros(0, x.dtype).real.dtype))
        found = value + (part - value) * share
        return FUNCTIONS["astype"](FUNCTIONS["floor"](found), x.dtype) if whole else found
    found = FUNCTIONS[STATISTICS[mode]](part, axis=axis, keepdims=True)
    if whole and mode in ("mean", "median"):
        found = FUNCTIONS["astype"](FUNCTIONS["round"](found), x.dtype)
    return broadcast_to(found, shape)
