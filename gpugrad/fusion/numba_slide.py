"""Kernels of three by three elements that slide along a row of pixels, one vector of channels at a time.

Each pixel is read once for all nine products that it takes part in: the kernel stays in registers, and so do the sums
that are not complete yet. The loops around a row are in `backend.cpu_depthwise_numba`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from .numba_ir import intrinsic
from .numba_sweep import Strip
from .numba_tile import REGISTER

_WORD: Final = ir.IntType(64)
TAPS: Final = range(3)


def _loop(do: Strip, count: Any, places: list[Any], moves: list[Any], state: list[Any],
          body: Callable[[list[Any], list[Any]], list[Any]]) -> tuple[list[Any], list[Any]]:  # fmt: skip
    """`state = body(places, state)` `count` times (0 or more), the addresses moving on; gives both as they end."""
    b = do.b
    before = b.block
    head, inside, after = (b.append_basic_block(name) for name in ("pixel", "inside", "done"))
    b.branch(head)
    b.position_at_end(head)
    left = b.phi(_WORD)
    at = [b.phi(_WORD) for _ in places]
    held = [b.phi(do.vector) for _ in state]
    for phi, value in zip([left, *at, *held], [count, *places, *state], strict=True):
        phi.add_incoming(value, before)
    b.cbranch(b.icmp_signed(">", left, ir.Constant(_WORD, 0)), inside, after)
    b.position_at_end(inside)
    found = body(at, held)
    rest = [b.sub(left, ir.Constant(_WORD, 1)), *(b.add(a, m) for a, m in zip(at, moves, strict=True)), *found]
    for phi, value in zip([left, *at, *held], rest, strict=True):
        phi.add_incoming(value, b.block)
    b.branch(head)
    b.position_at_end(after)
    return at, held


def _sum(do: Strip, start: Any, weights: Sequence[Any], pixels: Sequence[Any]) -> Any:
    for weight, pixel in zip(weights, pixels, strict=True):
        start = do.fma(weight, pixel, start)
    return start


def _convolve(do: Strip, args: list[Any]) -> None:
    """The row y[j] = init + sum over r and s of w[r][s] x[r][j + s - 1], zeros beyond the ends."""
    (*rows, y), (*moves, pixel), w, tap, init, width = args[:4], args[4:8], *args[8:12]
    start = do.read(init, 0)
    taps = [[do.read(do.b.add(w, do.b.mul(tap, ir.Constant(_WORD, 3 * r + s))), 0) for r in TAPS] for s in TAPS]
    first = [do.read(place, 0) for place in rows]
    # Of the output at the last pixel that was read, and of the next one.
    state = [_sum(do, start, taps[1], first), _sum(do, start, taps[0], first)]
    rows = [do.b.add(place, move) for place, move in zip(rows, moves, strict=True)]

    def step(at: list[Any], held: list[Any]) -> list[Any]:
        seen = [do.read(place, 0) for place in at[:3]]
        do.put(at[3], 0, _sum(do, held[0], taps[2], seen))
        return [_sum(do, held[1], taps[1], seen), _sum(do, start, taps[0], seen)]

    rest = do.b.sub(width, ir.Constant(_WORD, 1))
    at, held = _loop(do, rest, [*rows, y], [*moves, pixel], state, step)
    do.put(at[3], 0, held[0])


def _correlate(do: Strip, args: list[Any]) -> None:
    """sums[r][s] += sum over j of g[j] x[r][j + s - 1], zeros beyond the ends."""
    (*rows, g), (*moves, pixel), sums, tap, _, width = args[:4], args[4:8], *args[8:12]
    none = ir.Constant(do.vector, None)
    # The pixels before and at the one whose cotangent comes next, and nine sums.
    state = [none, none, none, *(do.read(place, 0) for place in rows), *[none] * 9]
    rows = [do.b.add(place, move) for place, move in zip(rows, moves, strict=True)]

    def added(given: Any, columns: list[list[Any]], held: list[Any]) -> list[Any]:
        return [do.fma(given, columns[s][r], held[3 * r + s]) for r in TAPS for s in TAPS]

    def step(at: list[Any], held: list[Any]) -> list[Any]:
        given, seen = do.read(at[3], 0), [do.read(place, 0) for place in at[:3]]
        return [*held[3:6], *seen, *added(given, [held[:3], held[3:6], seen], held[6:])]

    rest = do.b.sub(width, ir.Constant(_WORD, 1))
    at, held = _loop(do, rest, [*rows, g], [*moves, pixel], state, step)
    total = added(do.read(at[3], 0), [held[:3], held[3:6], [none] * 3], held[6:])
    for k, value in enumerate(total):
        place = do.b.add(sums, do.b.mul(tap, ir.Constant(_WORD, k)))
        do.put(place, 0, do.b.fadd(do.read(place, 0), value))


def slide(bits: int, kind: str) -> Any:
    """A function for compiled code that "convolve"s or "correlate"s a row of pixels, a vector of channels.

    Arguments: the addresses of three rows of x and of the row of y (or g); the steps from pixel to pixel of each (0 for
    a row of zeros that is one pixel); the address of the kernel (or its sums) and the step between its nine elements;
    the address of what outputs start from (0 to correlate); pixels of a row, 1 or more; bytes of channels left.
    """
    write = {"convolve": _convolve, "correlate": _correlate}[kind]

    @intrinsic
    def go(
        typingctx: Any, x0: Any, x1: Any, x2: Any, y: Any, s0: Any, s1: Any, s2: Any, sy: Any, w: Any, tap: Any,
        init: Any, width: Any, left: Any,
    ) -> Any:  # fmt: skip
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            *places, left = args
            whole, part, done = (b.append_basic_block(name) for name in ("whole", "part", "slid"))
            b.cbranch(b.icmp_signed(">=", left, ir.Constant(_WORD, REGISTER)), whole, part)
            for block, valid in ((whole, None), (part, left)):
                b.position_at_end(block)
                write(Strip(b, bits, 1, valid), places)
                b.branch(done)
            b.position_at_end(done)
            return ir.Constant(_WORD, REGISTER)

        return types.int64(*[types.int64] * 13), codegen

    return go
