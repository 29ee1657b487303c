"""Jacobians and Hessians, all rows or columns at once; products with Hessians; slopes of elementwise functions.

A Jacobian is a mapped pullback (`jacrev`) or a mapped pushforward (`jacfwd`); the rest is composed of those.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..tensor import Tensor, new_tensor
from .batch import vmap
from .forward import jvp
from .record import Recorded, positions, require_function
from .reverse import grad, require_complex, vjp
from .tree import flatten


def jacrev(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Jacobian of a function, by reverse mode: one backward pass for all elements of the output together.

    Best where the output has fewer elements than the arguments.

    Args:
        f: function of arrays or nested structures of them, giving an array or a structure (with `has_aux`:
            `(output, auxiliary)`).
        argnums: the positional argument to differentiate, or several; then each Jacobian is a tuple.
        has_aux: the result is `(jacobian, auxiliary)`.
        holomorphic: `f` is a holomorphic function of complex arguments; the Jacobian is its complex derivative.

    Returns:
        A function of the same arguments. For each array of the output, in its structure, the structure of the argument
        with arrays of shape `output.shape + argument.shape`: arrays for arrays, tensors for tensors.

    Raises:
        TypeError: an argument or an output is not floating point or complex; an output is complex without
            `holomorphic` (of a real output of complex arguments the rows are df/dx - i df/dy, as in `grad`), or one of
            them is real with it.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> gg.jacrev(lambda x: x * x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        chosen, primals = _chosen("jacrev", f, argnums, args, kwargs)
        recorded = Recorded(chosen, primals, "jacrev", has_aux)
        _require_field("jacrev", holomorphic, recorded, "outputs")
        jacobian = _by_rows(recorded, argnums)
        return (jacobian, recorded.aux) if has_aux else jacobian

    return inner


def _outputs(recorded: Recorded) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """What the function gave, numbers (of what does not depend on the arguments) as arrays, and its structure."""
    outputs, build = flatten(recorded.value())
    return [np.asarray(y) if isinstance(y, float | complex | np.generic) else y for y in outputs], build


def _by_rows(recorded: Recorded, argnums: int | Sequence[int]) -> Any:
    outputs, build = _outputs(recorded)
    rows = []
    for i, y in enumerate(outputs):
        gradient = _rows(y, i, outputs, build, recorded)
        rows.append(gradient[0] if isinstance(argnums, int) else gradient)
    return build(rows)


def jacfwd(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The Jacobian of a function, by forward mode: one forward pass for all elements of the argument together.

    Best where the arguments have fewer elements than the output.

    Args:
        f: as for `jacrev`.
        argnums: likewise.
        has_aux: likewise.
        holomorphic: likewise.

    Returns:
        As `jacrev`'s: arrays of shape `output.shape + argument.shape`, complex where the output is.

    Raises:
        TypeError: an argument or an output is not floating point or complex; an argument is complex without
            `holomorphic`, or one of them is real with it.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> gg.jacfwd(lambda x: gg.stack([x[0] * x[1], x[0], x[1]]))(np.array([2.0, 3.0]))
        array([[3., 2.],
               [1., 0.],
               [0., 1.]])
    """

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        chosen, primals = _chosen("jacfwd", f, argnums, args, kwargs)
        recorded = Recorded(chosen, primals, "jacfwd", has_aux)
        _require_field("jacfwd", holomorphic, recorded, "arguments")
        jacobian = _by_columns(recorded, primals, argnums)
        return (jacobian, recorded.aux) if has_aux else jacobian

    return inner


def _by_columns(recorded: Recorded, primals: tuple[Any, ...], argnums: int | Sequence[int]) -> Any:
    outputs, build = _outputs(recorded)
    leaves, rebuild = flatten(primals)
    columns = [_columns(recorded, leaves, i, rebuild) for i in range(len(leaves))]
    found = []
    for k, y in enumerate(outputs):
        _require_differentiable("jacfwd", y)
        parts = [column[k].reshape((*y.shape, *np.shape(_bare(x)))) for column, x in zip(columns, leaves, strict=True)]
        whole = rebuild(parts)
        found.append(whole[0] if isinstance(argnums, int) else whole)
    return build(found)


