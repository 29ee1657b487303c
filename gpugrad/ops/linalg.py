"""Matrix products: matmul of every rank that NumPy takes, and `linear`, the affine map of a layer.

The products themselves are the backend's; which routine runs on a GPU is decided there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import backend_of, is_array
from ..casting import CASTING, cast, narrowed
from ..primitive import Needs, Primitive, Shape, public
from ..tensor import Tensor, apply
from .arguments import added, backend_for_all, bare, operand
from .cast import clone


def _transposed(x: Any) -> Any:
    return x.swapaxes(-1, -2)


def _stacked(x: Any) -> Any:
    """`x`, of four axes or more; copied once where its matrices lie so that each product would take many launches."""
    array = bare(x)
    if not backend_of(array).scattered(array):
        return x
    by_columns = array.strides[-2] < array.strides[-1]
    return _transposed(clone(_transposed(x))) if by_columns else clone(x)


def _matmul_forward(needs: Needs, a: Any, b: Any, *, wide: bool = False) -> tuple[Any, tuple[Any, ...]]:
    """The product; `wide`, of a rule's operands in half precision, in float32."""
    backend = backend_for_all("matmul", a, b)
    # Where b needs no gradient of a it is not kept; how many axes it has the rule has to know all the same.
    return (backend.matmul_wide if wide else backend.matmul)(a, b), (b.ndim,)


def _matmul_rule(g: Any, needs: Needs, a: Any, b: Any, axes_of_b: int) -> tuple[Any, Any]:
    g = _stacked(g) if g.ndim > 3 else g
    ga = matmul(g, _transposed(b)) if needs[0] else None
    if not needs[1]:
        return ga, None
    if g.ndim > 2 and a.ndim == g.ndim and axes_of_b == 2:
        # One product over all the rows instead of one for each matrix and a sum of the results.
        return ga, matmul(a.reshape(-1, a.shape[-1]).T, g.reshape(-1, g.shape[-1]))
    return ga, matmul(_transposed(a), g)


def _matmul_flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    return 2 * math.prod(out_shape) * shapes[0][-1]


def _matmul_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs) -> int:
    return sum(needs) * _matmul_flops(shapes, out_shape)


MATMUL = Primitive(
    "matmul",
    _matmul_forward,
    _matmul_rule,
    keeps=((1,), (0,)),
    flops=_matmul_flops,
    vjp_flops=_matmul_vjp_flops,
    bilinear=True,
)


@public
def matmul(a: Any, b: Any) -> Any:
    """The matrix product, as `numpy.matmul`: stacks of matrices broadcast, vectors are rows or columns.

    Args:
        a: (*batch, m, k) or (k,).
        b: (*batch, k, n) or (k,).

    Returns:
        (*batch, m, n), without the axes that a vector lacks.

    Raises:
        ValueError: the inner lengths differ, or an operand is a single number.
    """
    a = a if isinstance(a, Tensor) or is_array(a) else np.asarray(a)
    b = b if isinstance(b, Tensor) or is_array(b) else np.asarray(b)
    left, right = a.ndim, b.ndim
    if not left or not right or a.shape[-1] != b.shape[-2 if right > 1 else 0]:
        raise ValueError(
            f"[matmul] shapes {tuple(a.shape)} and {tuple(b.shape)}: "
            "expected (..., m, k) and (..., k, n), or vectors (k,)"
        )
    if left > 1 and right > 1:
        a, b = _stacked(a) if left > 3 else a, _stacked(b) if right > 3 else b
        return apply(MATMUL, (a, b), {})
    rows = a.reshape(1, -1) if left == 1 else a
    columns = b.reshape(-1, 1) if right == 1 else b
    out = apply(MATMUL, (rows, columns), {})
    shape = out.shape[:-2] + (() if left == 1 else out.shape[-2:-1]) + (() if right == 1 else out.shape[-1:])
    return out.reshape(shape)


def _linear_forward(
    needs: Needs, x: Any, weight: Any, bias: Any = None, **static: Any
) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_for_all("linear", x, weight, bias)
    y = backend.linear(x, weight, bias)
    # The weight's gradient comes in the weight's own memory order, so that updates run over both without gaps.
    return y, (weight.flags.f_contiguous and not weight.flags.c_contiguous,)


def _bare_product(a: Any, b: Any) -> Any:
    return MATMUL.forward((False, False), a, b)[0]  # by the primitive, so that a profile counts it


def _rows(a: Any) -> Any:
    """(*batch, n) as (rows, n)."""
    if a.ndim == 2:
        return a
    shape = math.prod(a.shape[:-1]), a.shape[-1]
    return backend_of(a).reshape(a, shape) if is_array(a) else a.reshape(shape)


