"""The short way for +, -, *, / on small CPU arrays: one ufunc call and one slotted node, nothing else.

Small networks and scalar code are bound by the cost of an operation's bookkeeping, so these four operators have
nodes of their own. Everything they do not take (large arrays, other devices, other dtypes) goes the general way of
`ops.elementwise`, with the same results.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from . import nodes
from .backend import WrappedArray
from .gradmode import short_way
from .mutation import tick
from .nodes import Node
from .primitive import FUNCTIONS

SMALL: Final = 16_384  # elements; above, recycled buffers and fused kernels are worth their overhead

_ndarray = np.ndarray
_asarray = np.asarray
_FLOATS: Final[dict[Any, dict[Any, Any]]] = {np.dtype(np.float32): {}, np.dtype(np.float64): {}}


def _array(y: Any) -> Any:
    """What an operator gave, as an array; arrays of examples are some."""
    return y if isinstance(y, WrappedArray) else _asarray(y)


def _constant(value: float, dtype: Any, known: dict[Any, Any]) -> Any:
    """A number as a 0-d array of the tensor's dtype: ufuncs take it in half the time of a Python number."""
    if len(known) > 4096:
        known.clear()
    found = _asarray(value, dtype)
    if value != 0:  # 0.0 and -0.0 are one key
        known[value] = found
    return found


def scalars_of(x: Any) -> dict[Any, Any] | None:
    """The numbers kept for arrays like `x`; None where the short way is closed (large, not a float, not NumPy)."""
    return _FLOATS.get(x.dtype) if type(x) is _ndarray and x.size < SMALL else None


def _sum(a: Any, b: Any) -> Any:
    """The sum of two tangents, each None for zero."""
    return b if a is None else a if b is None else a + b


class PassNode(Node):
    """x + number: the cotangent goes through."""

    __slots__ = ()
    name = "add"
    single = True
    fresh = False

    def vjp(self, g: Any) -> Any:
        return g

    vjp_graph = vjp

    def jvp(self, given: Any, graph: bool) -> Any:
        return given[0]


class ScaleNode(Node):
    """x * number."""

    __slots__ = ()
    name = "multiply"
    single = True

    def vjp(self, g: Any) -> Any:
        y = g * self.saved
        return y if type(y) is _ndarray else _array(y)

    def vjp_graph(self, g: Any) -> Any:
        return g * self.saved.item()

    def jvp(self, given: Any, graph: bool) -> Any:
        return given[0] * (self.saved.item() if graph else self.saved)


class UnscaleNode(Node):
    """x / number."""

    __slots__ = ()
    name = "divide"
    single = True

    def vjp(self, g: Any) -> Any:
        y = g / self.saved
        return y if type(y) is _ndarray else _array(y)

    def vjp_graph(self, g: Any) -> Any:
        return g / self.saved.item()

    def jvp(self, given: Any, graph: bool) -> Any:
        return given[0] / (self.saved.item() if graph else self.saved)


class AddNode(Node):
    """a + b."""

    __slots__ = ()
    name = "add"
    fresh = False

    def vjp(self, g: Any) -> Any:
        return g, g

    vjp_graph = vjp

    def jvp(self, given: Any, graph: bool) -> Any:
        return _sum(*given)


class SubtractNode(Node):
    """a - b."""

    __slots__ = ()
    name = "subtract"
    fresh = False

    def vjp(self, g: Any) -> Any:
        return g, (None if self.parents[1] is None else -g)

    vjp_graph = vjp

    def jvp(self, given: Any, graph: bool) -> Any:
        left, right = given
        return _sum(left, None if right is None else -right)


class MultiplyNode(Node):
    """a * b; keeps of each factor what the other one's gradient needs."""

    __slots__ = ()
    name = "multiply"

    def vjp(self, g: Any) -> Any:
        a, b = self.saved
        return (None if b is None else g * b), (None if a is None else g * a)

    def vjp_graph(self, g: Any) -> Any:
        a, b = self.saved
        p, q = self.parents
        return (
            None if b is None else g * nodes.new_tensor(b, q),
            None if a is None else g * nodes.new_tensor(a, p),
        )

    def jvp(self, given: Any, graph: bool) -> Any:
        (a, b), (p, q), (left, right) = self.saved, self.parents, given
        first = None if left is None else left * (nodes.new_tensor(b, q) if graph else b)
        return _sum(first, None if right is None else right * (nodes.new_tensor(a, p) if graph else a))


