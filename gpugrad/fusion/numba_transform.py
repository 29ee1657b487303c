"""Small linear transformations of squares of vectors, written out: what Winograd's convolutions are made of.

The loops around them are in `backend.cpu_winograd_numba`; products of matrices are in `numba_tile`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from .numba_ir import intrinsic
from .numba_tile import lanes

_WORD = ir.IntType(64)
Matrix = Sequence[Sequence[float]]


def _combined(builder: Any, coefficients: Sequence[float], values: Sequence[Any]) -> Any:
    """The sum of coefficients times values, without the zeros."""
    vector = values[0].type
    declare: Any = cgutils.get_or_insert_function
    name = f"llvm.fma.v{vector.count}f{32 if vector.element == ir.FloatType() else 64}"
    fma = declare(builder.module, ir.FunctionType(vector, [vector] * 3), name)
    total = None
    for c, value in zip(coefficients, values, strict=True):
        factor = ir.Constant(vector, [c] * vector.count)
        if c == 0:
            continue
        if total is None:
            total = value if c == 1 else builder.fmul(factor, value)
        elif c in (1, -1):
            total = builder.fadd(total, value) if c == 1 else builder.fsub(total, value)
        else:
            total = builder.call(fma, [factor, value, total])
    return total


def transform(bits: int, matrix: Matrix) -> Any:
    """A function for compiled code: target = matrix @ source @ matrix.T + plus, for one vector in each place.

    Everything is given by byte addresses and steps, in this order: source, its steps by row and column; target, its
    steps likewise; plus, one vector for all places.
    """
    size = len(matrix[0])

    @intrinsic
    def apply(
        typingctx: Any, source: Any, s_row: Any, s_column: Any, target: Any, t_row: Any, t_column: Any, plus: Any
    ) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            source, s_row, s_column, target, t_row, t_column, plus = args
            kind = ir.VectorType(ir.FloatType() if bits == 32 else ir.DoubleType(), lanes(bits))

            def place(base: Any, row: Any, i: int, column: Any, j: int) -> Any:
                down = builder.mul(row, ir.Constant(_WORD, i))
                there = builder.add(builder.add(base, down), builder.mul(column, ir.Constant(_WORD, j)))
                return builder.inttoptr(there, kind.as_pointer())

            columns = []
            for j in range(size):
                seen = [builder.load(place(source, s_row, i, s_column, j), align=bits // 8) for i in range(size)]
                columns.append([_combined(builder, row, seen) for row in matrix])
            shift = builder.load(builder.inttoptr(plus, kind.as_pointer()), align=bits // 8)
            for i in range(len(matrix)):
                for j, row in enumerate(matrix):
                    value = builder.fadd(_combined(builder, row, [column[i] for column in columns]), shift)
                    builder.store(value, place(target, t_row, i, t_column, j), align=bits // 8)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), codegen

    return apply