def _columns(recorded: Recorded, leaves: list[Any], i: int, rebuild: Callable[[list[Any]], Any]) -> list[Any]:
    """For each output the tangents along each element of argument `i`, behind its own axes."""
    zeros = [_zeros(x if isinstance(x, Tensor) or is_array(x) else np.asarray(x)) for x in leaves]
    x = leaves[i]
    backend = backend_of(_bare(x))
    array = backend.xp.asarray(_bare(x))
    basis = backend.xp.eye(array.size, dtype=array.dtype).reshape((array.size, *array.shape))

    def pushed(direction: Any) -> Any:
        return recorded.push(rebuild([*zeros[:i], direction, *zeros[i + 1 :]]))

    found = vmap(pushed, out_axes=-1)(new_tensor(basis, None) if isinstance(x, Tensor) else basis)
    return flatten(found)[0]


def jacobian(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    mode: str = "auto",
) -> Callable[..., Any]:
    """The Jacobian of a function, by the mode that has less to do.

    Args:
        f: as for `jacrev`.
        argnums: likewise.
        has_aux: likewise.
        holomorphic: likewise.
        mode: "rev" for `jacrev`, "fwd" for `jacfwd`, "auto" for the second where the arguments have fewer elements
            than the output (without `holomorphic` complex arguments take "rev", complex outputs "fwd").

    Returns:
        As `jacrev`'s.

    Raises:
        ValueError: an unknown mode.
        TypeError: as for `jacrev` and `jacfwd`.
    """
    if mode not in ("auto", "rev", "fwd"):
        raise ValueError(f"[jacobian] mode = {mode!r}; expected 'auto', 'rev' or 'fwd'")
    if mode != "auto":
        return (jacrev if mode == "rev" else jacfwd)(f, argnums, has_aux, holomorphic)

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        chosen, primals = _chosen("jacobian", f, argnums, args, kwargs)
        recorded = Recorded(chosen, primals, "jacobian", has_aux)
        forward = sum([x.data.size for x in recorded.inputs.tensors]) < sum([_size(y) for y in recorded.outputs])
        if not holomorphic:
            curved = any(x.dtype.kind == "c" for x in recorded.inputs.tensors)
            forward = not curved and (forward or any(_kind(y) == "c" for y in recorded.outputs))
        _require_field("jacobian", holomorphic, recorded, "arguments" if forward else "outputs")
        found = _by_columns(recorded, primals, argnums) if forward else _by_rows(recorded, argnums)
        return (found, recorded.aux) if has_aux else found

    return inner


def hessian(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False, holomorphic: bool = False
) -> Callable[..., Any]:
    """The second derivatives of a function with a single-element output: forward mode over reverse mode.

    Args:
        f: as for `grad`.
        argnums: the positional argument to differentiate, or several; then the result is a tuple of tuples.
        has_aux: the result is `(hessian, auxiliary)`.
        holomorphic: `f` is a holomorphic function of complex arguments; the result is its second complex derivative.

    Returns:
        A function of the same arguments, giving for arrays `x` and `y` of the argument's structure arrays of shape
        `x.shape + y.shape`.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> gg.hessian(lambda x: x[0] ** 2 * x[1])(np.array([1.0, 3.0]))
        array([[6., 2.],
               [2., 0.]])
    """
    return jacfwd(grad(f, argnums, has_aux, holomorphic), argnums, has_aux, holomorphic)


