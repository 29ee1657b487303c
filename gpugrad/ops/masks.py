"""Elements by truth values: filling and picking with a mask, and where elements are not 0.

A mask is an index too, so picking is `index.getitem`. Where a count of elements is asked, the device is waited for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_of
from ..backend.placing import placed
from ..primitive import public
from .arguments import bare, constant, operand
from .elementwise import where
from .index import getitem, index_array
from .shape import broadcast_to


def _truth(name: str, x: Any, mask: Any) -> Any:
    """A mask on the device of `x`; one from the host is brought there, as the arrays of an index are."""
    mask = index_array(name, backend_of(bare(x)), bare(x), mask)
    if mask.dtype != bool:
        raise IndexError(f"[{name}] mask has dtype {mask.dtype}; expected truth values, e.g. x > 0")
    return mask


@public
def masked_fill(x: Any, mask: Any, value: Any) -> Any:
    """`x` with `value` where `mask` (broadcast) holds."""
    x = operand(x)
    if x.dtype.kind == "b" and isinstance(value, (int, float)):
        value = bool(value)  # a mask stays one
    return where(_truth("masked_fill", x, mask), value, x)


@public
def masked_select(x: Any, mask: Any) -> Any:
    """The elements of `x` where `mask` holds, along one axis; both broadcast."""
    x = operand(x)
    mask = _truth("masked_select", x, mask)
    shape = np.broadcast_shapes(x.shape, mask.shape)
    x = x if x.shape == shape else broadcast_to(x, shape)
    return getitem(x, mask if mask.shape == shape else backend_of(mask).xp.broadcast_to(mask, shape))


@public
@placed
def nonzero(x: Any, *, as_tuple: bool = True) -> Any:
    """The positions of the elements that are not 0: one integer array for each axis. No gradient.

    `as_tuple=False` gives PyTorch's form: one row for each element. Waits for the device.
    """
    x = operand(x)
    found = bare(x).nonzero()
    return (
        tuple(constant(x, i) for i in found) if as_tuple else constant(x, backend_of(bare(x)).xp.stack(found, axis=1))
    )


@public
def argwhere(x: Any) -> Any:
    """The positions of the elements that are not 0, one row for each. No gradient."""
    return nonzero(x, as_tuple=False)
