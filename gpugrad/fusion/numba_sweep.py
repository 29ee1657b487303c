"""Passes down the rows of matrices, a strip of columns wide: sums and factors of columns stay in registers.

What compilers make of nested Python loops reads and writes the sums again for each few rows; here the vectors are
written out. The loops around a pass are in `backend.cpu_norms_numba`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from .numba_ir import intrinsic
from .numba_tile import REGISTER, lanes

_WORD: Final = ir.IntType(64)
_INDEX: Final = ir.IntType(32)
# Vectors of a strip: with four sums of each no addition waits for the one before it, and all fit the registers.
VECTORS: Final = 4 if REGISTER == 64 else 2

# (maker of arithmetic, a vector of each moving matrix, of each still row, of each sum) -> new sums, vectors of results.
Body = Callable[["Arithmetic", list[Any], list[Any], list[Any]], tuple[list[Any], list[Any]]]


class Arithmetic:
    """Sums and products of vectors: `add(a, b)`, `sub(a, b)`, `mul(a, b)`, `fma(a, b, c)` = a b + c."""

    def __init__(self, builder: Any, bits: int) -> None:
        self.b, self.bits = builder, bits
        self.vector = ir.VectorType(ir.FloatType() if bits == 32 else ir.DoubleType(), lanes(bits))
        self.add, self.sub, self.mul = builder.fadd, builder.fsub, builder.fmul

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once."""
        return self.b.call(self.intrinsic("llvm.fma", self.vector, [self.vector] * 3), [a, b, c])

    def intrinsic(self, name: str, result: Any, kinds: Sequence[Any], suffix: str = "") -> Any:
        """LLVM's function of a name for vectors of this kind."""
        declare: Any = cgutils.get_or_insert_function
        full = f"{name}.v{self.vector.count}f{self.bits}{suffix}"
        return declare(self.b.module, ir.FunctionType(result, kinds), full)


