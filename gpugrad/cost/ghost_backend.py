"""`GhostBackend`: what arrays without data ask in place of a device.

It takes memory in a ledger and computes nothing; the shapes are found in `ghost_rules`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Backend, backend_of, cpu, cpu_images_numpy, cpu_row_blocks, cpu_rows_numpy, cuda_axes
from ..backend.base import Kernel
from ..backend.conv import Geometry
from ..fusion import Formula
from ..fusion.numba_cache import numba_wanted
from . import ghost_conv, ghost_conv_gpu, ghost_conv_numpy, ghost_images
from .errors import CostError
from .ghost import Ghost, Record, Storage, bare, hollow
from .ghost_rules import alike, all_known, ghosts_in, in_order, in_order_of, like, made, product_shape, replaced

_CREATION = ("empty", "zeros", "ones")


class Namespace:
    """NumPy, but for what makes new arrays."""

    def __init__(self, backend: GhostBackend) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        backend = self._backend
        if name in _CREATION:
            return lambda shape, dtype=float, **kwargs: backend.fresh(shape, dtype)
        if name in ("full", "arange", "eye", "linspace", "array", "asarray", "identity", "tri"):
            return lambda *args, **kwargs: backend.created(name, args, kwargs)
        if name in ("ascontiguousarray", "asfortranarray", "copy"):  # NumPy's own do not ask other kinds of arrays
            return lambda x, *args, **kwargs: like(backend, name, x, kwargs)
        if name == "ndarray":
            return Ghost
        if name == "lib":
            return _Lib
        return getattr(np, name)


class _Tricks:
    @staticmethod
    def as_strided(x: Any, shape: Any = None, strides: Any = None, **kwargs: Any) -> Any:
        """A view with any strides."""
        return x.seen_as(np.lib.stride_tricks.as_strided(x.value, shape, strides))

    @staticmethod
    def sliding_window_view(x: Any, window_shape: Any, axis: Any = None, **kwargs: Any) -> Any:
        """A view of every window."""
        return x.seen_as(np.lib.stride_tricks.sliding_window_view(x.value, window_shape, axis))


class _Lib:
    stride_tricks = _Tricks


class GhostBackend(Backend):
    """The backend of one prediction, in the place of `root`.

    Attributes:
        events: (bytes, record) for each piece of memory that came (or, negative, went), in order.
        tag: who takes memory now.
    """

    name = "shapes"

    def __init__(self, root: Backend) -> None:
        super().__init__()
        self.root = root
        self.device = root.device
        self.weight_order = root.weight_order
        self.epilogues, self.reduces, self.half_products = root.epilogues, root.reduces, root.half_products
        self.xp = Namespace(self)
        self.rows = _Rows(self)
        self.restart_stream(0)  # random numbers are not drawn, and the device's stream stays where it is
        self.events: list[tuple[int, Record]] = []
        self.tag: Any = None
        self.new: list[Record] = []  # records since the tag was last settled

    @property
    def optim(self) -> Any:
        """Refused: an update would change the parameters' own values."""
        raise CostError("[tape_memory] the function updates parameters; give the loss alone, without optimizer.step()")

    @optim.setter
    def optim(self, value: Any) -> None:
        raise AttributeError("optim")

    def fresh(self, shape: Any, dtype: Any, values: Any = None) -> Ghost:
        """New memory; with `values` they are known."""
        shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(int(n) for n in shape)
        value = hollow(shape, dtype) if values is None else values
        record = Record(value.nbytes, self.tag)
        self.new.append(record)
        return Ghost(value, self, Storage(self.events, record), values is not None)

    def briefly(self, nbytes: int, scratch: bool = False) -> None:
        """Memory that is taken and given back at once; `scratch` is the pool's, which every call takes again."""
        if nbytes:
            self.fresh(nbytes, np.uint8)
            self.new[-1].scratch = scratch

    def there(self, array: Any) -> Ghost:
        """An array that exists, without its data unless it is of integers or truth values."""
        if array.dtype.kind in "iub":
            return Ghost(np.asarray(backend_of(array).to_host(array)), self, None, known=True)
        same = Ghost(hollow(array.shape, array.dtype), self, None)
        order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
        dense = not array.flags.c_contiguous and array.transpose(order).flags.c_contiguous
        return in_order(same, order) if dense else same

    def created(self, name: str, args: Any, kwargs: Any) -> Any:
        """What one of NumPy's creation functions gives."""
        if name == "asarray" and isinstance(args[0], Ghost):
            dtype = args[1] if len(args) > 1 else kwargs.get("dtype")
            return args[0] if dtype is None else args[0].astype(dtype, copy=False)
        if ghosts_in(args) and not all_known(args):
            return alike(self, getattr(np, name)(*replaced(args, lambda g: np.ones(g.shape, g.dtype)), **kwargs))
        result = getattr(np, name)(*replaced(args, lambda g: g.value), **kwargs)
        return self.there(result) if result.dtype.kind in "iub" and result.size < 4096 else made(self, result)

    def compile(self, formula: Formula) -> Kernel:
        """Takes memory for the results of the formula, and for what the device needs while it computes them."""
        plain = cpu().kernel(formula)  # for the dtypes of the results, of arrays of one element
        footprint = getattr(self.root.kernel(formula), "footprint", None)

        def run(*arrays: Any, out: Any = None) -> Any:
            order, scratch = None, 0
            if footprint is not None:
                order, scratch = footprint(*[bare(a) for a in arrays])
            if out is None:
                shape = np.broadcast_shapes(*[a.shape if hasattr(a, "shape") else () for a in arrays])
                small = plain(*[np.ones((), a.dtype) if hasattr(a, "dtype") else a for a in arrays])
                dtypes = [r.dtype for r in (small if isinstance(small, tuple) else (small,))]
                made = tuple(self.fresh(shape, d) for d in dtypes)
                if footprint is None:
                    made = tuple(in_order_of(arrays, r) for r in made)
                elif order is not None:
                    made = tuple(in_order(r, order) for r in made)
                out = made if isinstance(small, tuple) else made[0]
            self.briefly(scratch)
            return out

        return run

    def source(self, formula: Formula, dtype: Any) -> str:
        """The source of the device's kernel."""
        return self.root.source(formula, dtype)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Ghost:
        """New memory."""
        return self.fresh(shape, dtype)

    def from_host(self, array: Any) -> Ghost:
        """New memory of the array's shape; values of integers are kept."""
        values = np.asarray(array)
        return self.fresh(values.shape, values.dtype, values if values.dtype.kind in "iub" else None)

    def to_host(self, array: Any) -> Any:
        """Refused, but for known values."""
        return array._known(".numpy() or printing") if isinstance(array, Ghost) else array

    def matmul(self, a: Any, b: Any, out: Any = None) -> Any:
        """New memory for the product."""
        return self.fresh(product_shape(a.shape, b.shape), np.result_type(a.dtype, b.dtype)) if out is None else out

    def matmul_wide(self, a: Any, b: Any) -> Any:
        """Likewise, in float32."""
        return self.fresh(product_shape(a.shape, b.shape), np.float32 if a.dtype.itemsize == 2 else a.dtype)

    def linear_activated(
        self, x: Any, weight: Any, bias: Any, activation: str, notes: bool, recorded: bool
    ) -> tuple[Any, Any, Any] | None:
        """New memory for the values, and for what the device's product leaves beside them."""
        n, rows = weight.shape[0], math.prod(x.shape[:-1])
        kept = self.root.activated_size(activation, rows, n, x.dtype, notes, recorded)
        if kept is None:
            return None
        values = self.fresh((*x.shape[:-1], n), x.dtype)
        if activation == "relu":
            return values, None, self.fresh((kept,), np.uint8) if kept else None
        return values, self.fresh((*x.shape[:-1], n), x.dtype) if kept else None, None

    def matmul_activated(self, g: Any, weight: Any, activation: str, z: Any, notes: Any) -> Any:
        """New memory for the product, where the device computes it so."""
        fits = self.root.activated_size(activation, 1, weight.shape[1], g.dtype, True, True)
        if fits is None or weight.shape[0] == 1 or (activation == "relu" and notes is None):
            return None
        return self.matmul(g, weight)

    def special(self, name: str, *arrays: Any) -> Any:
        """New memory for the values."""
        return self.fresh(np.broadcast_shapes(*[a.shape for a in arrays]), np.result_type(*[a.dtype for a in arrays]))

    def solve_sylvester(self, a: Any, b: Any, q: Any) -> Any:
        """New memory for the solution."""
        return self.fresh(q.shape, np.result_type(a.dtype, b.dtype, q.dtype))

    def solve_banded(self, bands: tuple[int, int], ab: Any, b: Any) -> Any:
        """Likewise."""
        return self.fresh(b.shape, np.result_type(ab.dtype, b.dtype))

    def sqrtm(self, a: Any) -> Any:
        """Of a matrix whose root is real, as that of a positive definite one."""
        return self.fresh(a.shape, a.dtype)

    def conv(self, x: Any, w: Any, at: Geometry, bias: Any = None) -> Any:
        """As the device would."""
        places = x.shape[0] * math.prod(at.output(x.shape[2:], w.shape[2:]))
        way = ghost_conv.way(self, places * w.size, w.shape, at, x, w)
        if way in ghost_conv.TILED:
            return ghost_conv.tiled_conv(self, way, x, w.shape, at)
        if way == "winograd2 in NumPy":
            return ghost_conv_numpy.tiled_conv(self, x, w.shape, at)
        if way == "direct, depthwise":
            return ghost_conv.depthwise_conv(self, x)
        if way == "direct":
            return ghost_conv.conv(self, x, w.shape, at)
        if way in ("shifted", "im2col"):
            return ghost_conv_numpy.conv(self, x, w.shape, at, bias is not None)
        if ghost_conv_gpu.taken(self, x, w.shape, at, at.output(x.shape[2:], w.shape[2:])):
            return ghost_conv_gpu.conv(self, x, w, at)
        return super().conv(x, w, at, bias)

    def conv_relu(self, x: Any, w: Any, at: Geometry, bias: Any = None) -> Any:
        """As the device would: on a GPU relu takes no memory of its own."""
        return self.conv(x, w, at) if self.device.type == "cuda" else None

    def conv_input(self, g: Any, w: Any, size: tuple[int, ...], at: Geometry) -> Any:
        """Likewise."""
        way = ghost_conv.way(self, g.size // g.shape[1] * w.size, w.shape, at, g, w, back=True)
        if way in ghost_conv.TILED:
            return ghost_conv.tiled_conv_input(self, way, g, w, at)
        if way == "winograd2 in NumPy":
            return ghost_conv_numpy.tiled_conv_input(self, g, w.shape, size, at)
        if way == "direct, few channels":
            return ghost_conv.few_conv_input(self, g, w.shape, size)
        if way == "direct, depthwise":
            return ghost_conv.depthwise_conv(self, g)
        if way == "direct":
            return ghost_conv.conv_input(self, g, w.shape, size, at)
        if way in ("shifted", "im2col"):
            return ghost_conv_numpy.conv_input(self, g, w.shape, size, at)
        if ghost_conv_gpu.taken(self, g, w.shape, at, size):
            return ghost_conv_gpu.conv_input(self, g, w, size, at)
        return super().conv_input(g, w, size, at)

    def conv_weight(self, x: Any, g: Any, kernel: tuple[int, ...], at: Geometry) -> Any:
        """Likewise."""
        w_shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
        way = ghost_conv.way(self, g.size * math.prod(w_shape[1:]), w_shape, at, x, g, weight=True)
        if way in ghost_conv.TILED:
            return ghost_conv.tiled_conv_weight(self, way, x, g, at)
        if way == "winograd2 in NumPy":
            return ghost_conv_numpy.tiled_conv_weight(self, x, g)
        if way == "direct, depthwise":
            return ghost_conv.depthwise_conv_weight(self, x, g)
        if way == "direct":
            return ghost_conv.conv_weight(self, x, g, kernel, at)
        if way in ("shifted", "im2col"):
            return ghost_conv_numpy.conv_weight(self, x, g, kernel, at)
        if ghost_conv_gpu.taken(self, x, w_shape, at, g.shape[2:]):
            return ghost_conv_gpu.conv_weight(self, x, g, kernel, at)
        return super().conv_weight(x, g, kernel, at)

    def max_pool(self, x: Any, kernel: Any, size: Any, at: Geometry) -> Any:
        """As the device would."""
        if math.prod(kernel) < 256 and ghost_images.compiled(self, len(kernel), x):
            return ghost_images.images(self, x, size), ghost_images.images(self, x, size, byte=True)
        if math.prod(kernel) < 256 and ghost_images.in_parts(self, len(kernel), x):
            return ghost_images.max_pool(self, x, kernel, size, at)
        return None

    def window_put(self, g: Any, won: Any, inner: Any, kernel: Any, at: Geometry) -> Any:
        """Likewise."""
        if won.dtype == np.uint8 and ghost_images.compiled(self, len(kernel), g):
            return ghost_images.images(self, g, inner)
        if won.dtype == np.uint8 and ghost_images.in_parts(self, len(kernel), g):
            return ghost_images.window_put(self, g, inner, kernel, at)
        return None

    def window_sum(self, x: Any, kernel: Any, size: Any, at: Geometry) -> Any:
        """Likewise."""
        return ghost_images.images(self, x, size) if ghost_images.compiled(self, len(kernel), x) else None

    def window_spread(self, g: Any, inner: Any, kernel: Any, at: Geometry) -> Any:
        """Likewise."""
        return ghost_images.images(self, g, inner) if ghost_images.compiled(self, len(kernel), g) else None

    def statistics(self, rows: Any) -> Any:
        """Likewise."""
        if ghost_images.in_parts(self, 2, rows):
            self.briefly(cpu_images_numpy.scratch(bare(rows)))
        elif not ghost_images.compiled(self, 2, rows):
            return None
        if not rows.flags.c_contiguous:
            self.briefly(rows.nbytes)
        return tuple(self.fresh(rows.shape[1:], rows.dtype) for _ in range(2))

    def batch_norm(
        self, x: Any, weight: Any, bias: Any, eps: float, running: Any, momentum: float, relu: bool = False
    ) -> Any:
        """Likewise; on a GPU it is our own kernels that are counted."""
        return ghost_images.batch_norm(self, x, weight, bias, relu)

    def batch_norm_vjp(self, g: Any, x: Any, weight: Any, mean: Any, rate: Any, bias: Any = None) -> Any:
        """Likewise."""
        return ghost_images.batch_norm_vjp(self, g, x, weight, bias is not None)

    def norm_products(self, g: Any, rows: Any, mean: Any, scale: Any) -> Any:
        """Likewise."""
        return self.statistics(rows)

    def scattered(self, stack: Any) -> bool:
        """As on the device."""
        return self.root.scattered(stack)

    def scatter_add(self, target: Any, index: Any, source: Any) -> None:
        """On the CPU rows by index are made dense and, where no loop is compiled, take the numbers of their cells."""
        rows = getattr(index, "dtype", np.dtype(float)).kind in "iu" and target.ndim > 1 and target.size > 0
        if rows and self.root.name == "cpu":
            dense = 0 if bare(source).flags.c_contiguous else source.nbytes
            columns = target.size // target.shape[0]
            cells = 0 if numba_wanted() else cpu_rows_numpy.scatter_scratch(index.size, columns)
            self.briefly(dense + cells)

    def storage(self, array: Any) -> object:
        """The ledger's piece of memory; for what was there before, the array itself."""
        return array if array.storage is None else array.storage

    def synchronize(self) -> None:
        """Nothing runs."""

    def seed(self, seed: int) -> None:
        """Nothing is drawn."""

    def random(self, kind: str, shape: tuple[int, ...], dtype: Any, low: Any = 0, high: Any = 1) -> Ghost:
        """New memory."""
        return self.fresh(shape, dtype)

    def memory_stats(self) -> Any:
        """What the device's allocator holds."""
        return self.root.memory_stats()

    def column_sum(self, x: Any) -> Ghost:
        """New memory for the sums."""
        return self.fresh(x.shape[1:], x.dtype)

    def reduce(self, name: str, x: Any, axes: tuple[int, ...] | None, keepdims: bool) -> Any:
        """As the device would: kernels of its own leave one result, and take memory between their stages."""
        if not self.reduces or x.dtype.kind not in "fV" or not x.size:
            return super().reduce(name, x, axes, keepdims)
        gone = range(x.ndim) if axes is None else axes
        kept = [1 if i in gone else n for i, n in enumerate(x.shape) if keepdims or i not in gone]
        result = self.fresh(kept, x.dtype)
        self.briefly(cuda_axes.scratch(x.shape, [s // x.itemsize for s in x.strides], gone, x.itemsize))
        order = [i for i in cuda_axes.in_memory_order(x.strides) if keepdims or i not in gone]
        return in_order(result, [sorted(order).index(i) for i in order])

    def extreme_vjp(self, g: Any, x: Any, extremes: Any, axes: tuple[int, ...] | None) -> Any:
        """As the device would: beside the result it takes a number for each slice, and what counting ties takes."""
        if not self.reduces or x.dtype.kind not in "fV" or not x.size:
            return None
        gone, wide = range(x.ndim) if axes is None else axes, max(x.itemsize, 4)
        steps = [s // x.itemsize for s in x.strides]
        passes = cuda_axes.passes(cuda_axes.grouped(x.shape, steps, gone))
        written = 0 if passes is not None and len(passes) == 1 else x.size
        if written:
            steps = [math.prod(x.shape[i + 1 :]) for i in range(x.ndim)]
        self.briefly((written + extremes.size) * wide + cuda_axes.scratch(x.shape, steps, gone, wide))
        return in_order_of((x,), self.fresh(x.shape, x.dtype))


class _Rows:
    """The row kernels: memory for their results, and for a moment what their blocks take."""

    def __init__(self, backend: GhostBackend) -> None:
        self._backend = backend

    def _made(self, name: str, x: Any, *shapes: tuple[int, ...], weighted: bool = False) -> Any:
        results = tuple(self._backend.fresh(shape, x.dtype) for shape in shapes)
        if self._backend.device.type == "cpu":
            self._backend.briefly(cpu_row_blocks.scratch(name, bare(x), weighted))
        return results if len(results) > 1 else results[0]

    def softmax(self, x: Any, *others: Any, **kwargs: Any) -> Any:
        return self._made("softmax", x, x.shape)

    softmax_vjp = log_softmax_vjp = softmax

    def softmax_causal(self, x: Any, first: int, out: Any = None) -> Any:
        if self._backend.device.type == "cpu":
            self._backend.briefly(cpu_row_blocks.scratch("softmax", bare(x)) + math.prod(x.shape[-2:]))
        return out if out is x else self._made("softmax", x, x.shape)

    def log_softmax(self, x: Any, *others: Any) -> Any:
        return self._made("log_softmax", x, x.shape)

    def dropout(self, x: Any, *others: Any, **kwargs: Any) -> Any:
        return self._made("dropout", x, x.shape)

    def logsumexp(self, x: Any) -> Any:
        return self._made("logsumexp", x, x.shape[:-1])

    def cross_entropy(self, x: Any, *others: Any) -> Any:
        return self._made("cross_entropy", x, x.shape[:1], x.shape[:1])

    def cross_entropy_vjp(self, g: Any, x: Any, *others: Any) -> Any:
        return self._made("cross_entropy_vjp", x, x.shape)

    def layer_norm(self, x: Any, *others: Any) -> Any:
        return self._made("layer_norm", x, x.shape, x.shape[:-1], x.shape[:-1])

    def layer_norm_vjp(self, g: Any, x: Any, mean: Any, rstd: Any, weight: Any) -> Any:
        return self._made("layer_norm_vjp", x, x.shape, x.shape[-1:], x.shape[-1:], weighted=weight is not None)

    def rms_norm(self, x: Any, *others: Any) -> Any:
        return self._made("rms_norm", x, x.shape, x.shape[:-1])

    def rms_norm_vjp(self, g: Any, x: Any, rstd: Any, weight: Any) -> Any:
        return self._made("rms_norm_vjp", x, x.shape, x.shape[-1:], weighted=weight is not None)

    def maxout(self, x: Any, k: int) -> Any:
        return self._made("maxout", x, (*x.shape[:-1], x.shape[-1] // k))

    def maxout_vjp(self, g: Any, x: Any, *others: Any) -> Any:
        return self._made("maxout_vjp", x, x.shape)

    def scatter_add_rows(self, *args: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        """A kernel without a rule runs once on ones."""
        if name.startswith("_"):
            raise AttributeError(name)
        kernel = getattr(cpu().rows, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            def real(g: Ghost) -> Any:
                return g.value if g.known else np.ones(g.shape, g.dtype)

            return alike(self._backend, kernel(*replaced(args, real), **replaced(kwargs, real)))

        return run
