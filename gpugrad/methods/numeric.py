"""Methods of `Tensor` that NumPy's or PyTorch's arrays have: statistics, parts of numbers, special functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from ..primitive import FUNCTIONS, Operation

_CALL: Final[Mapping[str, Operation]] = FUNCTIONS


class NumericMethods:
    """One line each, the operation of the same name; arguments as `gg.<name>` takes them after the tensor."""

    __slots__ = ()

    def nansum(self, *args: Any, **kwargs: Any) -> Self:
        """The sum of the elements that are not nan."""
        return _CALL["nansum"](self, *args, **kwargs)

    def nanmean(self, *args: Any, **kwargs: Any) -> Self:
        """The mean of the elements that are not nan."""
        return _CALL["nanmean"](self, *args, **kwargs)

    def nanmedian(self, *args: Any, **kwargs: Any) -> Self:
        """The median of the elements that are not nan."""
        return _CALL["nanmedian"](self, *args, **kwargs)

    def nanquantile(self, *args: Any, **kwargs: Any) -> Self:
        """The quantiles of the elements that are not nan."""
        return _CALL["nanquantile"](self, *args, **kwargs)

    def quantile(self, *args: Any, **kwargs: Any) -> Self:
        """The value below which a share of the elements lies."""
        return _CALL["quantile"](self, *args, **kwargs)

    def corrcoef(self, *args: Any, **kwargs: Any) -> Self:
        """The matrix of correlation coefficients."""
        return _CALL["corrcoef"](self, *args, **kwargs)

    def cov(self, *args: Any, **kwargs: Any) -> Self:
        """The covariance matrix."""
        return _CALL["cov"](self, *args, **kwargs)

    def histogram(self, *args: Any, **kwargs: Any) -> Any:
        """How many elements fall in each bin, and the edges; no gradient."""
        return FUNCTIONS["histogram"](self, *args, **kwargs)

    def bincount(self, *args: Any, **kwargs: Any) -> Self:
        """How often each number from 0 up occurs; no gradient."""
        return _CALL["bincount"](self, *args, **kwargs)

    def searchsorted(self, *args: Any, **kwargs: Any) -> Self:
        """Where elements would stand in this sorted tensor; no gradient."""
        return _CALL["searchsorted"](self, *args, **kwargs)

    def bernoulli(self, *args: Any, **kwargs: Any) -> Self:
        """1 with these probabilities, else 0; no gradient."""
        return _CALL["bernoulli"](self, *args, **kwargs)

    def multinomial(self, *args: Any, **kwargs: Any) -> Self:
        """Positions drawn with probabilities in proportion to these values; no gradient."""
        return _CALL["multinomial"](self, *args, **kwargs)

    def cross(self, *args: Any, **kwargs: Any) -> Self:
        """The vector product."""
        return _CALL["cross"](self, *args, **kwargs)

    def choose(self, *args: Any, **kwargs: Any) -> Self:
        """Of several arrays, at each place the element of the one that this tensor numbers."""
        return _CALL["choose"](self, *args, **kwargs)

    def compress(self, condition: Any, axis: Any = None) -> Self:
        """The slices where a condition holds: `x.compress(condition, axis)`."""
        return _CALL["compress"](condition, self, axis)  # type: ignore[no-any-return]

    def diagflat(self, *args: Any, **kwargs: Any) -> Self:
        """The matrix with the flattened elements on a diagonal."""
        return _CALL["diagflat"](self, *args, **kwargs)

    def hsplit(self, *args: Any, **kwargs: Any) -> Any:
        """Cut along the second axis."""
        return FUNCTIONS["hsplit"](self, *args, **kwargs)

    def vsplit(self, *args: Any, **kwargs: Any) -> Any:
        """Cut along the first axis."""
        return FUNCTIONS["vsplit"](self, *args, **kwargs)

    def dsplit(self, *args: Any, **kwargs: Any) -> Any:
        """Cut along the third axis."""
        return FUNCTIONS["dsplit"](self, *args, **kwargs)

    def nan_to_num(self, *args: Any, **kwargs: Any) -> Self:
        """Numbers in place of nan and infinities."""
        return _CALL["nan_to_num"](self, *args, **kwargs)

    def angle(self, *args: Any, **kwargs: Any) -> Self:
        """The argument of complex numbers."""
        return _CALL["angle"](self, *args, **kwargs)

    def float_power(self, *args: Any, **kwargs: Any) -> Self:
        """The power in double precision."""
        return _CALL["float_power"](self, *args, **kwargs)

    def fix(self) -> Self:
        """Rounded towards 0."""
        return _CALL["fix"](self)

    def frexp(self, *args: Any, **kwargs: Any) -> Any:
        """Mantissa and exponent of 2."""
        return FUNCTIONS["frexp"](self, *args, **kwargs)

    def ldexp(self, *args: Any, **kwargs: Any) -> Self:
        """The product with a power of 2."""
        return _CALL["ldexp"](self, *args, **kwargs)

    def nextafter(self, *args: Any, **kwargs: Any) -> Self:
        """The next number of the dtype in a direction; no gradient."""
        return _CALL["nextafter"](self, *args, **kwargs)

    def isreal(self) -> Self:
        """Whether elements have no imaginary part; no gradient."""
        return _CALL["isreal"](self)

    def isposinf(self) -> Self:
        """Whether elements are infinity; no gradient."""
        return _CALL["isposinf"](self)

    def isneginf(self) -> Self:
        """Whether elements are negative infinity; no gradient."""
        return _CALL["isneginf"](self)

    def digamma(self) -> Self:
        """The derivative of `lgamma`."""
        return _CALL["digamma"](self)

    def lgamma(self) -> Self:
        """log |gamma(x)|."""
        return _CALL["lgamma"](self)

    def polygamma(self, n: int) -> Self:
        """The `n`-th derivative of `digamma`, `x.polygamma(n)`."""
        return FUNCTIONS["polygamma"](n, self)  # type: ignore[no-any-return]

    def erfinv(self) -> Self:
        """The inverse of the error function."""
        return _CALL["erfinv"](self)

    def xlogy(self, *args: Any, **kwargs: Any) -> Self:
        """The product with a logarithm, 0 where this is 0."""
        return _CALL["xlogy"](self, *args, **kwargs)

    def i0(self) -> Self:
        """The modified Bessel function of order 0."""
        return _CALL["i0"](self)
