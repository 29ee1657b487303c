"""How a reduction over axes is launched: the array as (outer, reduced, inner), the kernel, its threads and chunks.

Shapes and strides alone, no CuPy. The kernels and the two ways of their columns are described in `kernels/axes.cuh`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

_THREADS: Final = 256  # a block, at most
_BLOCKS: Final = 528  # what fills a GPU of 132 multiprocessors with four blocks each
_ENOUGH: Final = 264  # blocks from which on a chunk for each of them is not worth a second stage
_WARP_COUNT: Final = 1024  # a warp or less has a row up to here, beyond it a block
_LONGEST: Final = 1 << 30  # elements of a chunk: threads count in 32 bits, and some steps beyond the end
_READS: Final = 4  # accesses of a thread that are in flight together
_WORTH: Final = 2 * _READS  # accesses that a thread should have in a chunk, at least

Step = tuple[int, int, int]


class Axes(NamedTuple):
    """An array as (outer, reduced, inner). `steps` in elements, one for each of the three."""

    outer: int
    reduced: int
    inner: int
    steps: Step

    @property
    def outputs(self) -> int:
        """How many results there are."""
        return self.outer * self.inner


class Launch(NamedTuple):
    """One stage: kernel `<operation>_<form>`, geometry, the words of `gg::Axes`, chunks (1: no second stage)."""

    form: str
    grid: tuple[int, int]
    block: tuple[int, int]
    words: tuple[int, ...]
    chunks: int


class Group(NamedTuple):
    """Neighbouring axes that step as one, of which all go or all stay."""

    size: int
    step: int
    goes: bool


def in_memory_order(strides: Sequence[int]) -> tuple[int, ...]:
    """Axes by their strides, the slowest first; C order where that decides nothing."""
    return tuple(sorted(range(len(strides)), key=lambda i: -abs(strides[i])))


def grouped(shape: Sequence[int], steps: Sequence[int], axes: Sequence[int]) -> list[Group]:
    """The axes of an array in memory order, those that step as one joined; axes of length 1 are left out."""
    groups: list[Group] = []
    for i in in_memory_order(steps):
        size, step, goes = shape[i], steps[i], i in axes
        if size == 1:
            continue
        if groups and groups[-1].goes == goes and groups[-1].step == step * size:
            groups[-1] = Group(groups[-1].size * size, step, goes)
        else:
            groups.append(Group(size, step, goes))
    return groups


def passes(groups: Sequence[Group]) -> list[Axes] | None:
    """One reduction after the other, the largest first, so that little is left for the others.

    Returns:
        None where the first one's remaining axes do not step as one (an array with gaps): it must be made dense.
    """
    left, found = list(groups), []
    while any(g.goes for g in left):
        k = max((i for i, g in enumerate(left) if g.goes), key=lambda i: left[i].size)
        outer, inner = _joined(left[:k]), _joined(left[k + 1 :])
        if outer is None or inner is None:
            return None
        found.append(Axes(outer.size, left[k].size, inner.size, (outer.step, left[k].step, inner.step)))
        left = _dense([*left[:k], *left[k + 1 :]])
    return found


def _joined(groups: Sequence[Group]) -> Group | None:
    """Groups as one, if they step as one."""
    for slow, fast in itertools.pairwise(groups):
        if slow.step != fast.step * fast.size:
            return None
    return Group(math.prod(g.size for g in groups), groups[-1].step if groups else 1, False)


def _dense(groups: Sequence[Group]) -> list[Group]:
    """The same sizes without gaps; neighbours that both go or both stay are joined."""
    made: list[Group] = []
    for g in groups:
        if made and made[-1].goes == g.goes:
            made[-1] = Group(made[-1].size * g.size, 1, g.goes)
        else:
            made.append(Group(g.size, 1, g.goes))
    step = 1
    for i in reversed(range(len(made))):
        made[i] = made[i]._replace(step=step)
        step *= made[i].size
    return made


def first_stage(axes: Axes, itemsize: int, aligned: bool) -> Launch:
    """The launch that reads the array; `aligned`: it begins on 16 bytes."""
    if axes.inner == 1:
        return _rows(axes, 16 // itemsize)
    return _columns(axes, 16 // itemsize, aligned)


def finish(lines: int, columns: int) -> Launch:
    """The launch that reduces lines of results, (lines, columns) without gaps in the compute type."""
    axes = Axes(1, lines, columns, (0, columns, 1))
    return _tiles("finish", axes, 1, min(8, _power(columns)), 1, 0)


def scratch(shape: Sequence[int], steps: Sequence[int], gone: Sequence[int], itemsize: int) -> int:
    """The most bytes that a reduction takes beside its argument and its result, for an array of `itemsize`."""
    found, wide = passes(grouped(shape, steps, gone)), max(itemsize, 4)
    if found is None:
        dense = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        return math.prod(shape) * itemsize + scratch(shape, dense, gone, itemsize)
    most = held = 0
    for k, axes in enumerate(found):
        last = k == len(found) - 1
        chunks = first_stage(axes, wide if k else itemsize, True).chunks
        lines = chunks if chunks > 1 or (k and last and itemsize != wide) else 0
        made = 0 if last else axes.outputs * wide
        most, held = max(most, held + lines * axes.outputs * wide + made), made
    return most


def _rows(axes: Axes, pack: int) -> Launch:
    outer, count = axes.outer, axes.reduced
    if count <= _WARP_COUNT:
        lanes = min(32, _power(-(-count // (2 * pack))))
        blocks = -(-outer * lanes // _THREADS)
        return _launch("rows_warp", axes, blocks, (_THREADS, 1), 1, lanes=lanes.bit_length() - 1)
    chunks = _chunks(outer, count // (_THREADS * pack * _READS))
    return _launch("rows_block", axes, outer, (_THREADS, 1), chunks, align=pack)


def _columns(axes: Axes, pack: int, aligned: bool) -> Launch:
    outer, count, inner, (outer_step, step, inner_step) = axes
    wide = aligned and inner_step == 1 and (outer == 1 or outer_step % pack == 0)
    period = inner // math.gcd(inner, pack)
    narrow = inner < 32 * pack or inner % pack != 0
    if wide and step == inner and narrow and period <= _THREADS and count * inner >= 2 * _THREADS * pack:
        threads = _THREADS // period * period
        at_once = threads * pack // inner
        chunks = _chunks(outer, count // (at_once * _WORTH))
        block = (-(-threads // 32) * 32, 1)
        return _launch("columns_wide", axes, outer, block, chunks, align=pack, flat=threads)
    wide = wide and inner % pack == 0 and step % pack == 0
    packs = axes.outputs // pack if wide else axes.outputs
    # One element an access, eight in flight: of 2 or 4 bytes it takes more threads to keep the memory busy.
    times = 1 if wide else pack // 2
    return _tiles("columns_wide" if wide else "columns", axes, pack if wide else 1, min(32, _power(packs)), 4, times)


def _tiles(form: str, axes: Axes, pack: int, across: int, each: int, times: int) -> Launch:
    """Blocks of neighbouring packs by rows; a thread has `each` rows or more, and the block at least `across` packs.

    Chunks give `times` as many blocks as usual; 0 for none.
    """
    packs = axes.outputs // pack
    most = min(_THREADS // across, max(1, axes.reduced // each), max(1, 1024 * _THREADS // packs))
    down = 1 << most.bit_length() - 1
    across = min(_THREADS // down, _power(packs))
    blocks = -(-packs // across)
    chunks = _chunks(blocks, axes.reduced // (down * _WORTH), times) if times else 1
    return _launch(form, axes, blocks, (across, down), chunks)


def _chunks(blocks: int, most: int, times: int = 1) -> int:
    return 1 if blocks >= times * _ENOUGH else max(1, min(-(-times * _BLOCKS // blocks), most))


def _launch(
    form: str, axes: Axes, blocks: int, block: tuple[int, int], chunks: int, *, align: int = 1, flat: int = 0,
    lanes: int = 0,
) -> Launch:  # fmt: skip
    accesses = axes.reduced * axes.inner if flat else axes.reduced
    chunks = max(chunks, -(-accesses // _LONGEST))
    a_chunk = -(-axes.reduced // chunks)
    a_chunk += -a_chunk % align  # so that all chunks begin on the boundary of the first
    chunks = -(-axes.reduced // a_chunk)
    words = (axes.outer, axes.reduced, axes.inner, *axes.steps, a_chunk, flat, lanes)
    return Launch(form, (blocks, chunks), block, words, chunks)


def _power(n: int) -> int:
    """The smallest power of two from `n` on."""
    return 1 << max(n - 1, 0).bit_length()