class Strip(Arithmetic):
    """The code of one pass over `vectors` vectors; `left`: valid bytes of the last one, None for all of it."""

    def __init__(self, builder: Any, bits: int, vectors: int, left: Any) -> None:
        super().__init__(builder, bits)
        self.vectors, self.mask = vectors, None
        if left is not None:
            numbers = ir.Constant(ir.VectorType(_WORD, self.vector.count), [k * bits // 8 for k in range(lanes(bits))])
            self.mask = builder.icmp_signed("<", numbers, self._filled(left, numbers.type))

    def _filled(self, value: Any, vector: Any) -> Any:
        one = self.b.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_INDEX, 0))
        zeros = ir.Constant(ir.VectorType(_INDEX, vector.count), None)
        return self.b.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    def _pointer(self, place: Any, v: int) -> Any:
        return self.b.inttoptr(self.b.add(place, ir.Constant(_WORD, v * REGISTER)), self.vector.as_pointer())

    def read(self, place: Any, v: int) -> Any:
        """Vector `v` behind an address, zeros where it is not valid."""
        pointer = self._pointer(place, v)
        if self.mask is None:
            return self.b.load(pointer, align=self.bits // 8)
        kinds = [pointer.type, _INDEX, self.mask.type, self.vector]
        function = self.intrinsic("llvm.masked.load", self.vector, kinds, ".p0")
        zeros = ir.Constant(self.vector, None)
        return self.b.call(function, [pointer, ir.Constant(_INDEX, self.bits // 8), self.mask, zeros])

    def put(self, place: Any, v: int, value: Any) -> None:
        """Store vector `v`, where it is valid."""
        pointer = self._pointer(place, v)
        if self.mask is None:
            self.b.store(value, pointer, align=self.bits // 8)
            return
        kinds = [self.vector, pointer.type, _INDEX, self.mask.type]
        function = self.intrinsic("llvm.masked.store", ir.VoidType(), kinds, ".p0")
        self.b.call(function, [value, pointer, ir.Constant(_INDEX, self.bits // 8), self.mask])

    def write(self, body: Body, rows: Any, line: Any, moving: list[Any], still: list[Any], sums: list[Any],
              outs: list[Any]) -> None:  # fmt: skip
        """Down `rows` rows; everything by addresses, those of `moving` and `outs` going `line` on with each row."""
        b = self.b
        fixed = [[self.read(place, v) for place in still] for v in range(self.vectors)]
        before, head, after = b.block, b.append_basic_block("row"), b.append_basic_block("done")
        b.branch(head)
        b.position_at_end(head)
        count, offset = b.phi(_WORD), b.phi(_WORD)
        totals = [[b.phi(self.vector) for _ in sums] for _ in range(self.vectors)]
        found = []
        for v in range(self.vectors):
            seen = [self.read(b.add(place, offset), v) for place in moving]
            new, results = body(self, seen, fixed[v], list(totals[v]))
            found.append(new)
            for place, value in zip(outs, results, strict=True):
                self.put(b.add(place, offset), v, value)
        rest = b.sub(count, ir.Constant(_WORD, 1))
        for phi, start, value in ((count, rows, rest), (offset, ir.Constant(_WORD, 0), b.add(offset, line))):
            phi.add_incoming(start, before)
            phi.add_incoming(value, b.block)
        for own, new in zip(totals, found, strict=True):
            for phi, value in zip(own, new, strict=True):
                phi.add_incoming(ir.Constant(self.vector, None), before)
                phi.add_incoming(value, b.block)
        b.cbranch(b.icmp_signed(">", rest, ir.Constant(_WORD, 0)), head, after)
        b.position_at_end(after)
        for v, new in enumerate(found):
            for place, value in zip(sums, new, strict=True):
                self.put(place, v, value)


def sweep(bits: int, moving: int, still: int, sums: int, outs: int, body: Body, own: bool = False) -> Any:
    """A function for compiled code that goes down some rows of matrices, over as many columns as one strip takes.

    Its arguments: the address of a table; the slot of its first address, of which there are those of the `moving`
    matrices, of the `still` rows (with `own` one for each part), of matrices of `sums` (a row for each part, written,
    not added to) and of `outs`; the first row, how many rows (1 or more), the bytes of a row, the part; the byte of the
    row to begin at. It gives how many bytes of a row it took.
    """

    @intrinsic
    def go(typingctx: Any, table: Any, slot: Any, first: Any, rows: Any, line: Any, part: Any, column: Any) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            table, slot, first, rows, line, part, column = args
            pointer = b.gep(b.inttoptr(table, _WORD.as_pointer()), [slot])

            def addresses(start: int, count: int, offset: Any) -> list[Any]:
                slots = [b.gep(pointer, [ir.Constant(_WORD, start + k)]) for k in range(count)]
                return [b.add(b.load(each, align=8), offset) for each in slots]

            down, of_part = (b.add(b.mul(each, line), column) for each in (first, part))
            places = (
                addresses(0, moving, down), addresses(moving, still, of_part if own else column),
                addresses(moving + still, sums, of_part), addresses(moving + still + sums, outs, down),
            )  # fmt: skip
            left = b.sub(line, column)
            done, taken = b.append_basic_block("taken"), []
            for vectors, masked in ((VECTORS, False), (1, False), (1, True)):
                width = ir.Constant(_WORD, vectors * REGISTER)
                if not masked:
                    fits, on = b.append_basic_block("fits"), b.append_basic_block("on")
                    b.cbranch(b.icmp_signed(">=", left, width), fits, on)
                    b.position_at_end(fits)
                Strip(b, bits, vectors, left if masked else None).write(body, rows, line, *places)
                taken.append((width, b.block))
                b.branch(done)
                if not masked:
                    b.position_at_end(on)
            b.position_at_end(done)
            result = b.phi(_WORD)
            for width, block in taken:
                result.add_incoming(width, block)
            return result

        return types.int64(*[types.int64] * 7), codegen

    return go