def hvp(f: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """The product of a function's Hessian with a direction, at the cost of a few gradients: forward over reverse.

    Args:
        f: function of arrays or structures with a single-element output.
        primals: its arguments, a tuple, all of them differentiated.
        tangents: the direction, a tuple of the same structure.

    Returns:
        A tuple of the same structure as `primals` (for a single argument the entry itself).
    """
    numbers = tuple(range(len(primals)))
    product = jvp(grad(f, numbers), primals, tangents)[1]
    return product[0] if len(primals) == 1 else product


def elementwise_grad(f: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The derivative of a function that works element by element, for all elements at once.

    Args:
        f: a function each element of whose output depends on the element of the argument in its place alone; the
            shapes are those of NumPy's broadcasting. Of another function the result is the sum of the Jacobian's rows.
        argnums: the positional argument to differentiate.

    Returns:
        A function of the same arguments; its results have the shape of the argument.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> gg.elementwise_grad(lambda x: x**3)(np.array([1.0, 2.0]))
        array([ 3., 12.])
    """

    @functools.wraps(f)
    def inner(*args: Any, **kwargs: Any) -> Any:
        chosen, primals = _chosen("elementwise_grad", f, argnums, args, kwargs)
        value, pullback = vjp(chosen, *primals)
        outputs, build = flatten(value)
        ones = []
        for y in outputs:
            _require_differentiable("elementwise_grad", y)
            array = backend_of(_bare(y)).xp.ones(y.shape, y.dtype)
            ones.append(new_tensor(array, None) if isinstance(y, Tensor) else array)
        return pullback(build(ones))[0]

    return inner


def _chosen(
    who: str, f: Callable[..., Any], argnums: int | Sequence[int], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """`f` as a function of the arguments that `argnums` names, and those arguments."""
    require_function(who, f)
    numbers = positions(who, argnums, len(args))

    def chosen(*primals: Any) -> Any:
        full = list(args)
        for n, value in zip(numbers, primals, strict=True):
            full[n] = value
        return f(*full, **kwargs)

    return chosen, tuple(args[n] for n in numbers)


def _require_field(who: str, holomorphic: bool, recorded: Recorded, side: str) -> None:
    """Which arguments and outputs may be complex; `side` is where the mode looks along the real axis only."""
    outputs = [y for y in recorded.outputs if hasattr(y, "dtype")]
    if holomorphic:
        require_complex(who, recorded.inputs.tensors, "an argument")
        require_complex(who, outputs, "an output")
        return
    for t in recorded.inputs.tensors if side == "arguments" else outputs:
        if t.dtype.kind == "c":
            one, other = ("an argument", "jacrev") if side == "arguments" else ("an output", "jacfwd")
            raise TypeError(
                f"[{who}] {one} is {t.dtype} of shape {tuple(t.shape)}; say holomorphic=True if the function has a "
                f"complex derivative, use {other} if the other side is real, or take real and imaginary parts"
            )


def _kind(y: Any) -> str:
    return str(np.dtype(getattr(y, "dtype", type(y))).kind)


def _require_differentiable(who: str, y: Any) -> None:
    if not (isinstance(y, Tensor) or is_array(y)) or y.dtype.kind not in "fcV":
        shown = f"{tuple(y.shape)} {y.dtype}" if hasattr(y, "dtype") else repr(y)
        raise TypeError(f"[{who}] an output is {shown}; expected floating point or complex arrays")


def _rows(y: Any, i: int, outputs: list[Any], build: Callable[[list[Any]], Any], recorded: Recorded) -> Any:
    """The cotangents of the arguments for each element of output `i`, in front of each its shape."""
    _require_differentiable("jacrev", y)
    zeros = [_zeros(o) for o in outputs]
    size, shape = math.prod(y.shape), tuple(y.shape)

    def pull(row: Any) -> Any:
        return recorded.pull(build([*zeros[:i], row, *zeros[i + 1 :]]))

    xp = backend_of(_bare(y)).xp
    basis = xp.eye(size, dtype=y.dtype).reshape((size, *shape))
    found = vmap(pull)(new_tensor(basis, None) if isinstance(y, Tensor) else basis)
    leaves, rebuild = flatten(found)
    return rebuild([g.reshape((*shape, *g.shape[1:])) for g in leaves])


def _size(y: Any) -> int:
    return int(np.size(_bare(y)))


def _bare(y: Any) -> Any:
    return y.data if isinstance(y, Tensor) else y


def _zeros(y: Any) -> Any:
    array = _bare(y)
    if not is_array(array):
        return y
    zeros = backend_of(array).xp.zeros(array.shape, array.dtype)
    return new_tensor(zeros, None) if isinstance(y, Tensor) else zeros
