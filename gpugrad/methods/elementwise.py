"""The elementwise methods of `Tensor`: one line each, the operation of the same name in `ops`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

from ..primitive import FUNCTIONS, Operation
from .arguments import refuse

_CALL: Final[Mapping[str, Operation]] = FUNCTIONS


class ElementwiseMethods:
    """Functions of each element, and comparisons."""

    __slots__ = ()

    def negative(self) -> Self:
        """The negative."""
        return _CALL["negative"](self)

    def neg(self) -> Self:
        """`negative` under its short name."""
        return _CALL["negative"](self)

    def absolute(self) -> Self:
        """The absolute value; its gradient at 0 is 0."""
        return _CALL["absolute"](self)

    def abs(self) -> Self:
        """`absolute` under its short name."""
        return _CALL["absolute"](self)

    def sign(self) -> Self:
        """The sign: -1, 0 or 1."""
        return _CALL["sign"](self)

    def square(self) -> Self:
        """The square."""
        return _CALL["square"](self)

    def sqrt(self) -> Self:
        """The square root."""
        return _CALL["sqrt"](self)

    def rsqrt(self) -> Self:
        """One over the square root."""
        return _CALL["rsqrt"](self)

    def reciprocal(self) -> Self:
        """One over the elements."""
        return _CALL["reciprocal"](self)

    def exp(self) -> Self:
        """The exponential function."""
        return _CALL["exp"](self)

    def exp2(self) -> Self:
        """2 to the power of the elements."""
        return _CALL["exp2"](self)

    def expm1(self) -> Self:
        """exp(x) - 1, exact near 0."""
        return _CALL["expm1"](self)

    def log(self) -> Self:
        """The natural logarithm."""
        return _CALL["log"](self)

    def log2(self) -> Self:
        """The logarithm to base 2."""
        return _CALL["log2"](self)

    def log10(self) -> Self:
        """The logarithm to base 10."""
        return _CALL["log10"](self)

    def log1p(self) -> Self:
        """log(1 + x), exact near 0."""
        return _CALL["log1p"](self)

    def sin(self) -> Self:
        """The sine."""
        return _CALL["sin"](self)

    def cos(self) -> Self:
        """The cosine."""
        return _CALL["cos"](self)

    def tan(self) -> Self:
        """The tangent."""
        return _CALL["tan"](self)

    def arcsin(self) -> Self:
        """The inverse sine."""
        return _CALL["arcsin"](self)

    def asin(self) -> Self:
        """`arcsin` under its short name."""
        return _CALL["arcsin"](self)

    def arccos(self) -> Self:
        """The inverse cosine."""
        return _CALL["arccos"](self)

    def acos(self) -> Self:
        """`arccos` under its short name."""
        return _CALL["arccos"](self)

    def arctan(self) -> Self:
        """The inverse tangent."""
        return _CALL["arctan"](self)

    def atan(self) -> Self:
        """`arctan` under its short name."""
        return _CALL["arctan"](self)

    def sinh(self) -> Self:
        """The hyperbolic sine."""
        return _CALL["sinh"](self)

    def cosh(self) -> Self:
        """The hyperbolic cosine."""
        return _CALL["cosh"](self)

    def tanh(self) -> Self:
        """The hyperbolic tangent."""
        return _CALL["tanh"](self)

    def arcsinh(self) -> Self:
        """The inverse hyperbolic sine."""
        return _CALL["arcsinh"](self)

    def asinh(self) -> Self:
        """`arcsinh` under its short name."""
        return _CALL["arcsinh"](self)

    def arccosh(self) -> Self:
        """The inverse hyperbolic cosine."""
        return _CALL["arccosh"](self)

    def acosh(self) -> Self:
        """`arccosh` under its short name."""
        return _CALL["arccosh"](self)

    def arctanh(self) -> Self:
        """The inverse hyperbolic tangent."""
        return _CALL["arctanh"](self)

    def atanh(self) -> Self:
        """`arctanh` under its short name."""
        return _CALL["arctanh"](self)

    def floor(self) -> Self:
        """The largest integer not above; no gradient."""
        return _CALL["floor"](self)

    def ceil(self) -> Self:
        """The smallest integer not below; no gradient."""
        return _CALL["ceil"](self)

    def trunc(self) -> Self:
        """The integer towards 0; no gradient."""
        return _CALL["trunc"](self)

    def rint(self) -> Self:
        """The nearest integer, ties to even; no gradient."""
        return _CALL["rint"](self)

    def erf(self) -> Self:
        """The error function."""
        return _CALL["erf"](self)

    def erfc(self) -> Self:
        """1 - erf(x)."""
        return _CALL["erfc"](self)

    def deg2rad(self) -> Self:
        """Degrees to radians."""
        return _CALL["deg2rad"](self)

    def rad2deg(self) -> Self:
        """Radians to degrees."""
        return _CALL["rad2deg"](self)

    def sinc(self) -> Self:
        """sin(pi x) / (pi x)."""
        return _CALL["sinc"](self)

    def logit(self) -> Self:
        """log(x / (1 - x))."""
        return _CALL["logit"](self)

    def relu(self) -> Self:
        """The positive part; its gradient at 0 is 0."""
        return _CALL["relu"](self)

    def sigmoid(self) -> Self:
        """1 / (1 + exp(-x))."""
        return _CALL["sigmoid"](self)

    def isnan(self) -> Self:
        """Where an element is nan."""
        return _CALL["isnan"](self)

    def isinf(self) -> Self:
        """Where an element is infinite."""
        return _CALL["isinf"](self)

    def isfinite(self) -> Self:
        """Where an element is finite."""
        return _CALL["isfinite"](self)

    def logical_not(self) -> Self:
        """Where an element is false (0)."""
        return _CALL["logical_not"](self)

    def power(self, exponent: Any) -> Self:
        """The elements to the power `exponent`."""
        return _CALL["power"](self, exponent)

    def pow(self, exponent: Any) -> Self:
        """`power` under its short name."""
        return _CALL["power"](self, exponent)

    def maximum(self, other: Any) -> Self:
        """The larger of two, element by element; ties share the gradient."""
        return _CALL["maximum"](self, other)

    def minimum(self, other: Any) -> Self:
        """The smaller of two, element by element; ties share the gradient."""
        return _CALL["minimum"](self, other)

    def arctan2(self, other: Any) -> Self:
        """The angle of the points (other, self)."""
        return _CALL["arctan2"](self, other)

    def atan2(self, other: Any) -> Self:
        """`arctan2` under its short name."""
        return _CALL["arctan2"](self, other)

    def fmod(self, other: Any) -> Self:
        """The remainder with the sign of the dividend."""
        return _CALL["fmod"](self, other)

    def remainder(self, other: Any) -> Self:
        """The remainder with the sign of the divisor."""
        return _CALL["remainder"](self, other)

    def logical_and(self, other: Any) -> Self:
        """Where both are true."""
        return _CALL["logical_and"](self, other)

    def logical_or(self, other: Any) -> Self:
        """Where one is true."""
        return _CALL["logical_or"](self, other)

    def logical_xor(self, other: Any) -> Self:
        """Where exactly one is true."""
        return _CALL["logical_xor"](self, other)

    def add(self, other: Any, *, alpha: float = 1) -> Self:
        """The sum with `alpha * other`."""
        return _CALL["add"](self, other if alpha == 1 else other * alpha)

    def sub(self, other: Any) -> Self:
        """The difference."""
        return _CALL["subtract"](self, other)

    def mul(self, other: Any) -> Self:
        """The product."""
        return _CALL["multiply"](self, other)

    def div(self, other: Any) -> Self:
        """The quotient."""
        return _CALL["divide"](self, other)

    def eq(self, other: Any) -> Self:
        """Where the elements are equal."""
        return _CALL["equal"](self, other)

    def ne(self, other: Any) -> Self:
        """Where they differ."""
        return _CALL["not_equal"](self, other)

    def lt(self, other: Any) -> Self:
        """Where they are less."""
        return _CALL["less"](self, other)

    def le(self, other: Any) -> Self:
        """Where they are less or equal."""
        return _CALL["less_equal"](self, other)

    def gt(self, other: Any) -> Self:
        """Where they are greater."""
        return _CALL["greater"](self, other)

    def ge(self, other: Any) -> Self:
        """Where they are greater or equal."""
        return _CALL["greater_equal"](self, other)

    def clip(self, min: Any = None, max: Any = None, out: None = None) -> Self:
        """The elements cut to a range; either end may be None."""
        refuse("clip", out=out)
        return _CALL["clip"](self, min, max)

    def clamp(self, min: Any = None, max: Any = None) -> Self:
        """`clip` under PyTorch's name."""
        return _CALL["clip"](self, min, max)

    def where(self, condition: Any, other: Any) -> Self:
        """This tensor where `condition` holds, else `other`."""
        return _CALL["where"](condition, self, other)  # type: ignore[no-any-return]

    def round(self, decimals: int = 0, out: None = None) -> Self:
        """Rounded to `decimals` places, ties to even; no gradient."""
        refuse("round", out=out)
        return _CALL["round"](self, decimals)

    def positive(self) -> Self:
        """The elements as they are."""
        return _CALL["positive"](self)

    def signbit(self) -> Self:
        """Where the sign bit is set; no gradient."""
        return _CALL["signbit"](self)

    def subtract(self, other: Any) -> Self:
        """The difference."""
        return _CALL["subtract"](self, other)

    def multiply(self, other: Any) -> Self:
        """The product."""
        return _CALL["multiply"](self, other)

    def divide(self, other: Any) -> Self:
        """The quotient."""
        return _CALL["divide"](self, other)

    def true_divide(self, other: Any) -> Self:
        """The quotient."""
        return _CALL["divide"](self, other)

    def floor_divide(self, other: Any) -> Self:
        """The quotient towards minus infinity; no gradient."""
        return _CALL["floor_divide"](self, other)

    def fmax(self, other: Any) -> Self:
        """The larger of two, a number rather than nan."""
        return _CALL["fmax"](self, other)

    def fmin(self, other: Any) -> Self:
        """The smaller of two, a number rather than nan."""
        return _CALL["fmin"](self, other)

    def hypot(self, other: Any) -> Self:
        """The length of the points (self, other)."""
        return _CALL["hypot"](self, other)

    def copysign(self, other: Any) -> Self:
        """With the signs of `other`."""
        return _CALL["copysign"](self, other)

    def heaviside(self, other: Any) -> Self:
        """0 below 0, 1 above, `other` at 0."""
        return _CALL["heaviside"](self, other)

    def logaddexp(self, other: Any) -> Self:
        """The logarithm of the sum of exponentials of two."""
        return _CALL["logaddexp"](self, other)

    def logaddexp2(self, other: Any) -> Self:
        """The same to base 2."""
        return _CALL["logaddexp2"](self, other)

    def greater(self, other: Any) -> Self:
        """Where the elements are greater."""
        return _CALL["greater"](self, other)

    def greater_equal(self, other: Any) -> Self:
        """Where they are greater or equal."""
        return _CALL["greater_equal"](self, other)

    def less(self, other: Any) -> Self:
        """Where they are less."""
        return _CALL["less"](self, other)

    def less_equal(self, other: Any) -> Self:
        """Where they are less or equal."""
        return _CALL["less_equal"](self, other)

    def not_equal(self, other: Any) -> Self:
        """Where they differ."""
        return _CALL["not_equal"](self, other)

    def prelu(self, weight: Any) -> Self:
        """The positive part, and `weight` times the negative."""
        return _CALL["prelu"](self, weight)

    def bitwise_and(self, other: Any) -> Self:
        """`&` of integers or truth values; no gradient."""
        return _CALL["bitwise_and"](self, other)

    def bitwise_or(self, other: Any) -> Self:
        """`|` of integers or truth values; no gradient."""
        return _CALL["bitwise_or"](self, other)

    def bitwise_xor(self, other: Any) -> Self:
        """`^` of integers or truth values; no gradient."""
        return _CALL["bitwise_xor"](self, other)

    def bitwise_not(self) -> Self:
        """`~` of integers or truth values; no gradient."""
        return _CALL["bitwise_not"](self)

    def isclose(self, other: Any, **kwargs: Any) -> Self:
        """Where the elements are close to those of `other` (`rtol`, `atol`, `equal_nan`); no gradient."""
        return _CALL["isclose"](self, other, **kwargs)

    def allclose(self, other: Any, **kwargs: Any) -> bool:
        """Whether all elements are close to those of `other` (`rtol`, `atol`, `equal_nan`)."""
        return FUNCTIONS["allclose"](self, other, **kwargs)  # type: ignore[no-any-return]
