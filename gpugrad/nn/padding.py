"""Borders around images and sequences: `functional.pad` and its layers, with PyTorch's names and order of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from ..ops.arguments import operand
from ..ops.padding import pad as _pad
from .module import Module

_MODES: Final = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """Elements before and after the last axes; negative numbers take away.

    Args:
        input: any shape.
        pad: (before, after) of the last axis, then of the one before it, and so on.
        mode: "constant", "reflect" (the inside mirrored, its edge not repeated), "replicate" (the edge) or "circular".
        value: of "constant"; 0 if None.

    Raises:
        ValueError: an odd number of lengths, more than there are axes, another mode, a value for another mode than
            "constant", or more to reflect or to wrap than there is.
    """
    x, pairs = operand(input), list(zip(pad[::2], pad[1::2], strict=False))
    shown = f"pad = {tuple(pad)} for input of shape {tuple(x.shape)}"
    if len(pad) % 2 or len(pairs) > x.ndim:
        raise ValueError(f"[pad] {shown}; expected (before, after) of the last axis, of the one before it, and so on")
    if mode not in _MODES:
        raise ValueError(f"[pad] mode = {mode!r}; expected {', '.join(map(repr, _MODES))}")
    if value is not None and mode != "constant":
        raise ValueError(f"[pad] value = {value} with mode = {mode!r}; only 'constant' takes one")
    for axis, (before, after) in enumerate(pairs, 1):
        room = {"reflect": x.shape[-axis] - 1, "circular": x.shape[-axis]}.get(mode, max(before, after))
        if max(before, after) > room or -min(before, 0) - min(after, 0) > x.shape[-axis]:
            raise ValueError(f"[pad] {shown}: axis {x.ndim - axis} has no such room in mode {mode!r}")
    around = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    if any(n < 0 for pair in around for n in pair):
        cut = zip(around, x.shape, strict=True)
        x = x[tuple(slice(max(0, -before), n - max(0, -after)) for (before, after), n in cut)]
        around = [(max(0, before), max(0, after)) for before, after in around]
    if not any(map(any, around)):
        return x
    if mode == "constant":
        return _pad(x, around, constant_values=0 if value is None else value)
    return _pad(x, around, mode=_MODES[mode])


class _Pad(Module):
    """What all of them share: lengths as one number or as `pad` takes them."""

    axes: ClassVar[int]
    mode: ClassVar[str] = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        lengths = (padding,) * (2 * self.axes) if isinstance(padding, int) else tuple(padding)
        if len(lengths) != 2 * self.axes:
            name, count = type(self).__name__, 2 * self.axes
            raise ValueError(f"[{name}] padding = {padding}; expected one number or {count}: (before, after) by axis")
        self.padding = lengths

    def forward(self, x: Any) -> Any:
        """(*batch, channels, *size) to the same with another size."""
        return pad(x, self.padding, self.mode, getattr(self, "value", None))

    def extra_repr(self) -> str:
        """The lengths."""
        return f"{self.padding}"


class ConstantPad1d(_Pad):
    """Sequences between elements of one value.

    Args:
        padding: before and after, one number or two.
        value: of the elements.
    """

    axes = 1

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The lengths and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Images in a border of one value; `padding` is (left, right, top, bottom)."""

    axes = 2


class ConstantPad3d(ConstantPad1d):
    """Volumes in a border of one value; `padding` is (left, right, top, bottom, front, back)."""

    axes = 3


class ZeroPad1d(_Pad):
    """Sequences between zeros."""

    axes = 1


class ZeroPad2d(_Pad):
    """Images in a border of zeros; `padding` is (left, right, top, bottom)."""

    axes = 2


class ZeroPad3d(_Pad):
    """Volumes in a border of zeros; `padding` is (left, right, top, bottom, front, back)."""

    axes = 3


class ReflectionPad1d(_Pad):
    """Sequences that go on as their own mirror image, the edge not repeated."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Images likewise; `padding` is (left, right, top, bottom)."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Volumes likewise; `padding` is (left, right, top, bottom, front, back)."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Sequences whose first and last elements are repeated."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Images whose edges are repeated; `padding` is (left, right, top, bottom)."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Volumes whose faces are repeated; `padding` is (left, right, top, bottom, front, back)."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Sequences that begin again at their end."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Images that begin again at their edges; `padding` is (left, right, top, bottom)."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Volumes that begin again at their faces; `padding` is (left, right, top, bottom, front, back)."""

    axes, mode = 3, "circular"
