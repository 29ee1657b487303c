"""Choosing between whole arrays, and functions applied to parts: select, piecewise, choose, apply_along_axis.

The gradient goes to what was chosen. What is applied is the caller's own function, on tensors or arrays alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of
from ..backend.placing import placed
from ..primitive import FUNCTIONS, public
from ..tensor import Tensor
from .arguments import axis_index, bare, module, operand
from .elementwise import where
from .index import getitem, index_put, take_along_axis
from .joining import stack
from .shape import broadcast_to, expand_dims, moveaxis, reshape


@public
def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """The element of the first choice whose condition holds there, else `default`; as `numpy.select`.

    Args:
        condlist: truth values.
        choicelist: as many arrays, tensors or numbers.
        default: likewise; all of them broadcast.

    Raises:
        ValueError: not as many conditions as choices, or none.
        TypeError: a condition that is no truth value.
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"[select] {len(condlist)} conditions and {len(choicelist)} choices; expected as many of each")
    conditions = [operand(c) for c in condlist]
    for k, c in enumerate(conditions):
        if c.dtype != bool:
            raise TypeError(f"[select] condition {k} has dtype {c.dtype}; expected truth values, e.g. x > 0")
    shape = np.broadcast_shapes(*[c.shape for c in conditions])
    found = default
    for condition, choice in zip(reversed(conditions), reversed(list(choicelist)), strict=True):
        found = where(condition, choice, found)
    dtype = np.result_type(*[_dtype_of(c) for c in (*choicelist, default)])
    found = found if found.dtype == dtype else FUNCTIONS["astype"](found, dtype)
    return broadcast_to(found, np.broadcast_shapes(found.shape, shape)) if found.shape != shape else found


def _dtype_of(x: Any) -> Any:
    """What NumPy's promotion takes of an operand: a Python number as it is, since that widens nothing."""
    return x if isinstance(x, (int, float, complex)) else operand(x).dtype


@public
@placed
def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """The function of each condition where that holds, as `numpy.piecewise`; elsewhere 0, or the last function.

    Args:
        x: array or tensor.
        condlist: truth values of the shape of `x`, or a sequence of them; where several hold the last counts.
        funclist: a function of the elements (or a number) for each condition, and maybe one for the rest.
        args: further arguments of the functions.
        kw: the same by name.

    Returns:
        The shape and dtype of `x`.

    Raises:
        ValueError: not one function for each condition, or one more.
    """
    x = operand(x)
    conditions = condlist if isinstance(condlist, (list, tuple)) else [condlist]
    if conditions and not operand(conditions[0]).shape and x.shape:
        conditions = [list(conditions)]
    masks = [bare(operand(c)).astype(bool) for c in conditions]
    if len(masks) == 1 and masks[0].ndim == len(x.shape) + 1:
        masks = list(masks[0])
    if len(funclist) not in (len(masks), len(masks) + 1):
        raise ValueError(f"[piecewise] {len(funclist)} functions for {len(masks)} conditions; expected one for each")
    xp = module(x)
    if len(funclist) > len(masks):
        covered = masks[0]
        for mask in masks[1:]:
            covered = covered | mask
        masks.append(~covered)
    out = xp.zeros(x.shape, x.dtype)
    for mask, function in zip(masks, funclist, strict=True):
        mask = xp.broadcast_to(xp.asarray(mask), x.shape)
        if not callable(function):
            out = index_put(out, mask, function)
            continue
        part = getitem(x, mask)
        if part.shape[0]:
            out = index_put(out, mask, function(part, *args, **kw))
    return _as_given(x, out)


def _as_given(x: Any, out: Any) -> Any:
    return Tensor(out) if isinstance(x, Tensor) and not isinstance(out, Tensor) else out


@public
@placed
def choose(a: Any, choices: Any, out: None = None, mode: str = "raise") -> Any:
    """Of several arrays, at each place the element of the one that `a` numbers; as `numpy.choose`.

    Args:
        a: integers.
        choices: arrays (or one array, whose first axis is counted), broadcast with `a`.
        out: refused.
        mode: "raise" refuses numbers out of range (on a GPU, where looking would wait for it, they wrap), "wrap" counts
            round, "clip" takes the nearest.

    Raises:
        ValueError: a number out of range, or another mode.
    """
    if out is not None:
        raise TypeError("[choose] out= is not supported; assign the result")
    number = bare(operand(a))
    options = [operand(c) for c in choices]
    n = len(options)
    xp = backend_of(number).xp
    if number.dtype.kind not in "iub":
        raise TypeError(f"[choose] a has dtype {number.dtype}; expected integers")
    if mode == "raise":
        if type(number) is np.ndarray and ((number < 0) | (number >= n)).any():
            raise ValueError(f"[choose] a holds numbers from {number.min()} to {number.max()} for {n} choices")
    elif mode in ("wrap", "clip"):
        number = number % n if mode == "wrap" else xp.clip(number, 0, n - 1)
    else:
        raise ValueError(f"[choose] mode = {mode!r}; expected 'raise', 'wrap' or 'clip'")
    shape = np.broadcast_shapes(number.shape, *[c.shape for c in options])
    together = stack([c if c.shape == shape else broadcast_to(c, shape) for c in options])
    places = xp.broadcast_to(number, shape)[None].astype(np.intp)
    return getitem(take_along_axis(together, places, 0, unique=True), 0)


@public
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """`func1d` of each vector along an axis, joined: as `numpy.apply_along_axis`, one call for each vector.

    Args:
        func1d: takes a vector (a tensor where `arr` is one) and returns an array or a number.
        axis: along which.
        arr: the array.
        args: further arguments of the function.
        kwargs: the same by name.

    Returns:
        The results, with their axes in place of `axis`.
    """
    arr = operand(arr)
    i = axis_index("apply_along_axis", axis, arr.shape)
    moved = moveaxis(arr, i, -1)
    lead = tuple(moved.shape[:-1])
    if not all(lead):
        raise ValueError(f"[apply_along_axis] no vectors along axis = {axis} of shape {tuple(arr.shape)}")
    found = [operand(func1d(getitem(moved, place), *args, **kwargs)) for place in np.ndindex(lead)]
    inner = tuple(found[0].shape)
    joined = reshape(stack(found), (*lead, *inner))
    for k in range(len(inner)):
        joined = moveaxis(joined, len(lead) + k, i + k)
    return _as_given(arr, joined)


@public
def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """`func(a, axis)` for one axis after the other; an axis that it removes is put back, of length 1."""
    a = operand(a)
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        i = axis_index("apply_over_axes", axis, a.shape)
        found = operand(func(a, i))
        if len(found.shape) == len(a.shape) - 1:
            found = expand_dims(found, i)
        if len(found.shape) != len(a.shape):
            raise ValueError(
                f"[apply_over_axes] the function made an array of shape {tuple(found.shape)} of one of "
                f"{tuple(a.shape)}; expected as many axes, or one less"
            )
        a = found
    return a
