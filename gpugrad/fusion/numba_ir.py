"""The building blocks of the Numba math: constants, polynomials, bit casts and selects in the operand's type.

Numba widens `float32 * 0.5` to float64 and any int32 sum to int64, which halves a SIMD loop's speed; what is
built here stays in the operand's type and never branches. The functions made of it are in `numba_math`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numba
import numba.extending
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

_njit: Any = numba.njit


def intrinsic(function: Callable[..., Any]) -> Any:
    """Register a code generator as a function for compiled code."""
    # Numba's own annotations describe an intrinsic by its code generator, not by how it is called.
    register: Any = numba.extending.intrinsic
    return register(function)


# Contracting a*b + c into a fused multiply-add is the only freedom given: nan, inf and -0.0 stay IEEE's.
FLAGS: Final = {"contract"}


def inline(function: Callable[..., Any]) -> Any:
    """A scalar function that is merged into the loop that calls it (a call would keep the loop scalar)."""
    return _njit(forceinline=True, error_model="numpy", fastmath=FLAGS)(function)


def _wide(typ: Any) -> bool:
    return typ in (types.float64, types.int64)


def constant(single: float, double: float | None = None) -> Any:
    """A function `c(x)` giving the number in the type of `x`; `double`: its float64 value, if another."""
    values = (single, single if double is None else double)

    @intrinsic
    def number(typingctx: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return context.get_constant(x, values[_wide(x)])

        return x(x), codegen

    return number


def integer(single: int, double: int) -> Any:
    """A function `c(i)` giving the integer in the type of `i`, int32 or int64."""
    return constant(single, double)


def polynomial(single: Sequence[float], double: Sequence[float]) -> Any:
    """A function `p(x)` by Horner's scheme; coefficients from the constant term up, for each type."""

    @intrinsic
    def horner(typingctx: Any, x: Any) -> Any:
        coefficients = double if _wide(x) else single

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            total = context.get_constant(x, coefficients[-1])
            for c in reversed(coefficients[:-1]):
                product = builder.fmul(total, args[0], flags=("contract",))
                total = builder.fadd(product, context.get_constant(x, c), flags=("contract",))
            return total

        return x(x), codegen

    return horner


@intrinsic
def bits(typingctx: Any, x: Any) -> Any:
    """The bit pattern of a float as a signed integer of its size."""
    result = types.int64 if _wide(x) else types.int32

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(x), codegen


@intrinsic
def from_bits(typingctx: Any, i: Any) -> Any:
    """The float with the bit pattern `i`."""
    result = types.float64 if _wide(i) else types.float32

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(result))

    return result(i), codegen


@intrinsic
def to_float(typingctx: Any, i: Any) -> Any:
    """The value of an int32 as float32, of an int64 as float64."""
    result = types.float64 if _wide(i) else types.float32

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sitofp(args[0], context.get_value_type(result))

    return result(i), codegen


def _binary(method: str) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, method)(args[0], args[1])

        return a(a, a), codegen

    return operation


# On two integers of one type (or two truth values), with wrap-around.
iadd, isub, iand, ior, ixor = map(_binary, ("add", "sub", "and_", "or_", "xor"))
shift_left, shift_right, shift_right_logical, idiv = map(_binary, ("shl", "ashr", "lshr", "sdiv"))
imul = _binary("mul")


@intrinsic
def select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    """`a` where `condition` holds, else `b`, both computed: a branch would keep the loop scalar."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(types.boolean, a, a), codegen


def _llvm(name: str, operands: int = 1) -> Any:
    def lower(context: Any, builder: Any, args: Any) -> Any:
        kind = args[0].type
        declared = builder.module.declare_intrinsic(f"llvm.{name}", [kind], ir.FunctionType(kind, [kind] * operands))
        return builder.call(declared, args)

    if operands == 1:

        @intrinsic
        def unary(typingctx: Any, x: Any) -> Any:
            return x(x), lambda context, builder, signature, args: lower(context, builder, args)

        return unary

    @intrinsic
    def binary(typingctx: Any, x: Any, y: Any) -> Any:
        return x(x, x), lambda context, builder, signature, args: lower(context, builder, args)

    return binary


absolute, sqrt, floor, ceil, trunc, rint = map(_llvm, ("fabs", "sqrt", "floor", "ceil", "trunc", "rint"))
copysign = _llvm("copysign", 2)


@intrinsic
def widen(typingctx: Any, x: Any) -> Any:
    """`x` as float64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if x == types.float64 else builder.fpext(args[0], ir.DoubleType())

    return types.float64(x), codegen


@intrinsic
def narrow(typingctx: Any, x: Any, like: Any) -> Any:
    """The float64 `x` rounded to the type of `like`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if like == types.float64 else builder.fptrunc(args[0], ir.FloatType())

    return like(types.float64, like), codegen


@intrinsic
def truth(typingctx: Any, x: Any) -> Any:
    """Whether a float is not zero (nan is not); a truth value is itself."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return args[0] if x == types.boolean else builder.fcmp_unordered("!=", args[0], context.get_constant(x, 0.0))

    return types.boolean(x), codegen


@intrinsic
def number(typingctx: Any, c: Any, like: Any) -> Any:
    """A truth value as 1 or 0 in the type of `like`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.uitofp(args[0], context.get_value_type(like))

    return like(types.boolean, like), codegen
