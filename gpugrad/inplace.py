"""In-place changes of tensors: on the bare array where nothing is recorded, else as a recorded result.

What the tape has saved is protected by `mutation`; which tensors show the same memory is known to `views`. What would
leave one of them with the wrong value or gradient is refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from . import mutation, views
from .anomaly import user_line
from .backend import DeviceError, WrappedArray, backend_of, is_array
from .backend.base import HERE
from .backend.placing import MANY, elsewhere
from .gradmode import recording
from .nodes import Alias, GradientError, Node
from .primitive import ELEMENTWISE, FUNCTIONS


class InPlace:
    """The part of `Tensor` that writes to it: item assignment, `+=` and its kin, PyTorch's methods with a `_`."""

    __slots__ = ()
    data: Any
    _node: Node | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes."""
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the elements."""
        return self.data.dtype

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, InPlace) and views.in_place_already(self, _bare(index), value):
            return  # the last step of t[index] += v: what is written stands there, and its gradient too
        self._write(
            "setitem",
            lambda: FUNCTIONS["index_put"](self, index, value),
            lambda x, v: _put(x, _bare(index), v),
            value,
        )

    def __iadd__(self, other: Any) -> Self:
        return self._inplace("add", other)

    def __isub__(self, other: Any) -> Self:
        return self._inplace("subtract", other)

    def __imul__(self, other: Any) -> Self:
        return self._inplace("multiply", other)

    def __itruediv__(self, other: Any) -> Self:
        return self._inplace("divide", other)

    def _inplace(self, name: str, other: Any) -> Self:
        def write(x: Any, v: Any) -> None:
            backend = backend_of(x)
            v = _beside(name, x, v)
            number = isinstance(v, (int, float))
            if backend.reduces and x.dtype.kind in "fV" and (number or getattr(v, "dtype", None) == x.dtype):
                backend.kernel(ELEMENTWISE[name].formula)(x, v, out=x)  # on a GPU, by a kernel of our own
            else:
                getattr(backend.xp, name)(x, v, out=x)

        self._write(name, lambda: FUNCTIONS[name](self, other), write, other)
        return self

    def _write(self, name: str, compute: Callable[[], Any], write: Callable[[Any, Any], None], value: Any) -> None:
        """Change the tensor in place: on the array itself where nothing is recorded, else as a recorded result.

        A recorded result takes this tensor's place, and every tensor that shows the same memory is taken of it again.
        """
        if MANY and (there := elsewhere(name, (self, value))) is not None:
            with there:
                self._write(name, compute, write, value)
            return
        node = self._node
        recorded = recording() and (node is not None or (getattr(value, "_node", None) is not None))
        if not recorded:
            if isinstance(_array(value), WrappedArray) and not isinstance(self.data, WrappedArray):
                raise GradientError(
                    f"[{name}] values that differ from example to example of a vmap, written to a tensor from outside "
                    f"it (shape {self.shape}): it would have to hold all of them; compute a new tensor, or write to "
                    "one made inside (gg.zeros, x.clone())"
                )
            write(self.data, _array(value))
            mutation.changed(self.data, name)
            return
        self._refuse_leaf(name)
        family: list[Any] = []
        if self.data.size:  # what has no element shares none
            family = views.others(self) if node is not None else views.sharers(name, self, InPlace)
        base, at, places = self._place(name, family)
        with views.written_again(self, family) if name == "setitem" and base is self else HERE:
            result = compute()
        if result.shape != self.shape:
            raise ValueError(
                f"[{name}] the result has shape {result.shape}, the tensor {self.shape}; it cannot grow in place"
            )
        result = result if result.dtype == self.dtype else FUNCTIONS["astype"](result, self.dtype)
        if base is not self:
            family = [self, *(t for t in family if t is not base)]
            with views.written_again(base, family):
                result = views.put(base, at, result)
        base._become(name, result, family, places)

    def _refuse_leaf(self, name: str) -> None:
        """A leaf's gradient would mean two things after a recorded write."""
        base = self if self._node is None else views.base_of(self)
        node = base if isinstance(base, Node) else getattr(base, "_node", None)
        if node is None or not (node.leaf or (type(node) is Alias and node.hook is None)):
            return
        what = "a leaf that requires a gradient" if node.leaf else "an argument of a transform"
        seen = "" if base is self else f"a view (shape {self.shape}) of "
        raise GradientError(
            f"[{name}] in place on {seen}{what} (shape {node.shape}): its gradient would mean two things; compute a "
            f"new tensor, write to a copy (x.clone()), or change it under gg.no_grad(). The write is at {user_line()}"
        )

    def _place(self, name: str, family: list[Any]) -> tuple[Any, Any, dict[int, Any]]:
        """The tensor that holds the memory which this one shows, and where in it this one is.

        Views that cannot be taken again by what was recorded, because nothing was or the base is gone, come with
        their positions in it, by `id`.
        """
        if not family:
            return self, None, {}
        base = None if self._node is None else views.base_of(self)
        if base is self:
            return self, None, {}
        if base is None:
            base, places = views.family_head(name, [self, *family])
            return base, places.get(id(self)), places
        at = views.positions(base, self)
        if at is None:
            raise GradientError(
                f"[{name}] in place on a broadcast view (shape {self.shape}): one element stands at many places; write "
                f"to x.clone(). The write is at {user_line()}"
            )
        return base, at, {}

    def _become(self, name: str, result: Any, family: list[Any], places: dict[int, Any]) -> None:
        """Take a recorded result's place, and the views with it; memory that only the tape still needs stays as it was.

        A tensor without a node (of `detach`, or taken under `no_grad`) shows the memory and nothing of the tape: where
        there is one, the new values are written to the memory too.
        """
        old = self._node
        if places or old is None:
            family = [t for t in family if id(t) in places]
        bare = [t for t in family if t._node is None and old is not None]
        ways = [(t, views.way(t)) for t in family if t._node is not None and not places]
        if bare:
            self.data[...] = result.data
            mutation.changed(self.data, name)
        else:
            self.data = result.data
        self._node = result._node  # type: ignore[misc]  # the slot is the subclass's
        if not family and getattr(self._node, "views", None) is None:
            return
        for t, steps in ways:
            views.replay(t, steps, self)
        for t in family if places else ():
            if old is None or t._node is not None:
                new = views.pick(self, places[id(t)])
                t.data, t._node = new.data, new._node
        views.join(self, family)

    # PyTorch's in-place methods, for initialisers and hand-written updates under no_grad.
    def copy_(self, other: Any) -> Self:
        """Overwrite the values with those of `other` (broadcast, cast)."""
        self[...] = other
        return self

    def fill_(self, value: float) -> Self:
        """Overwrite every value with a number."""
        self[...] = value
        return self

    def zero_(self) -> Self:
        """Overwrite every value with 0."""
        return self.fill_(0)

    def add_(self, other: Any, alpha: float = 1) -> Self:
        """Add `alpha * other` in place."""
        return self._inplace("add", other if alpha == 1 else other * alpha)

    def sub_(self, other: Any, alpha: float = 1) -> Self:
        """Subtract `alpha * other` in place."""
        return self._inplace("subtract", other if alpha == 1 else other * alpha)

    def mul_(self, other: Any) -> Self:
        """Multiply by `other` in place."""
        return self._inplace("multiply", other)

    def div_(self, other: Any) -> Self:
        """Divide by `other` in place."""
        return self._inplace("divide", other)

    def pow_(self, exponent: Any) -> Self:
        """Raise to a power in place."""
        return self.copy_(FUNCTIONS["power"](self, exponent))

    def clamp_(self, min: Any = None, max: Any = None) -> Self:
        """Cut the values to [min, max] in place; None for no limit."""
        return self.copy_(FUNCTIONS["clip"](self, min, max))

    def masked_fill_(self, mask: Any, value: Any) -> Self:
        """Write `value` where `mask` is true."""
        return self.copy_(FUNCTIONS["masked_fill"](self, mask, value))

    def lerp_(self, end: Any, weight: Any) -> Self:
        """Go the part `weight` of the way to `end`: self + weight * (end - self), as for averages of weights."""
        return self._inplace("add", (end - self) * weight)

    def addcmul_(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> Self:
        """Add value * tensor1 * tensor2 in place."""
        return self.add_(tensor1 * tensor2, alpha=value)

    def addcdiv_(self, tensor1: Any, tensor2: Any, *, value: float = 1) -> Self:
        """Add value * tensor1 / tensor2 in place."""
        return self.add_(tensor1 / tensor2, alpha=value)

    def uniform_(self, low: float = 0.0, high: float = 1.0) -> Self:
        """Overwrite with uniform numbers in [low, high)."""
        return self.copy_(backend_of(self.data).random("uniform", self.shape, self.dtype, low, high))

    def bernoulli_(self, p: Any = 0.5) -> Self:
        """Overwrite with 1 by the probability `p`, a number or some that broadcast, else with 0."""
        return self.copy_(FUNCTIONS["bernoulli"](self, p))

    def exponential_(self, lambd: float = 1.0) -> Self:
        """Overwrite with exponential numbers of rate `lambd`, all above 0."""
        return self.copy_(FUNCTIONS["exponential"](self, lambd))

    def normal_(self, mean: float = 0.0, std: float = 1.0) -> Self:
        """Overwrite with normal numbers of the given mean and standard deviation."""
        return self.copy_(backend_of(self.data).random("normal", self.shape, self.dtype, mean, std))


def _array(value: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return value.data if hasattr(value, "_node") else value


def _beside(name: str, x: Any, value: Any) -> Any:
    """The operand of an operation in place on the array `x`; a list as an array on its device."""
    backend = backend_of(x)
    if isinstance(value, (list, tuple)):
        return backend.xp.asarray(value)
    if not is_array(value) or isinstance(value, WrappedArray) or backend_of(value) is backend:
        return value
    if not value.ndim and type(value) is np.ndarray:
        return value.item()
    raise DeviceError(
        f"[{name}] in place on {tuple(x.shape)} {x.dtype} on {backend.device}, with {tuple(value.shape)} {value.dtype} "
        f"on {backend_of(value).device}; move it, e.g. other.to({str(backend.device)!r})"
    )


def _put(x: Any, index: Any, value: Any) -> None:
    """`x[index] = value`; arrays may show memory that is written to, which the array module minds, or be elsewhere."""
    backend = backend_of(x)
    if isinstance(value, (int, float)):
        backend.put(x, index, value)
        return
    if isinstance(value, (list, tuple)):
        value = backend.xp.asarray(value)
    if is_array(value) and not isinstance(value, WrappedArray) and (there := backend_of(value)) is not backend:
        value = backend.receive(value, there)
    x[index] = value


def _bare(index: Any) -> Any:
    """An index with arrays in place of tensors."""
    if isinstance(index, tuple):
        return tuple(_bare(i) for i in index)
    return _array(index)
