"""Functional reverse mode: `grad`, `value_and_grad` and `vjp`, with JAX's names and calling conventions.

All three run the function on tensors that stand for its arguments and walk the tape back from its output. They
nest: inside another transform, or on tensors that require a gradient, the walk itself is recorded.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..backend import backend_of
from ..gradmode import enable_grad, recording
from ..lifting import here
from ..tape import Alias, GradientError, Node, walk
from ..tensor import Tensor, new_leaf, new_tensor
from .tree import flatten


class _Depth(threading.local):
    value: int = 0


_depth = _Depth()


class _Inputs:
    """Arguments replaced by tensors that the tape can be walked back to."""

    def __init__(self, tree: Any, who: str) -> None:
        leaves, self.build = flatten(tree)
        self.tensors = [_stand_in(leaf, who) for leaf in leaves]
        self.nodes: list[Node] = [t._node for t in self.tensors if t._node is not None]
        # A result is recorded in its turn when somebody further out may differentiate it.
        outer = recording() and any(isinstance(leaf, Tensor) and leaf._node is not None for leaf in leaves)
        self.graph = outer or _depth.value > 0
        self.bare = not any(isinstance(leaf, Tensor) for leaf in leaves)

    def cotangents(self, found: dict[Node, Any]) -> Any:
        """The walk's findings in the structure of the arguments; zeros where the output does not depend on one."""
        out = []
        for t in self.tensors:
            g = found.get(t._node) if t._node is not None else None
            if g is None:
                g = backend_of(t.data).xp.zeros(t.data.shape, t.data.dtype)
            out.append(self.finish(g))
        return self.build(out)

    def finish(self, g: Any) -> Any:
        """A tensor where the caller gave tensors or may differentiate further; else the bare array."""
        t = g if isinstance(g, Tensor) else new_tensor(g, None)
        return t.data if self.bare and t._node is None else t


def _stand_in(leaf: Any, who: str) -> Tensor:
    given = here(leaf if isinstance(leaf, Tensor) else Tensor(leaf))
    data, node = given.data, given._node
    if data.dtype.kind not in "fcV":
        raise TypeError(
            f"[{who}] an argument to differentiate is {type(leaf).__name__} of dtype {data.dtype}; expected floating "
            "point or complex: write 3.0 for 3, or convert with .astype(float)"
        )
    return new_tensor(data, new_leaf(data) if node is None else Alias.of(node))


def _run(f: Callable[..., Any], inputs: _Inputs, call: Callable[[Any], Any]) -> Any:
    _depth.value += 1
    try:
        with enable_grad():
            return call(inputs.build(list(inputs.tensors)))
    finally:
        _depth.value -= 1


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `f` and the function that pulls a cotangent back.

    Args:
        f: function of arrays or nested structures of them, giving an array or a structure.
        primals: its arguments.
        has_aux: `f` returns (output, auxiliary); the auxiliary is passed through.

    Returns:
        `(output, pullback)`, with `has_aux` `(output, pullback, aux)`. `pullback(cotangent)` takes the
        structure of the output and returns a tuple with one cotangent per primal; it may be called again and again.
    """
    inputs = _Inputs(primals, "vjp")
    result = _run(f, inputs, lambda args: f(*args))
    result, aux = result if has_aux else (result, None)
    outputs, build = flatten(result)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given, _ = flatten(cotangent)
        if len(given) != len(outputs):
            raise ValueError(f"[vjp] {len(given)} cotangents for an output of {len(outputs)} arrays")
        roots = []
        graph = inputs.graph or any(isinstance(c, Tensor) and c._node is not None for c in given)
        for out, c in zip(outputs, given, strict=True):
            if isinstance(out, Tensor) and out._node is not None:
                g = out._cotangent(c, "vjp")
                roots.append((out._node, g if graph else g.data))
        found = walk(roots, targets=set(inputs.nodes), retain=True, graph=graph)
        return inputs.cotangents(found)  # type: ignore[no-any-return]

    value = build([inputs.finish(_detached(o, inputs)) if isinstance(o, Tensor) else o for o in outputs])
    return (value, pullback, aux) if has_aux else (value, pullback)


def _detached(out: Tensor, inputs: _Inputs) -> Tensor:
    return out if inputs.graph else out.detach()


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The function that gives `f`'s value and its gradient in one pass: `(value, gradient)`.

    Args:
        f: function with a single-element output (with `has_aux`: `(output, auxiliary)`).
        argnums: the positional argument to differentiate, or several; then the gradient is a tuple.
        has_aux: the value becomes `(value, auxiliary)`.

    Raises:
        GradientError: the output has more than one element.
        TypeError: an argument to differentiate is not floating point.
    """

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise ValueError(f"[grad] argnums = {argnums}, but {len(args)} positional arguments were given")
        inputs = _Inputs(tuple(args[n] for n in numbers), "grad")

        def call(chosen: Any) -> Any:
            full = list(args)
            for n, value in zip(numbers, chosen, strict=True):
                full[n] = value
            return f(*full, **kwargs)

        result = _run(f, inputs, call)
        out, aux = result if has_aux else (result, None)
        if not isinstance(out, Tensor):
            out = Tensor(out)
        if out.data.size != 1:
            raise GradientError(
                f"[grad] the function returned shape {out.shape}; expected a single number: reduce it (.sum()), or use "
                "jacobian or vjp"
            )
        if out.data.dtype.kind == "c":
            raise GradientError(
                "[grad] the function returned a complex number; take its real part or its absolute value"
            )
        found: dict[Node, Any] = {}
        if out._node is not None:
            start = out._cotangent(None, "grad")
            g = start if inputs.graph else start.data
            found = walk([(out._node, g)], targets=set(inputs.nodes), graph=inputs.graph)
        gradient = inputs.cotangents(found)
        value = inputs.finish(_detached(out, inputs))
        return ((value, aux) if has_aux else value), (gradient[0] if isinstance(argnums, int) else gradient)

    return inner


def grad(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a function with a single-element output, as a function of the same arguments.

    Args:
        f: the function.
        argnums: the positional argument to differentiate, or several; then the result is a tuple.
        has_aux: `f` returns `(output, auxiliary)`; the result is `(gradient, auxiliary)`.

    Returns:
        Arrays for arrays, tensors for tensors, in the structure of the arguments. A real argument has a real
        gradient; for a complex one it is df/dx - i df/dy.

    Example:
        >>> import gpugrad as gg
        >>> float(gg.grad(lambda x: x * x * x)(2.0))
        12.0
    """
    both = value_and_grad(f, argnums, has_aux)

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return inner
