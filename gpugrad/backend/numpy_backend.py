"""The CPU backend: NumPy, with recycled buffers for large results and Numba kernels where Numba is installed."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..fusion import Formula
from ..fusion.numba_cache import numba_wanted
from ..fusion.numpy_compiler import NumpyKernel, compile_numpy
from . import blas, cpu_choice, cpu_images, cpu_images_numpy, cpu_norms, cpu_products, scipys
from .base import Array, Backend, Kernel, Running
from .device import CPU
from .pool import BufferPool, PoolStats

if TYPE_CHECKING:
    from .conv import Geometry

_BLAS = (np.dtype(np.float32), np.dtype(np.float64))
_KEPT_ONES = 65_536  # the longest vector of ones that is kept from call to call
_ONE_THREAD = 1 << 15  # the largest matrix times a vector for which OpenBLAS wakes none of its threads
# Multiply-adds of products that take one thread: up to the first they do of OpenBLAS's own accord. Above it the second
# thread saves at most some 30 microseconds, where its core is free and near; where it is not, it costs hundreds, and
# what it wrote has to come out of another core's cache for the next operation.
_SHARED, _ALONE = 1 << 18, cpu_products.MOST


@lru_cache(maxsize=64)
def _ones(count: int, dtype: Any) -> Array:
    return np.ones(count, dtype)


class NumpyBackend(Backend):
    """Arrays in main memory."""

    name = "cpu"
    device = CPU
    xp = np
    # OpenBLAS is fastest on x @ weight.T where weight.T is contiguous, and on the weight's gradient (x.T @ g).T by far
    # at small batches: 42 against 110 microseconds for 32 x 784 x 128 on two cores.
    weight_order = "F"

    def __init__(self) -> None:
        super().__init__()
        self.pool = BufferPool()
        self.generator = np.random.default_rng()
        self.restart_stream(int(self.generator.integers(1 << 62)))

    @cached_property
    def rows(self) -> Any:
        """The row kernels of the CPU."""
        from . import cpu_rows

        return cpu_rows

    @cached_property
    def optim(self) -> Any:
        """The update kernels of the CPU."""
        from . import cpu_optim

        return cpu_optim

    def compile(self, formula: Formula) -> Kernel:
        plain = compile_numpy(formula, alloc=self.pool.empty)
        if not numba_wanted():
            return plain
        return _Fused(formula, plain, self.pool)

    def source(self, formula: Formula, dtype: Any) -> str:
        return str(compile_numpy(formula).source)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.pool.empty(shape, dtype)

    def from_host(self, array: Any) -> Array:
        return np.array(array)

    def to_host(self, array: Array) -> Any:
        return array

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        if a.dtype.itemsize == 2 and a.dtype == b.dtype and a.dtype.kind in "fV":
            # NumPy's own product of halves has no BLAS, and that of bfloat16 comes in float32.
            wide = self.matmul_wide(a, b)
            if out is None:
                return wide.astype(a.dtype)
            out[...] = wide
            return out
        return self._product(a, b, out, None)

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        if bias is None or x.dtype.itemsize == 2:
            return super().linear(x, weight, bias)
        return self._product(x, weight.T, None, bias)

    def _product(self, a: Array, b: Array, out: Array | None, bias: Array | None) -> Array:
        """`a @ b`, in `out` where it is given, with `bias` added where there is one."""
        work = a.size * b.shape[1] if b.ndim == 2 else 0
        if out is None and a.ndim > 1 and work >= self.pool.threshold:
            out = self.pool.empty((*a.shape[:-1], b.shape[1]), a.dtype)
            if cpu_products.LEAST <= work <= cpu_products.MOST and cpu_products.takes(a, b, bias):
                cpu_products.product(a, b, bias, out)
                return out
        if _SHARED < work <= _ALONE:
            with blas.one_thread():
                result = np.matmul(a, b, out)
        else:
            result = np.matmul(a, b, out)
        if bias is not None:
            result += bias
        return result if type(result) is np.ndarray else np.asarray(result)

    def special(self, name: str, *arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(scipys.on_the_cpu("special", name)(*arrays))

    def solve_sylvester(self, a: Array, b: Array, q: Array) -> Array:
        try:
            solve = scipys.on_the_cpu("linalg", "solve_sylvester")
        except ImportError:  # slower than the Schur forms, but it needs no SciPy
            return super().solve_sylvester(a, b, q)
        return np.asarray(solve(a, b, q))

    def solve_banded(self, bands: tuple[int, int], ab: Array, b: Array) -> Array:
        try:
            solve = scipys.on_the_cpu("linalg", "solve_banded")
        except ImportError:  # likewise
            return super().solve_banded(bands, ab, b)
        return np.asarray(solve(bands, ab, b, check_finite=False))

    def sqrtm(self, a: Array) -> Array:
        return np.asarray(scipys.on_the_cpu("linalg", "sqrtm")(a))

    def column_sum(self, x: Array) -> Array:
        if x.dtype in _BLAS and x.flags.c_contiguous:
            # A product with a vector of ones: up to three times faster than NumPy's reduction along the first axis.
            # On one thread: it waits for memory, and OpenBLAS's other threads would stay on the cores afterwards.
            rows = x.shape[0]
            ones = _ones(rows, x.dtype) if rows <= _KEPT_ONES else np.ones(rows, x.dtype)
            with blas.one_thread() if x.size > _ONE_THREAD else nullcontext():
                return np.asarray(ones @ x)
        half = x.dtype.itemsize == 2 and x.dtype.kind in "fV"
        return np.asarray(np.add.reduce(x, 0, np.float32 if half else x.dtype)).astype(x.dtype, copy=False)

    def scatter_add(self, target: Array, index: Any, source: Array) -> None:
        rows = isinstance(index, np.ndarray) and index.dtype.kind in "iu" and target.ndim > 1
        if rows and target.flags.c_contiguous and target.dtype == source.dtype:
            self.rows.scatter_add_rows(target, index, source)
        else:
            np.add.at(target, index, source)

    def conv_way(self, work: int, w: Array, at: Geometry, x: Array, back: bool = False) -> str:
        return cpu_choice.name_of(cpu_choice.chosen(work, w.shape, at, x, w, back=back))

    def conv(self, x: Array, w: Array, at: Geometry, bias: Array | None = None) -> Array:
        places = x.shape[0] * math.prod(at.output(x.shape[2:], w.shape[2:]))
        way = cpu_choice.chosen(places * w.size, w.shape, at, x, w)
        if way == "general":
            return super().conv(x, w, at, bias)
        return np.asarray(cpu_choice.WAYS[way].conv(self.pool, x, w, bias, at))

    def conv_input(self, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
        way = cpu_choice.chosen(g.size // g.shape[1] * w.size, w.shape, at, g, w, back=True)
        if way == "general":
            return super().conv_input(g, w, size, at)
        return np.asarray(cpu_choice.WAYS[way].conv_input(self.pool, g, w, size, at))

    def conv_weight(self, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
        w_shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
        way = cpu_choice.chosen(g.size * math.prod(w_shape[1:]), w_shape, at, x, g, weight=True)
        if way == "general":
            return super().conv_weight(x, g, kernel, at)
        return np.asarray(cpu_choice.WAYS[way].conv_weight(self.pool, x, g, kernel, at))

    def max_pool(self, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
        if math.prod(kernel) < 256 and cpu_images.takes(len(kernel), x):
            return cpu_images.max_pool(self.pool, x, kernel, size, at)
        if math.prod(kernel) < 256 and cpu_images_numpy.takes(len(kernel), x):
            return cpu_images_numpy.max_pool(self.pool, x, kernel, size, at)
        return None

    def window_put(
        self, g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry
    ) -> Array | None:
        if won.dtype == np.uint8 and cpu_images.takes(len(kernel), g):
            return cpu_images.window_put(self.pool, g, won, inner, kernel, at)
        if won.dtype == np.uint8 and cpu_images_numpy.takes(len(kernel), g):
            return cpu_images_numpy.window_put(self.pool, g, won, inner, kernel, at)
        return None

    def window_sum(self, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Array | None:
        return cpu_images.window_sum(self.pool, x, kernel, size, at) if cpu_images.takes(len(kernel), x) else None

    def window_spread(self, g: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array | None:
        return cpu_images.window_spread(self.pool, g, inner, kernel, at) if cpu_images.takes(len(kernel), g) else None

    def statistics(self, rows: Array) -> tuple[Array, Array] | None:
        if cpu_images.takes(2, rows):
            return cpu_norms.statistics(rows)
        return cpu_images_numpy.statistics(rows) if cpu_images_numpy.takes(2, rows) else None

    def channel_sum(self, x: Array) -> Array:
        rows = np.moveaxis(x, 1, -1)
        if x.size < _Fused.SMALL or x.dtype not in _BLAS or not rows.flags.c_contiguous:
            return super().channel_sum(x)
        # Not by a product of OpenBLAS: its threads wait for more work on the cores that the next convolution wants.
        sums = cpu_norms if numba_wanted() else cpu_images_numpy
        return np.asarray(sums.column_sums(rows.reshape(-1, x.shape[1])))

    def norm_products(self, g: Array, rows: Array, mean: Array, scale: Array) -> tuple[Array, Array] | None:
        if cpu_images.takes(2, g, rows):
            return cpu_norms.products(g, rows, mean, scale)
        return cpu_images_numpy.products(g, rows, mean, scale) if cpu_images_numpy.takes(2, g, rows) else None

    def batch_norm(
        self, x: Array, weight: Array, bias: Array, eps: float, running: Running, momentum: float, relu: bool = False
    ) -> tuple[Array, ...] | None:
        if relu or not cpu_norms.taken(x, weight, bias):
            return None
        return cpu_norms.batch_norm(self.pool, x, weight, bias, eps, running, momentum)

    def batch_norm_vjp(
        self, g: Array, x: Array, weight: Array, mean: Array, rate: Array, bias: Array | None = None
    ) -> tuple[Array, ...] | None:
        if bias is not None or not cpu_norms.taken(x, g, weight):
            return None
        return cpu_norms.batch_norm_vjp(self.pool, g, x, weight, mean, rate)

    def storage(self, array: Array) -> object:
        base = array.base
        while type(base) is np.ndarray and base.base is not None:
            base = base.base
        return array if base is None else base

    def synchronize(self) -> None:
        return None

    def seed(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.restart_stream(seed)

    def _random_state(self) -> Any:
        return list(self._stream), self.generator.bit_generator.state

    def _restore_random(self, state: Any) -> None:
        self._stream[:], self.generator.bit_generator.state = state

    def random(self, kind: str, shape: tuple[int, ...], dtype: Any, low: Any = 0, high: Any = 1) -> Array:
        dtype = np.dtype(dtype)
        if kind == "integers":
            return np.asarray(self.generator.integers(low, high, shape, dtype=dtype))
        if kind == "permutation":
            return self.generator.permutation(shape[0]).astype(dtype, copy=False)
        native = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float32)
        draw = self.generator.random if kind == "uniform" else self.generator.standard_normal
        values = np.asarray(draw(shape, dtype=native))
        if (low, high) != (0, 1):
            values *= high - low if kind == "uniform" else high
            values += low
        return values.astype(dtype, copy=False)

    def memory_stats(self) -> PoolStats:
        return self.pool.stats()


class _Fused:
    """A formula compiled twice: Numba for large arrays of one float type, NumPy for all else."""

    __slots__ = ("formula", "fused", "plain", "pool", "tried")

    # Under this many elements a ufunc sequence costs about as much as the call of a compiled loop.
    SMALL = 16_384

    def __init__(self, formula: Formula, plain: NumpyKernel, pool: BufferPool) -> None:
        self.formula, self.plain, self.pool = formula, plain, pool
        self.fused: Any = None
        self.tried = False

    def __call__(self, *arrays: Any, out: Any = None) -> Any:
        for a in arrays:
            if type(a) is np.ndarray and a.size >= self.SMALL:
                return self._large(arrays, out)
        return self.plain(*arrays, out=out)

    def footprint(self, *arrays: Any) -> tuple[tuple[int, ...] | None, int]:
        """As `NumpyKernel.footprint`: compiled loops have no temporaries, but may need copies in their order."""
        fused = any(type(a) is np.ndarray and a.size >= self.SMALL for a in arrays) and self._compiled()
        if not fused:
            return self.plain.footprint(*arrays)
        order, copies, seen = _order_of(arrays), 0, list(arrays)
        for k, a in enumerate(arrays if order is not None else ()):
            if type(a) is np.ndarray and a.ndim and order is not None:
                seen[k] = _seen_in(a, order)
                if not _ready(seen[k]):
                    copies, seen[k] = copies + a.nbytes, np.empty(seen[k].shape, a.dtype)
        inner, scratch = (None, 0) if fused.accepts(*seen) else self.plain.footprint(*seen)
        if order is not None and inner is not None:
            inner = tuple(order[i] for i in inner)
        return inner or order, copies + scratch

    def _compiled(self) -> Any:
        if not self.tried:
            from ..fusion.numba_compiler import compile_numba

            self.fused, self.tried = compile_numba(self.formula), True
        return self.fused

    def _large(self, arrays: tuple[Any, ...], out: Any) -> Any:
        if self._compiled() is None:
            return self.plain(*arrays, out=out)
        order = _order_of(arrays) if out is None else None
        if order is None:
            return self.fused.run(arrays, out, self.pool.empty, self.plain)
        turned = [self._turned(a, order) if type(a) is np.ndarray and a.ndim else a for a in arrays]
        result = self.fused.run(turned, None, self.pool.empty, self.plain)
        back = tuple(np.argsort(order))
        return tuple(r.transpose(back) for r in result) if type(result) is tuple else result.transpose(back)

    def _turned(self, a: Array, order: tuple[int, ...]) -> Array:
        """An array with its axes in `order`, contiguous if it is large."""
        turned = _seen_in(a, order)
        if _ready(turned):
            return turned
        copy = self.pool.empty(turned.shape, turned.dtype)
        np.copyto(copy, turned)
        return copy


def _seen_in(a: Array, order: tuple[int, ...]) -> Array:
    """A view with as many axes as `order` has, in that order."""
    return (a if a.ndim == len(order) else a.reshape((1,) * (len(order) - a.ndim) + a.shape)).transpose(order)


def _ready(a: Array) -> bool:
    """Whether a compiled loop takes it as it is."""
    return bool(a.size < _Fused.SMALL or a.flags.c_contiguous)


def _order_of(arrays: tuple[Any, ...]) -> tuple[int, ...] | None:
    """The axes in memory order of the first large array that is dense but not in C order (channels last); else None."""
    for a in arrays:
        if type(a) is np.ndarray and a.size >= _Fused.SMALL and not a.flags.c_contiguous:
            order = tuple(sorted(range(a.ndim), key=lambda i: -a.strides[i]))
            return order if a.transpose(order).flags.c_contiguous else None
    return None
