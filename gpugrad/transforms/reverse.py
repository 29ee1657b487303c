"""Functional reverse mode: `grad`, `value_and_grad` and `vjp`, with JAX's names and calling conventions.

All three run the function on tensors that stand for its arguments and walk the tape back from its output. They
nest: inside another transform, or on tensors that require a gradient, the walk itself is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import is_array
from ..nodes import GradientError, Node
from ..tape import walk
from ..tensor import Tensor
from .record import Inputs, Recorded, positions, require_function, run


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """The value of `f` and the function that pulls a cotangent back.

    Args:
        f: function of arrays or nested structures of them, giving an array or a structure.
        primals: its arguments.
        has_aux: `f` returns (output, auxiliary); the auxiliary is given as the output is.

    Returns:
        `(output, pullback)`, with `has_aux` `(output, pullback, aux)`. `pullback(cotangent)` takes the
        structure of the output and returns a tuple with one cotangent per primal; it may be called again and again.
    """
    recorded = Recorded(f, primals, "vjp", has_aux)
    if has_aux:
        return recorded.value(), recorded.pull, recorded.aux
    return recorded.value(), recorded.pull


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The function that gives `f`'s value and its gradient in one pass: `(value, gradient)`.

    Args:
        f: function with a single-element output (with `has_aux`: `(output, auxiliary)`).
        argnums: the positional argument to differentiate, or several; then the gradient is a tuple.
        has_aux: the value becomes `(value, auxiliary)`.
        holomorphic: `f` is a holomorphic function of complex arguments; the gradient is its complex derivative.

    Raises:
        GradientError: the output has more than one element, or is complex without `holomorphic`.
        TypeError: an argument to differentiate is not floating point; with `holomorphic`, it or the output is not
            complex.
    """
    _require_function(f)

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        numbers = positions("grad", argnums, len(args))
        inputs = Inputs(tuple(args[n] for n in numbers), "grad")
        if holomorphic:
            require_complex("grad", inputs.tensors, "an argument")

        def call(chosen: Any) -> Any:
            full = list(args)
            for n, value in zip(numbers, chosen, strict=True):
                full[n] = value
            return f(*full, **kwargs)

        result = run(inputs, call)
        out, aux = inputs.parted(result) if has_aux else (result, None)
        if not isinstance(out, Tensor):
            out = Tensor(_number(out))
        if out.data.size != 1:
            raise GradientError(
                f"[grad] the function returned shape {out.shape}; expected a single number: reduce it (.sum()), or use "
                "jacobian or vjp"
            )
        if holomorphic:
            require_complex("grad", [out], "the output")
        elif out.data.dtype.kind == "c":
            raise GradientError(
                "[grad] the function returned a complex number; take its real part or its absolute value, or say "
                "holomorphic=True if it has a complex derivative"
            )
        found: dict[Node, Any] = {}
        if out._node is not None:
            start = out._cotangent(None, "grad")
            g = start if inputs.graph else start.data
            found = walk([(out._node, g)], targets=set(inputs.nodes), graph=inputs.graph)
        gradient = inputs.cotangents(found)
        value = inputs.finish(inputs.outer(out))
        return ((value, aux) if has_aux else value), (gradient[0] if isinstance(argnums, int) else gradient)

    return inner


def _require_function(f: Any) -> None:
    """Refuse what PyTorch's `autograd.grad` takes, with its name here."""
    if isinstance(f, Tensor):
        raise TypeError(
            f"[grad] got a tensor of shape {f.shape}; expected a function. Gradients of tensors by tensors are "
            "gg.autograd.grad(outputs, inputs), or y.backward()"
        )
    require_function("grad", f)


def _number(out: Any) -> Any:
    if not isinstance(out, int | float | complex | np.generic) and not is_array(out):
        raise GradientError(f"[grad] the function returned {type(out).__name__}; expected a single number")
    return out


def require_complex(who: str, tensors: Sequence[Any], what: str) -> None:
    """What `holomorphic=True` asks of arguments and outputs.

    Raises:
        TypeError: one of them is not complex.
    """
    for t in tensors:
        if np.dtype(t.dtype).kind != "c":
            raise TypeError(
                f"[{who}] holomorphic=True, but {what} is {t.dtype} of shape {tuple(t.shape)}; expected complex: "
                "convert it, or leave holomorphic away"
            )


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The gradient of a function with a single-element output, as a function of the same arguments.

    Args:
        f: the function.
        argnums: the positional argument to differentiate, or several; then the result is a tuple.
        has_aux: `f` returns `(output, auxiliary)`; the result is `(gradient, auxiliary)`.
        holomorphic: `f` is a holomorphic function of complex arguments, with a complex output; the result is its
            complex derivative df/dz. This is taken on trust.

    Returns:
        Arrays for arrays, tensors for tensors, in the structure of the arguments. A real argument has a real
        gradient; for a complex one it is df/dx - i df/dy (JAX's convention; the steepest descent is along the
        conjugate).

    Raises:
        GradientError: as for `value_and_grad`.
        TypeError: likewise.

    Example:
        >>> import gpugrad as gg
        >>> float(gg.grad(lambda x: x * x * x)(2.0))
        12.0
        >>> complex(gg.grad(lambda z: z * z, holomorphic=True)(1.0 + 2.0j))
        (2+4j)
    """
    both = value_and_grad(f, argnums, has_aux, holomorphic)

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return inner
