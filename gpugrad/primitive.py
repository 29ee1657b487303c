"""Operations as the tape sees them: a forward, a rule, and a cost.

`Primitive` is the contract of an operation's author; `REGISTRY` lists every one, so that tests can ask for a row
for each. Recording and walking belong to `tape`; calling with tensors belongs to `tensor`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

Shape = tuple[int, ...]
Needs = tuple[bool, ...]
T = TypeVar("T")

OUT: Final = -1  # in `keeps`: the output itself, the last of a call's values

REGISTRY: Final[dict[str, Primitive]] = {}
ELEMENTWISE: Final[dict[str, Any]] = {}  # the elementwise operations: they have a formula in place of a rule
FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {}  # every public function by name: what methods and protocols call


def picker(places: Sequence[int | None]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """A function that takes a call's inputs and last its output, and gives those in `places`; None for None."""
    if len(places) > 1 and None not in places:
        return operator.itemgetter(*places)
    return lambda values: tuple([None if k is None else values[k] for k in places])


class Operation(Protocol):
    """A public function as most methods see it: called with a tensor, it gives one."""

    def __call__(self, x: T, /, *args: Any, **kwargs: Any) -> T:
        """The result, of the kind of `x`."""


def public(function: Callable[..., Any]) -> Callable[..., Any]:
    """Register a function under its name, so that tensor methods and NumPy's protocols find it."""
    FUNCTIONS[function.__name__] = function
    return function