class DivideNode(Node):
    """a / b; keeps b, and a where b needs a gradient."""

    __slots__ = ()
    name = "divide"

    def vjp(self, g: Any) -> Any:
        a, b = self.saved
        p, q = self.parents
        quotient = g / b
        return (None if p is None else quotient), (None if q is None else -(quotient * (a / b)))

    def vjp_graph(self, g: Any) -> Any:
        a, b = self.saved
        p, q = self.parents
        divisor = nodes.new_tensor(b, q)
        quotient = g / divisor
        return (
            None if p is None else quotient,
            None if q is None else -(quotient * (nodes.new_tensor(a, p) / divisor)),
        )

    def jvp(self, given: Any, graph: bool) -> Any:
        (a, b), (p, q), (left, right) = self.saved, self.parents, given
        if graph:
            a, b = None if a is None else nodes.new_tensor(a, p), nodes.new_tensor(b, q)
        first = None if left is None else left / b
        return _sum(first, None if right is None else -(right * (a / b) / b))


def _keep_nothing(x: Any, y: Any, p: Any, q: Any) -> Any:
    return None


def _keep_factors(x: Any, y: Any, p: Any, q: Any) -> Any:
    return (None if q is None else x), (None if p is None else y)


def _keep_quotient(x: Any, y: Any, p: Any, q: Any) -> Any:
    return (None if q is None else x), y


def operator(
    name: str,
    scalar_node: type[Node],
    node_type: type[Node],
    keep: Callable[..., Any],
    tensor_type: Any,
) -> Callable[[Any, Any], Any]:
    """The method for `tensor <op> other`: the short way where it is open, else `FUNCTIONS[name]`."""
    ufunc = getattr(np, name)
    new = object.__new__
    keeps_constant = scalar_node in (ScaleNode, UnscaleNode)
    plain = keep is _keep_nothing

    def method(self: Any, other: Any) -> Any:
        out: Any
        kind = type(other)
        p = self._node
        if kind is float or kind is int:
            if p is not None and (known := p.scalars) is not None and short_way():
                c = known.get(other)
                if c is None:
                    c = _constant(other, p.dtype, known)
                y = ufunc(self.data, c)
                out = new(tensor_type)
                out.data = y if type(y) is _ndarray else _asarray(y)
                out._node = node = scalar_node()
                node.parents = p
                node.saved = c if keeps_constant else None
                node.seq = tick()
                node.shape = p.shape
                node.dtype = p.dtype
                node.scalars = known
                return out
        elif isinstance(other, tensor_type):
            x, z = self.data, other.data
            if type(x) is _ndarray and type(z) is _ndarray and x.dtype is z.dtype:
                known = scalars_of(x)
                if known is not None and z.size < SMALL:
                    q = other._node
                    recorded = p is not None or q is not None
                    if not recorded or short_way():
                        y = ufunc(x, z)
                        out = new(tensor_type)
                        out.data = y = y if type(y) is _ndarray else _asarray(y)
                        if not recorded:
                            out._node = None
                            return out
                        out._node = node = node_type()
                        node.parents = (p, q)
                        node.saved = None if plain else keep(x, z, p, q)
                        node.seq = tick()
                        node.shape = y.shape
                        node.dtype = y.dtype
                        node.scalars = known
                        return out
        return FUNCTIONS[name](self, other)

    method.__name__ = name
    return method


def install(tensor_type: type) -> None:
    """Give the tensor class its four operators and their reflections."""
    for symbol, name, scalar, node, keep in (
        ("add", "add", PassNode, AddNode, _keep_nothing),
        ("sub", "subtract", PassNode, SubtractNode, _keep_nothing),
        ("mul", "multiply", ScaleNode, MultiplyNode, _keep_factors),
        ("truediv", "divide", UnscaleNode, DivideNode, _keep_quotient),
    ):
        setattr(tensor_type, f"__{symbol}__", operator(name, scalar, node, keep, tensor_type))
    # a + x and x + a are the same operation; the other two reflections have no short way of their own
    setattr(tensor_type, "__radd__", getattr(tensor_type, "__add__"))  # noqa: B009, B010 - unknown to type checkers
    setattr(tensor_type, "__rmul__", getattr(tensor_type, "__mul__"))  # noqa: B009, B010
