"""The elementwise methods of `Tensor`: one line each, the operation of the same name in `ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..primitive import FUNCTIONS

if TYPE_CHECKING:
    from ..tensor import Tensor

_CALL: Final[dict[str, Callable[..., Any]]] = FUNCTIONS


class ElementwiseMethods:
    """Functions of each element, and comparisons."""

    __slots__ = ()

    def negative(self) -> Tensor:
        """The negative."""
        return _CALL["negative"](self)  # type: ignore[no-any-return]

    def neg(self) -> Tensor:
        """`negative` under its short name."""
        return _CALL["negative"](self)  # type: ignore[no-any-return]

    def absolute(self) -> Tensor:
        """The absolute value; its gradient at 0 is 0."""
        return _CALL["absolute"](self)  # type: ignore[no-any-return]

    def abs(self) -> Tensor:
        """`absolute` under its short name."""
        return _CALL["absolute"](self)  # type: ignore[no-any-return]

    def sign(self) -> Tensor:
        """The sign: -1, 0 or 1."""
        return _CALL["sign"](self)  # type: ignore[no-any-return]

    def square(self) -> Tensor:
        """The square."""
        return _CALL["square"](self)  # type: ignore[no-any-return]

    def sqrt(self) -> Tensor:
        """The square root."""
        return _CALL["sqrt"](self)  # type: ignore[no-any-return]

    def rsqrt(self) -> Tensor:
        """One over the square root."""
        return _CALL["rsqrt"](self)  # type: ignore[no-any-return]

    def reciprocal(self) -> Tensor:
        """One over the elements."""
        return _CALL["reciprocal"](self)  # type: ignore[no-any-return]

    def exp(self) -> Tensor:
        """The exponential function."""
        return _CALL["exp"](self)  # type: ignore[no-any-return]

    def exp2(self) -> Tensor:
        """2 to the power of the elements."""
        return _CALL["exp2"](self)  # type: ignore[no-any-return]

    def expm1(self) -> Tensor:
        """exp(x) - 1, exact near 0."""
        return _CALL["expm1"](self)  # type: ignore[no-any-return]

    def log(self) -> Tensor:
        """The natural logarithm."""
        return _CALL["log"](self)  # type: ignore[no-any-return]

    def log2(self) -> Tensor:
        """The logarithm to base 2."""
        return _CALL["log2"](self)  # type: ignore[no-any-return]

    def log10(self) -> Tensor:
        """The logarithm to base 10."""
        return _CALL["log10"](self)  # type: ignore[no-any-return]

    def log1p(self) -> Tensor:
        """log(1 + x), exact near 0."""
        return _CALL["log1p"](self)  # type: ignore[no-any-return]

    def sin(self) -> Tensor:
        """The sine."""
        return _CALL["sin"](self)  # type: ignore[no-any-return]

    def cos(self) -> Tensor:
        """The cosine."""
        return _CALL["cos"](self)  # type: ignore[no-any-return]

    def tan(self) -> Tensor:
        """The tangent."""
        return _CALL["tan"](self)  # type: ignore[no-any-return]

    def arcsin(self) -> Tensor:
        """The inverse sine."""
        return _CALL["arcsin"](self)  # type: ignore[no-any-return]

    def asin(self) -> Tensor:
        """`arcsin` under its short name."""
        return _CALL["arcsin"](self)  # type: ignore[no-any-return]

    def arccos(self) -> Tensor:
        """The inverse cosine."""
        return _CALL["arccos"](self)  # type: ignore[no-any-return]

    def acos(self) -> Tensor:
        """`arccos` under its short name."""
        return _CALL["arccos"](self)  # type: ignore[no-any-return]

    def arctan(self) -> Tensor:
        """The inverse tangent."""
        return _CALL["arctan"](self)  # type: ignore[no-any-return]

    def atan(self) -> Tensor:
        """`arctan` under its short name."""
        return _CALL["arctan"](self)  # type: ignore[no-any-return]

    def sinh(self) -> Tensor:
        """The hyperbolic sine."""
        return _CALL["sinh"](self)  # type: ignore[no-any-return]

    def cosh(self) -> Tensor:
        """The hyperbolic cosine."""
        return _CALL["cosh"](self)  # type: ignore[no-any-return]

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return _CALL["tanh"](self)  # type: ignore[no-any-return]

    def arcsinh(self) -> Tensor:
        """The inverse hyperbolic sine."""
        return _CALL["arcsinh"](self)  # type: ignore[no-any-return]

    def asinh(self) -> Tensor:
        """`arcsinh` under its short name."""
        return _CALL["arcsinh"](self)  # type: ignore[no-any-return]

    def arccosh(self) -> Tensor:
        """The inverse hyperbolic cosine."""
        return _CALL["arccosh"](self)  # type: ignore[no-any-return]

    def acosh(self) -> Tensor:
        """`arccosh` under its short name."""
        return _CALL["arccosh"](self)  # type: ignore[no-any-return]

    def arctanh(self) -> Tensor:
        """The inverse hyperbolic tangent."""
        return _CALL["arctanh"](self)  # type: ignore[no-any-return]

    def atanh(self) -> Tensor:
        """`arctanh` under its short name."""
        return _CALL["arctanh"](self)  # type: ignore[no-any-return]

    def floor(self) -> Tensor:
        """The largest integer not above; no gradient."""
        return _CALL["floor"](self)  # type: ignore[no-any-return]

    def ceil(self) -> Tensor:
        """The smallest integer not below; no gradient."""
        return _CALL["ceil"](self)  # type: ignore[no-any-return]

    def trunc(self) -> Tensor:
        """The integer towards 0; no gradient."""
        return _CALL["trunc"](self)  # type: ignore[no-any-return]

    def rint(self) -> Tensor:
        """The nearest integer, ties to even; no gradient."""
        return _CALL["rint"](self)  # type: ignore[no-any-return]

    def erf(self) -> Tensor:
        """The error function."""
        return _CALL["erf"](self)  # type: ignore[no-any-return]

    def erfc(self) -> Tensor:
        """1 - erf(x)."""
        return _CALL["erfc"](self)  # type: ignore[no-any-return]

    def deg2rad(self) -> Tensor:
        """Degrees to radians."""
        return _CALL["deg2rad"](self)  # type: ignore[no-any-return]

    def rad2deg(self) -> Tensor:
        """Radians to degrees."""
        return _CALL["rad2deg"](self)  # type: ignore[no-any-return]

    def sinc(self) -> Tensor:
        """sin(pi x) / (pi x)."""
        return _CALL["sinc"](self)  # type: ignore[no-any-return]

    def logit(self) -> Tensor:
        """log(x / (1 - x))."""
        return _CALL["logit"](self)  # type: ignore[no-any-return]

    def relu(self) -> Tensor:
        """The positive part; its gradient at 0 is 0."""
        return _CALL["relu"](self)  # type: ignore[no-any-return]

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x))."""
        return _CALL["sigmoid"](self)  # type: ignore[no-any-return]

    def isnan(self) -> Tensor:
        """Where an element is nan."""
        return _CALL["isnan"](self)  # type: ignore[no-any-return]

    def isinf(self) -> Tensor:
        """Where an element is infinite."""
        return _CALL["isinf"](self)  # type: ignore[no-any-return]

    def isfinite(self) -> Tensor:
        """Where an element is finite."""
        return _CALL["isfinite"](self)  # type: ignore[no-any-return]

    def logical_not(self) -> Tensor:
        """Where an element is false (0)."""
        return _CALL["logical_not"](self)  # type: ignore[no-any-return]

    def power(self, exponent: Any) -> Tensor:
        """The elements to the power `exponent`."""
        return _CALL["power"](self, exponent)  # type: ignore[no-any-return]

    def pow(self, exponent: Any) -> Tensor:
        """`power` under its short name."""
        return _CALL["power"](self, exponent)  # type: ignore[no-any-return]

    def maximum(self, other: Any) -> Tensor:
        """The larger of two, element by element; ties share the gradient."""
        return _CALL["maximum"](self, other)  # type: ignore[no-any-return]

    def minimum(self, other: Any) -> Tensor:
        """The smaller of two, element by element; ties share the gradient."""
        return _CALL["minimum"](self, other)  # type: ignore[no-any-return]

    def arctan2(self, other: Any) -> Tensor:
        """The angle of the points (other, self)."""
        return _CALL["arctan2"](self, other)  # type: ignore[no-any-return]

    def atan2(self, other: Any) -> Tensor:
        """`arctan2` under its short name."""
        return _CALL["arctan2"](self, other)  # type: ignore[no-any-return]

    def fmod(self, other: Any) -> Tensor:
        """The remainder with the sign of the dividend."""
        return _CALL["fmod"](self, other)  # type: ignore[no-any-return]

    def remainder(self, other: Any) -> Tensor:
        """The remainder with the sign of the divisor."""
        return _CALL["remainder"](self, other)  # type: ignore[no-any-return]

    def logical_and(self, other: Any) -> Tensor:
        """Where both are true."""
        return _CALL["logical_and"](self, other)  # type: ignore[no-any-return]

    def logical_or(self, other: Any) -> Tensor:
        """Where one is true."""
        return _CALL["logical_or"](self, other)  # type: ignore[no-any-return]

    def logical_xor(self, other: Any) -> Tensor:
        """Where exactly one is true."""
        return _CALL["logical_xor"](self, other)  # type: ignore[no-any-return]

    def add(self, other: Any, *, alpha: float = 1) -> Tensor:
        """The sum with `alpha * other`."""
        return _CALL["add"](self, other if alpha == 1 else other * alpha)  # type: ignore[no-any-return]

    def sub(self, other: Any) -> Tensor:
        """The difference."""
        return _CALL["subtract"](self, other)  # type: ignore[no-any-return]

    def mul(self, other: Any) -> Tensor:
        """The product."""
        return _CALL["multiply"](self, other)  # type: ignore[no-any-return]

    def div(self, other: Any) -> Tensor:
        """The quotient."""
        return _CALL["divide"](self, other)  # type: ignore[no-any-return]

    def eq(self, other: Any) -> Tensor:
        """Where the elements are equal."""
        return _CALL["equal"](self, other)  # type: ignore[no-any-return]

    def ne(self, other: Any) -> Tensor:
        """Where they differ."""
        return _CALL["not_equal"](self, other)  # type: ignore[no-any-return]

    def lt(self, other: Any) -> Tensor:
        """Where they are less."""
        return _CALL["less"](self, other)  # type: ignore[no-any-return]

    def le(self, other: Any) -> Tensor:
        """Where they are less or equal."""
        return _CALL["less_equal"](self, other)  # type: ignore[no-any-return]

    def gt(self, other: Any) -> Tensor:
        """Where they are greater."""
        return _CALL["greater"](self, other)  # type: ignore[no-any-return]

    def ge(self, other: Any) -> Tensor:
        """Where they are greater or equal."""
        return _CALL["greater_equal"](self, other)  # type: ignore[no-any-return]

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """The elements cut to a range; either end may be None."""
        return _CALL["clip"](self, min, max)  # type: ignore[no-any-return]

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """`clip` under PyTorch's name."""
        return _CALL["clip"](self, min, max)  # type: ignore[no-any-return]

    def where(self, condition: Any, other: Any) -> Tensor:
        """This tensor where `condition` holds, else `other`."""
        return _CALL["where"](condition, self, other)  # type: ignore[no-any-return]

    def round(self, decimals: int = 0) -> Tensor:
        """Rounded to `decimals` places, ties to even; no gradient."""
        return _CALL["round"](self, decimals)  # type: ignore[no-any-return]