def _linear_rule(
    g: Any, needs: Needs, x: Any, weight: Any, by_columns: bool, *, wide: tuple[bool, ...] = (False, False)
) -> tuple[Any, ...]:
    """`wide` says whose cotangents come in float32, those of `x` and of the weight: operands that autocast has cast."""
    bare = is_array(g)
    # Straight to the product where there is nothing to record; the way there costs as much as several small ones.
    plain = all(v is None or type(v) is np.ndarray for v in (g, x, weight))
    product = _bare_product if plain else matmul
    gx = None
    if needs[0]:
        gx = _wide_product(g, weight) if wide[0] and bare else product(g, weight)
    rows = _rows(g)
    gw = gb = None
    with_bias = len(needs) == 3 and needs[2]
    if needs[1]:
        x = _rows(x)
        wider = wide[1] and bare
        product = _wide_product if wider else product
        both = backend_of(rows).weight_and_bias(x, rows, by_columns, wider) if with_bias and bare else None
        if both is not None:
            return gx, *both
        gw = product(x.T, rows).T if by_columns else product(rows.T, x)
    if with_bias:
        gb = backend_of(rows).column_sum(rows) if bare else rows.sum(0)
    return (gx, gw, gb)[: len(needs)]


def _wide_product(a: Any, b: Any) -> Any:
    """The product of bare arrays in half precision, in float32."""
    return apply(MATMUL, (a, b), {"wide": True})


def _linear_jvp(given: Any, needs: Needs, x: Any, weight: Any, by_columns: bool, **static: Any) -> Any:
    tx, tw, tb = (*given, None)[:3]
    from_x = None if tx is None else matmul(tx, _transposed(weight))
    return added(from_x, None if tw is None else matmul(x, _transposed(tw)), tb)


def _linear_flops(shapes: tuple[Shape, ...], out_shape: Shape, **static: Any) -> int:
    return math.prod(out_shape) * (2 * shapes[0][-1] + (len(shapes) == 3))


def _linear_vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, **static: Any) -> int:
    products = 2 * math.prod(out_shape) * shapes[0][-1] * (needs[0] + needs[1])
    return products + (math.prod(out_shape) if len(needs) == 3 and needs[2] else 0)


LINEAR = Primitive(
    "linear",
    _linear_forward,
    _linear_rule,
    keeps=((1,), (0,), ()),
    flops=_linear_flops,
    vjp_flops=_linear_vjp_flops,
    jvp=_linear_jvp,
)


@public
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """The affine map `x @ weight.T + bias`.

    Args:
        x: (*batch, in).
        weight: (out, in), of the dtype of `x`.
        bias: (out,), or None.

    Returns:
        (*batch, out).

    Raises:
        ValueError: the lengths do not fit.
        TypeError: `x` and `weight` differ in dtype; layers do not convert in silence.
    """
    x = x if isinstance(x, Tensor) or is_array(x) else np.asarray(x)
    given, sizes = x.shape, weight.shape
    if len(sizes) != 2 or not given or given[-1] != sizes[1] or (bias is not None and bias.shape != sizes[:1]):
        raise ValueError(
            f"[linear] x has shape {tuple(x.shape)}, weight {tuple(weight.shape)}"
            f"{'' if bias is None else f', bias {tuple(bias.shape)}'}; expected (..., in), (out, in) and (out,)"
        )
    static = {}
    if CASTING:
        x, weight, bias = cast("linear", (x, weight, bias))
        static = {"wide": narrowed(x, weight)}
    if x.dtype != weight.dtype:
        raise TypeError(
            f"[linear] x is {x.dtype} {tuple(x.shape)} but weight is {weight.dtype} {tuple(weight.shape)}; "
            f"convert one: x.astype({weight.dtype.name!r}), or the layer with .to({x.dtype.name!r})"
        )
    if len(given) == 1:
        return linear(x.reshape(1, -1), weight, bias).reshape(-1)
    return apply(LINEAR, (x, weight) if bias is None else (x, weight, bias), static)


@public
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    """`beta * input + alpha * (mat1 @ mat2)`.

    Args:
        input: broadcasts to (n, p).
        mat1: (n, m).
        mat2: (m, p).
        beta: factor of `input`; with 0, `input` is ignored, nan and infinity included.
        alpha: factor of the product.
    """
    return added_to(input, matmul(mat1, mat2), beta, alpha)


def added_to(input: Any, product: Any, beta: float, alpha: float) -> Any:
    """`beta * input + alpha * product`; with beta = 0 without a look at `input`."""
    product = product if alpha == 1 else product * alpha
    if beta == 0:
        return product
    return product + (operand(input) if beta == 1 else operand(input) * beta)


@public
def mm(a: Any, b: Any) -> Any:
    """The product of two matrices, (m, k) and (k, n)."""
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"[mm] shapes {tuple(a.shape)} and {tuple(b.shape)}: expected two matrices; see matmul")
    return matmul(a, b)


@public
def bmm(a: Any, b: Any) -> Any:
    """The products of two stacks of matrices, (b, m, k) and (b, k, n)."""
    if a.ndim != 3 or b.ndim != 3 or a.shape[0] != b.shape[0]:
        raise ValueError(f"[bmm] shapes {tuple(a.shape)} and {tuple(b.shape)}: expected (b, m, k) and (b, k, n)")
    return matmul(a, b)