def public_in(space: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As `public`, for functions of one of NumPy's submodules: `det` of the space "linalg" becomes "linalg.det"."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[f"{space}.{function.__name__}"] = function
        return function

    return register


class Primitive:
    """One differentiable operation on arrays.

    Args:
        name: its name in errors, profiles and the registry.
        forward: `forward(needs, *arrays, **static) -> (output, extras)`. `needs[i]` says whether input i needs a
            gradient. `extras` is a tuple of what else the rule wants (masks, indices, shapes): constants to the
            derivative. With `outputs > 1` the output is a tuple of arrays, and the rule's `g` a list with a
            cotangent for each, None where there is none.
        rule: `rule(g, needs, *kept, *extras, **static) -> cotangents`, one for each input (None where `needs` is
            False). Written with gpugrad's own functions, it serves every order: they take bare arrays and tensors
            alike. `kept` are the values named in `keeps`, in order, None where not needed.
        keeps: for each input, which values its cotangent is computed from: positions of inputs, or `OUT` (of several
            outputs all, each an argument of the rule).
        reference: the same function as a composition of other operations. An operation whose rule works on
            bare arrays only gives this one, and higher derivatives go through it.
        fresh: whether the rule returns new arrays (never its cotangent `g` or a view of something kept).
        flops: `flops(shapes, out_shape, **static)`, arithmetic operations of the forward; one for each element of
            the output if not given. `vjp_flops(shapes, out_shape, needs, **static)` likewise for the rule.
        bytes: `bytes(sizes, out_size, **static)`, bytes that the forward reads and writes, from those of its inputs and
            its outputs; all of them once if not given. `vjp_bytes(sizes, out_size, needs, **static)` likewise for the
            rule: for each cotangent the output's, what it is computed from by `keeps`, and itself if not given.
        outputs: how many outputs the forward has.
        linear: whether the forward is linear in all its inputs together, so that it maps tangents too.
        bilinear: whether it is linear in each of its two inputs, and keeps each where the other needs a gradient.
        jvp: `jvp(tangents, needs, *kept, *extras, **static) -> tangent` of the output, None for the tangent of an input
            that has none. Without any of the three, forward mode is the reverse mode of the rule.
        view: whether the output may show its first input's memory: in-place writes to either then reach the other.
        describe: `describe(kept, **static) -> str`, what is worth knowing of a recorded call beyond shapes, as the
            chosen algorithm: `gg.explain` shows it. `kept` is what the node keeps: values by `keeps`, extras.

    Raises:
        ValueError: the name is taken.
    """

    __slots__ = (
        "_bytes",
        "_flops",
        "_keepers",
        "_kept",
        "_vjp_bytes",
        "_vjp_flops",
        "bilinear",
        "describe",
        "forward",
        "fresh",
        "jvp",
        "keeps",
        "keeps_output",
        "linear",
        "name",
        "outputs",
        "reference",
        "rule",
        "view",
    )

    def __init__(
        self,
        name: str,
        forward: Callable[..., tuple[Any, tuple[Any, ...]]],
        rule: Callable[..., tuple[Any, ...]] | None,
        *,
        keeps: tuple[tuple[int, ...], ...] = (),
        reference: Callable[..., Any] | None = None,
        fresh: bool = True,
        flops: Callable[..., int] | None = None,
        vjp_flops: Callable[..., int] | None = None,
        bytes: Callable[..., int] | None = None,
        vjp_bytes: Callable[..., int] | None = None,
        outputs: int = 1,
        linear: bool = False,
        bilinear: bool = False,
        jvp: Callable[..., Any] | None = None,
        view: bool = False,
        describe: Callable[..., str] | None = None,
    ) -> None:
        if name in REGISTRY:
            raise ValueError(f"[{name}] a primitive of this name is registered already")
        self.name = name
        self.forward = forward
        self.rule = rule
        self.keeps = keeps
        self.keeps_output = any(OUT in keep for keep in keeps)
        self.reference = reference
        self.fresh = fresh
        self.outputs = outputs
        self.linear = linear
        self.bilinear = bilinear
        self.jvp = jvp
        self.view = view
        self.describe = describe
        self._flops = flops
        self._vjp_flops = vjp_flops
        self._bytes = bytes
        self._vjp_bytes = vjp_bytes
        self._kept: dict[Needs, tuple[tuple[int, bool], ...]] = {}
        self._keepers: dict[Needs, Callable[[list[Any]], tuple[Any, ...]]] = {}
        REGISTRY[name] = self

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def kept(self, needs: Needs) -> tuple[tuple[int, bool], ...]:
        """The values the rule takes, in order (inputs by position, then `OUT`), and whether `needs` asks for each."""
        found = self._kept.get(needs)
        if found is None:
            every = sorted({k for keep in self.keeps for k in keep}, key=lambda k: (k == OUT, k))
            wanted = {k for keep, need in zip(self.keeps, needs, strict=False) if need for k in keep}
            found = self._kept[needs] = tuple((k, k in wanted) for k in every)
        return found

    def keeper(self, needs: Needs) -> Callable[[list[Any]], tuple[Any, ...]]:
        """The same as a function of a call's inputs and, last, its output: the values, None for those not asked for."""
        found = self._keepers.get(needs)
        if found is None:
            places = [k if wanted else None for k, wanted in self.kept(needs)]
            found = self._keepers[needs] = picker(places)
        return found

    def flops(self, shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
        """Arithmetic operations of the forward, from shapes alone (a multiply-add counts as two)."""
        if self._flops is not None:
            return self._flops(shapes, out_shape, **static)
        return math.prod(out_shape)

    def vjp_flops(self, shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
        """Arithmetic operations of the rule for the inputs that `needs` names."""
        if self._vjp_flops is not None:
            return self._vjp_flops(shapes, out_shape, needs, **static)
        return sum(needs) * self.flops(shapes, out_shape, **static)

    def bytes(self, sizes: tuple[int, ...], out_size: int, **static: Any) -> int:
        """Bytes that the forward must read and write, from those of its inputs and outputs; 0 for a view."""
        if self._bytes is not None:
            return self._bytes(sizes, out_size, **static)
        return sum(sizes) + out_size

    def vjp_bytes(self, sizes: tuple[int, ...], out_size: int, needs: Needs, **static: Any) -> int:
        """Bytes that the rule must read and write for the inputs that `needs` names."""
        if self._vjp_bytes is not None:
            return self._vjp_bytes(sizes, out_size, needs, **static)
        total = 0
        for i, need in enumerate(needs):
            if need:
                keeps = self.keeps[i] if i < len(self.keeps) else ()
                total += out_size + sum([out_size if k == OUT else sizes[k] for k in keeps]) + sizes[i]
        return total
