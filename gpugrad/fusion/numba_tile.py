"""The inner loop of matrix products and convolutions: a tile of the output held in registers over all that adds to it.

What compilers make of nested Python loops spills or stays scalar; here the vectors are written out. The loops around a
tile are in `backend.cpu_conv_numba`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from .numba_ir import intrinsic

_WORD: Final = ir.IntType(64)
Body = Callable[[list[Any], list[Any]], list[Any]]

# Bytes of a vector register, and the rows of tiles, from the largest that the registers hold: 16 or 32 of them, of
# which two vectors for each row, two of the weights and one of the input are in use. The sizes of usual kernels are
# there too: 4 and 1 take twice as long as 5, for the additions of a single row wait for each other.
_FEATURES: Final = binding.get_host_cpu_features()
_LARGE: Final = bool(_FEATURES.get("avx512f"))
REGISTER: Final = 64 if _LARGE else 32
ROWS: Final = (14, 8, 5, 4, 3, 2, 1) if _LARGE else (6, 5, 4, 3, 2, 1)
# The same where each row brings vectors of its own: the sizes of the usual depthwise kernels are among them.
ROWS_DIAGONAL: Final = (8, 5, 3, 2, 1) if _LARGE else (5, 4, 3, 2, 1)


def lanes(bits: int, half: bool = False) -> int:
    """Numbers of `bits` bits in a vector register, or in half of one."""
    return REGISTER * 8 // bits // (2 if half else 1)


class _Writer:
    """The code of one tile."""

    def __init__(
        self, builder: Any, bits: int, rows: int, vectors: int, half: bool, masked: bool, diagonal: bool,
        args: Sequence[Any],
    ) -> None:  # fmt: skip
        self.b, self.rows, self.vectors, self.bits = builder, rows, vectors, bits
        self.masked, self.diagonal = masked, diagonal
        self.kind = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.lanes = lanes(bits, half)
        self.vector = ir.VectorType(self.kind, self.lanes)
        (self.y, self.y_step, self.init, self.init_step, self.a, self.a_step, self.a_plane, self.a_outer,
         self.a_inner, self.w, self.w_plane, self.w_outer, self.w_inner, self.planes, self.outer, self.inner,
         self.valid) = args  # fmt: skip

    def write(self) -> None:
        """Add up all three loops, add that to `init`, store."""
        odd = range(1, 1 if self.diagonal else self.rows, 2)
        self.multiples = {t: self.opaque(self.b.mul(self.a_step, ir.Constant(_WORD, t))) for t in odd}
        flat = [ir.Constant(self.vector, None)] * (self.rows * self.vectors)
        flat = self.loop(self.planes, [self.a, self.w], [self.a_plane, self.w_plane], flat, self._plane)
        # Last, not first: rounding errors are then those of this part of a sum, not of all that came before it.
        for t in range(self.rows):
            for v, before in enumerate(self.read(self.init, self.init_step, t)):
                self.put(self.y, self.y_step, t, v, self.b.fadd(before, flat[t * self.vectors + v]))

    def _plane(self, at: list[Any], flat: list[Any]) -> list[Any]:
        return self.loop(self.outer, at, [self.a_outer, self.w_outer], flat, self._middle)

    def _middle(self, at: list[Any], flat: list[Any]) -> list[Any]:
        return self.loop(self.inner, at, [self.a_inner, self.w_inner], flat, self._step)

    def loop(self, count: Any, at: list[Any], steps: list[Any], flat: list[Any], body: Body) -> list[Any]:
        """Repeat `body` `count` times (at least once), the addresses `at` moving by `steps`."""
        b = self.b
        before = b.block
        head = b.append_basic_block("loop")
        after = b.append_basic_block("done")
        b.branch(head)
        b.position_at_end(head)
        left = b.phi(_WORD)
        left.add_incoming(count, before)
        places = [b.phi(_WORD) for _ in at]
        sums = [b.phi(self.vector) for _ in flat]
        for phi, value in zip([*places, *sums], [*at, *flat], strict=True):
            phi.add_incoming(value, before)
        found = body(places, sums)
        end = b.block
        rest = b.sub(left, ir.Constant(_WORD, 1))
        left.add_incoming(rest, end)
        for phi, step in zip(places, steps, strict=True):
            phi.add_incoming(b.add(phi, step), end)
        for phi, value in zip(sums, found, strict=True):
            phi.add_incoming(value, end)
        b.cbranch(b.icmp_signed(">", rest, ir.Constant(_WORD, 0)), head, after)
        b.position_at_end(after)
        return found

    def _step(self, at: list[Any], sums: list[Any]) -> list[Any]:
        """One column of the tile's left factor times one row of the right one."""
        b = self.b
        fma = self.intrinsic("llvm.fma", self.vector, [self.vector] * 3)
        weights = [self.vector_at(at[1], v) for v in range(self.vectors)]
        found = []
        for t in range(self.rows):
            place = self.row_of(at[0], t)
            wide = [self.vector_at(place, v) for v in range(self.vectors)] if self.diagonal else self._spread(place)
            for v, w in enumerate(weights):
                found.append(b.call(fma, [wide[v], w, sums[t * self.vectors + v]]))
        return found

    def opaque(self, value: Any) -> Any:
        """A value that the compiler cannot take apart."""
        same = ir.InlineAsm(ir.FunctionType(_WORD, [_WORD]), "", "=r,0")
        return self.b.call(same, [value])

    def row_of(self, place: Any, t: int) -> Any:
        """The address of row `t`: an odd multiple of the step, times 1, 2, 4 or 8, which an operand's address can hold.

        A register for the offset of each row would be more than there are, and reading them back from memory as much
        work as reading the rows.
        """
        if t == 0:
            return place
        if self.diagonal:  # short sums: preparing the multiples would take as long as the rest
            return self.b.add(place, self.b.mul(self.a_step, ir.Constant(_WORD, t)))
        shift = (t & -t).bit_length() - 1
        return self.b.add(place, self.b.shl(self.multiples[t >> shift], ir.Constant(_WORD, shift)))

    def _spread(self, place: Any) -> list[Any]:
        """The number at an address in all places of a vector, for each of the row's vectors."""
        x = self.b.load(self.b.inttoptr(place, self.kind.as_pointer()), align=self.bits // 8)
        return [self._filled(x, self.vector)] * self.vectors

    def _filled(self, x: Any, vector: Any) -> Any:
        one = self.b.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        return self.b.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

    def read(self, base: Any, step: Any, t: int) -> list[Any]:
        place = self.b.add(base, self.b.mul(step, ir.Constant(_WORD, t)))
        return [self.vector_at(place, v) for v in range(self.vectors)]

    def _pointer(self, place: Any, v: int) -> Any:
        offset = ir.Constant(_WORD, v * self.lanes * self.bits // 8)
        return self.b.inttoptr(self.b.add(place, offset), self.vector.as_pointer())

    def vector_at(self, place: Any, v: int) -> Any:
        """The `v`-th vector behind an address, zeros where it is not valid."""
        pointer = self._pointer(place, v)
        if not self.masked:
            return self.b.load(pointer, align=self.bits // 8)
        mask = self.mask(v)
        kinds = [pointer.type, ir.IntType(32), mask.type, self.vector]
        function = self.intrinsic("llvm.masked.load", self.vector, kinds, ".p0")
        zeros = ir.Constant(self.vector, None)
        return self.b.call(function, [pointer, ir.Constant(ir.IntType(32), self.bits // 8), mask, zeros])

    def put(self, base: Any, step: Any, t: int, v: int, value: Any) -> None:
        """Store a vector of row `t`."""
        place = self.b.add(base, self.b.mul(step, ir.Constant(_WORD, t)))
        pointer = self._pointer(place, v)
        if not self.masked:
            self.b.store(value, pointer, align=self.bits // 8)
            return
        mask = self.mask(v)
        kinds = [self.vector, pointer.type, ir.IntType(32), mask.type]
        function = self.intrinsic("llvm.masked.store", ir.VoidType(), kinds, ".p0")
        self.b.call(function, [value, pointer, ir.Constant(ir.IntType(32), self.bits // 8), mask])

    def intrinsic(self, name: str, result: Any, kinds: Sequence[Any], suffix: str = "") -> Any:
        """LLVM's function of a name for this vector."""
        full = f"{name}.v{self.lanes}f{self.bits}{suffix}"
        declare: Any = cgutils.get_or_insert_function
        return declare(self.b.module, ir.FunctionType(result, kinds), full)

    def mask(self, v: int) -> Any:
        """Which numbers of the `v`-th vector are among the first `valid`."""
        numbers = ir.Constant(ir.VectorType(_WORD, self.lanes), [v * self.lanes + k for k in range(self.lanes)])
        return self.b.icmp_signed("<", numbers, self._filled(self.valid, numbers.type))


def tiles(bits: int, sizes: Sequence[int], vectors: int, half: bool = False, diagonal: bool = False) -> Any:
    """A function for compiled code that adds a product to the largest tile of `sizes` that is not above `left` rows.

    A row has `vectors` vectors (or as many halves). It computes y[t, :] = init[t, :] + sum over h < planes, i < outer,
    j < inner of a[t, h, i, j] w[h, i, j, :] and gives how many rows it took. After `left` (1 or more) everything is
    given by byte addresses and steps: y, its step from row to row; init, its step; a, its steps by t, h, i and j; w,
    its steps by h, i and j; planes, outer, inner (1 or more); how many numbers of a row are valid. With `diagonal`,
    a[t, h, i, j, :] has a number of its own for each place of a row.
    """

    @intrinsic
    def add(
        typingctx: Any, left: Any, y: Any, ys: Any, init: Any, inits: Any, a: Any, at: Any, ah: Any, ai: Any, aj: Any,
        w: Any, wh: Any, wi: Any, wj: Any, planes: Any, outer: Any, inner: Any, valid: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            left, *of_tile = args
            whole = builder.icmp_signed(">=", of_tile[-1], ir.Constant(_WORD, vectors * lanes(bits, half)))
            done = builder.append_basic_block("added")
            ways = [(builder.append_basic_block(name), name == "part") for name in ("whole", "part")]
            builder.cbranch(whole, ways[0][0], ways[1][0])
            taken = []
            for start, masked in ways:
                builder.position_at_end(start)
                for rows in sizes:
                    if rows > 1:
                        fits, on = builder.append_basic_block("fits"), builder.append_basic_block("on")
                        builder.cbranch(builder.icmp_signed(">=", left, ir.Constant(_WORD, rows)), fits, on)
                        builder.position_at_end(fits)
                    _Writer(builder, bits, rows, vectors, half, masked, diagonal, of_tile).write()
                    taken.append((rows, builder.block))
                    builder.branch(done)
                    if rows > 1:
                        builder.position_at_end(on)
            builder.position_at_end(done)
            result = builder.phi(_WORD)
            for rows, block in taken:
                result.add_incoming(ir.Constant(_WORD, rows), block)
            return result

        return types.int64(*[types.int64] * 18), codegen

    return add
