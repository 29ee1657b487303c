"""The methods of `Tensor` that reduce, order or multiply matrices: one line each, the operation of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np

from ..primitive import FUNCTIONS, Operation
from ..signatures import called
from .arguments import refuse

_CALL: Final[Mapping[str, Operation]] = FUNCTIONS


class ReduceMethods:
    """Reductions, running sums, sorting, matrix products. Reductions take `axis` or `dim`, `keepdims` or `keepdim`.

    With `dim` or `keepdim` by name `max`, `min`, `median` and `sort` give (values, indices), and `std` and `var` divide
    by n - 1, as PyTorch's methods of these names do; otherwise they are NumPy's.
    """

    __slots__ = ()

    def sum(self, *args: Any, **kwargs: Any) -> Self:
        """The sum over all axes or those named. Arguments as `gg.sum`."""
        return _CALL["sum"](self, *args, **kwargs)

    def mean(self, *args: Any, **kwargs: Any) -> Self:
        """The mean over all axes or those named. Arguments as `gg.mean`."""
        return _CALL["mean"](self, *args, **kwargs)

    def prod(self, *args: Any, **kwargs: Any) -> Self:
        """The product; its gradient is exact at zeros. Arguments as `gg.prod`."""
        return _CALL["prod"](self, *args, **kwargs)

    def max(self, *args: Any, **kwargs: Any) -> Self:
        """The largest element; elements that tie share the gradient. Arguments as `gg.max`."""
        return _CALL["max"](self, *args, **kwargs)

    def min(self, *args: Any, **kwargs: Any) -> Self:
        """The smallest element; elements that tie share the gradient. Arguments as `gg.min`."""
        return _CALL["min"](self, *args, **kwargs)

    def amax(self, *args: Any, **kwargs: Any) -> Self:
        """`max` under its long name. Arguments as `gg.amax`."""
        return _CALL["amax"](self, *args, **kwargs)

    def amin(self, *args: Any, **kwargs: Any) -> Self:
        """`min` under its long name. Arguments as `gg.amin`."""
        return _CALL["amin"](self, *args, **kwargs)

    def ptp(self, *args: Any, **kwargs: Any) -> Self:
        """The range: `max` less `min`. Arguments as `gg.ptp`."""
        return _CALL["ptp"](self, *args, **kwargs)

    def var(self, *args: Any, **kwargs: Any) -> Self:
        """The variance, over n unless asked otherwise. Arguments as `gg.var`."""
        return _CALL["var"](self, *args, **kwargs)

    def std(self, *args: Any, **kwargs: Any) -> Self:
        """The standard deviation; of equal elements its gradient is 0. Arguments as `gg.std`."""
        return _CALL["std"](self, *args, **kwargs)

    def norm(self, *args: Any, **kwargs: Any) -> Self:
        """A vector norm, over all axes or those named; its gradient at 0 is 0. Arguments as `gg.norm`."""
        return _CALL["torch.norm"](self, *args, **kwargs)

    def argmax(self, *args: Any, **kwargs: Any) -> Self:
        """The position of the largest element; no gradient. Arguments as `gg.argmax`."""
        refuse("argmax", dtype=kwargs.pop("dtype", None))
        return _CALL["argmax"](self, *args, **kwargs)

    def argmin(self, *args: Any, **kwargs: Any) -> Self:
        """The position of the smallest element; no gradient. Arguments as `gg.argmin`."""
        refuse("argmin", dtype=kwargs.pop("dtype", None))
        return _CALL["argmin"](self, *args, **kwargs)

    def all(self, *args: Any, **kwargs: Any) -> Self:
        """Whether all elements are true; no gradient. Arguments as `gg.all`."""
        return _CALL["all"](self, *args, **kwargs)

    def any(self, *args: Any, **kwargs: Any) -> Self:
        """Whether an element is true; no gradient. Arguments as `gg.any`."""
        return _CALL["any"](self, *args, **kwargs)

    def count_nonzero(self, *args: Any, **kwargs: Any) -> Self:
        """How many elements are not 0; no gradient. Arguments as `gg.count_nonzero`."""
        return _CALL["count_nonzero"](self, *args, **kwargs)

    def median(self, *args: Any, **kwargs: Any) -> Self:
        """The middle element in order. Arguments as `gg.median`."""
        return _CALL["median"](self, *args, **kwargs)

    def logsumexp(self, *args: Any, **kwargs: Any) -> Self:
        """The logarithm of the sum of exponentials. Arguments as `gg.logsumexp`."""
        return _CALL["logsumexp"](self, *args, **kwargs)

    def softmax(self, *args: Any, **kwargs: Any) -> Self:
        """Exponentials over their sum along an axis. Arguments as `gg.softmax`."""
        return _CALL["softmax"](self, *args, **kwargs)

    def log_softmax(self, *args: Any, **kwargs: Any) -> Self:
        """The logarithm of `softmax`. Arguments as `gg.log_softmax`."""
        return _CALL["log_softmax"](self, *args, **kwargs)

    def cumsum(self, *args: Any, **kwargs: Any) -> Self:
        """The running sum along an axis (`dim`)."""
        return called(_CALL["cumsum"], np.cumsum, (self, *args), kwargs)  # type: ignore[no-any-return]

    def cumprod(self, *args: Any, **kwargs: Any) -> Self:
        """The running product along an axis (`dim`)."""
        return called(_CALL["cumprod"], np.cumprod, (self, *args), kwargs)  # type: ignore[no-any-return]

    def diff(self, *args: Any, **kwargs: Any) -> Self:
        """The differences between neighbours along an axis."""
        return _CALL["diff"](self, *args, **kwargs)

    def sort(self, *args: Any, **kwargs: Any) -> Self:
        """The elements in order along an axis (`dim`), in a new tensor."""
        return _CALL["sort"](self, *args, **kwargs)

    def argsort(self, *args: Any, **kwargs: Any) -> Self:
        """The positions that sort along an axis (`dim`); no gradient."""
        return _CALL["argsort"](self, *args, **kwargs)

    def partition(self, kth: int, axis: int = -1) -> Self:
        """A new tensor with the element that sorting puts at `kth` there, smaller ones before it."""
        return _CALL["partition"](self, kth, axis)

    def argpartition(self, kth: int, axis: int = -1) -> Self:
        """The positions that `partition` picks; no gradient."""
        return _CALL["argpartition"](self, kth, axis)

    def topk(self, k: int, *args: Any, **kwargs: Any) -> tuple[Self, Self]:
        """The `k` largest elements along an axis (`dim`), and their positions."""
        return FUNCTIONS["topk"](self, k, *args, **kwargs)  # type: ignore[no-any-return]

    def unique(self, **kwargs: Any) -> Any:
        """The different values in order; no gradient."""
        return FUNCTIONS["unique"](self, **kwargs)

    def matmul(self, other: Any) -> Self:
        """The matrix product."""
        return _CALL["matmul"](self, other)

    def mm(self, other: Any) -> Self:
        """The product of two matrices."""
        return _CALL["mm"](self, other)

    def bmm(self, other: Any) -> Self:
        """The products of two stacks of matrices."""
        return _CALL["bmm"](self, other)

    def addmm(self, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Self:
        """beta * self + alpha * mat1 @ mat2."""
        return _CALL["addmm"](self, mat1, mat2, beta=beta, alpha=alpha)

    def dot(self, other: Any, out: None = None) -> Self:
        """As `numpy.dot`."""
        refuse("dot", out=out)
        return _CALL["dot"](self, other)

    def inner(self, other: Any) -> Self:
        """The sum of products over the last axes."""
        return _CALL["inner"](self, other)

    def outer(self, other: Any) -> Self:
        """All products of an element of each."""
        return _CALL["outer"](self, other)

    def trace(self, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: None = None, out: None = None) -> Self:
        """The sum of a diagonal."""
        refuse("trace", dtype=dtype, out=out)
        return _CALL["trace"](self, offset, axis1, axis2)

    def vdot(self, other: Any) -> Self:
        """The sum of products of all elements, these conjugated."""
        return _CALL["vdot"](self, other)

    def kron(self, other: Any) -> Self:
        """The Kronecker product."""
        return _CALL["kron"](self, other)
