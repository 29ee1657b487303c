"""Jacobians: all rows of a pullback at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..tensor import Tensor, new_tensor
from .batch import vmap
from .reverse import vjp
from .tree import flatten


def jacrev(f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The Jacobian of a function, by reverse mode: one backward pass for all elements of the output together.

    Best where the output has fewer elements than the arguments.

    Args:
        f: function of arrays or nested structures of them, giving an array or a structure (with `has_aux`:
            `(output, auxiliary)`).
        argnums: the positional argument to differentiate, or several; then each Jacobian is a tuple.
        has_aux: the result is `(jacobian, auxiliary)`.

    Returns:
        A function of the same arguments. For each array of the output, in its structure, the structure of the argument
        with arrays of shape `output.shape + argument.shape`: arrays for arrays, tensors for tensors.

    Raises:
        TypeError: an argument or an output is not floating point or complex. Of a complex output the rows are
            df/dx - i df/dy, as in `grad`.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> gg.jacrev(lambda x: x * x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise ValueError(f"[jacrev] argnums = {argnums}, but {len(args)} positional arguments were given")

        def chosen(*primals: Any) -> Any:
            full = list(args)
            for n, value in zip(numbers, primals, strict=True):
                full[n] = value
            return f(*full, **kwargs)

        value, pullback, *aux = vjp(chosen, *(args[n] for n in numbers), has_aux=has_aux)
        outputs, build = flatten(value)
        outputs = [np.asarray(y) if isinstance(y, (float, complex)) else y for y in outputs]
        rows = []
        for i, y in enumerate(outputs):
            gradient = _rows(y, i, outputs, build, pullback)
            rows.append(gradient[0] if isinstance(argnums, int) else gradient)
        jacobian = build(rows)
        return (jacobian, aux[0]) if has_aux else jacobian

    return inner


def _rows(y: Any, i: int, outputs: list[Any], build: Callable[[list[Any]], Any], pullback: Callable[[Any], Any]) -> Any:
    """The cotangents of the arguments for each element of output `i`, in front of each its shape."""
    if not (isinstance(y, Tensor) or is_array(y)) or y.dtype.kind not in "fcV":
        shown = f"{tuple(y.shape)} {y.dtype}" if hasattr(y, "dtype") else repr(y)
        raise TypeError(f"[jacrev] an output is {shown}; expected floating point or complex arrays")
    zeros = [_zeros(o) for o in outputs]
    size, shape = math.prod(y.shape), tuple(y.shape)

    def pull(row: Any) -> Any:
        return pullback(build([*zeros[:i], row, *zeros[i + 1 :]]))

    xp = backend_of(_bare(y)).xp
    basis = xp.eye(size, dtype=y.dtype).reshape((size, *shape))
    found = vmap(pull)(new_tensor(basis, None) if isinstance(y, Tensor) else basis)
    leaves, rebuild = flatten(found)
    return rebuild([g.reshape((*shape, *g.shape[1:])) for g in leaves])


def _bare(y: Any) -> Any:
    return y.data if isinstance(y, Tensor) else y


def _zeros(y: Any) -> Any:
    array = _bare(y)
    if not is_array(array):
        return y
    zeros = backend_of(array).xp.zeros(array.shape, array.dtype)
    return new_tensor(zeros, None) if isinstance(y, Tensor) else zeros
