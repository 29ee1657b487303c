"""What a backend is: the one object that knows where arrays live and how to compute there.

Operations ask `backend_of(array)` once and use what this class lists; there is no `if gpu:` above this floor.
The array module `xp` has NumPy's functions, so only what the two libraries do differently is a method here.
"""

from __future__ import annotations

import contextlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..fusion import Formula
from . import scipys
from .device import Device
from .moving import Moving

if TYPE_CHECKING:
    from .conv import Geometry

Array = Any  # numpy.ndarray or cupy.ndarray
Kernel = Callable[..., Any]
Running = tuple[Array, Array, Array | None] | None  # what a batch normalisation keeps of its batches, if anything
HERE: Final = contextlib.nullcontext()


class WrappedArray:
    """An array that holds others and brings a backend of its own; what it is made of is in `value`.

    Arrays of examples (`batching`) are such: above this floor they are arrays like NumPy's and CuPy's.
    """

    __slots__ = ("backend", "value")
    mapped = True  # whether it stands for the arrays of examples, so that one they share may meet it
    backend: Backend
    value: Any


def memory(array: Array) -> Array:
    """The array module's own array, beneath all that wraps it."""
    while isinstance(array, WrappedArray):
        array = array.value
    return array


class Backend(Moving, ABC):
    """Arrays on one device.

    Attributes:
        device: the device; `name` is its type, "cpu" or "cuda".
        xp: NumPy, or CuPy.
        weight_order: memory order of the matrices of layers, "C" or "F".
        kernels_last: whether kernels of convolutions lie with their channels last in memory, as images do.
        rows: the row kernels (softmax, cross_entropy, layer_norm, dropout, ...), one function each.
        optim: the multi-tensor update kernels (sgd, adam, rmsprop, adaptive, squared_norm, scale, clip).
        reduces: whether `reduce` has kernels of its own; where not, the array module's functions are as good.
        epilogues: the activations that a product may have as its end (`linear_activated`).
        half_products: whether products of halves are as fast as those of other types, or faster.
    """

    device: Device
    name: str
    xp: Any
    weight_order: str = "C"
    kernels_last: bool = False
    epilogues: frozenset[str] = frozenset()
    rows: Any
    optim: Any
    reduces: bool = False
    half_products: bool = False

    def __init__(self) -> None:
        self._kernels: dict[Formula, Kernel] = {}

    def __deepcopy__(self, memo: Any) -> Backend:
        """Itself: copies of layers are on the same device."""
        return self

    def place(self) -> Any:
        """A context in which this device is the current one; free of cost where there is only one."""
        return HERE

    def kernel(self, formula: Formula) -> Kernel:
        """The compiled formula: `kernel(*arrays_or_numbers, out=None)`; compiled at first use, then kept."""
        found = self._kernels.get(formula)
        if found is None:
            found = self._kernels[formula] = self.compile(formula)
        return found

    @abstractmethod
    def compile(self, formula: Formula) -> Kernel:
        """Compile `formula` for this device."""

    @abstractmethod
    def source(self, formula: Formula, dtype: Any) -> str:
        """The text that `formula` compiles to, for people to read."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An uninitialised C-contiguous array, from the recycled buffers where they have one."""

    @abstractmethod
    def from_host(self, array: Any) -> Array:
        """A copy on this device of a NumPy array."""

    @abstractmethod
    def to_host(self, array: Array) -> Any:
        """A NumPy array with the values of `array` (itself where it is one); waits for the device."""

    def queue(self) -> int:
        """A number of what work is given to; one queue does not wait for what another was given. 0 on the CPU."""
        return 0

    def receive(self, array: Array, source: Backend) -> Array:
        """A copy on this device, in C order, of an array on the device of `source`."""
        return self.from_host(np.asarray(source.to_host(array), order="C"))

    @abstractmethod
    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """NumPy's matmul of two arrays of one dtype."""

    def matmul_wide(self, a: Array, b: Array) -> Array:
        """`matmul`, of half precision in float32, in which it adds up."""
        return self.matmul(*[self.cast(x, np.float32) if x.dtype.itemsize == 2 else x for x in (a, b)])

    def matmul_plus(self, a: Array, b: Array, c: Array) -> Array:
        """`a @ b + c` of matrices of one dtype, `c` of the product's shape."""
        return self.plus(self.matmul(a, b), c, into=True)

    @abstractmethod
    def special(self, name: str, *arrays: Array) -> Array:
        """The function `name` of `scipy.special` of arrays of one dtype, by element and broadcast.

        Raises:
            ImportError: SciPy is not installed.
            NotImplementedError: the library of this device has no such function.
        """

    def solve_sylvester(self, a: Array, b: Array, q: Array) -> Array:
        """The solution x of `a @ x + x @ b = q`, (m, m), (n, n), (m, n); here as m n equations in as many unknowns."""
        return self.xp.linalg.solve(scipys.kronecker_of(self.xp, a, b), q.reshape((-1, 1))).reshape(q.shape)

    def solve_banded(self, bands: tuple[int, int], ab: Array, b: Array) -> Array:
        """The solution of a system with (lower, upper) bands `ab` for the columns of `b`; here as a dense system."""
        return self.xp.linalg.solve(scipys.dense_of_bands(self.xp, *bands, ab), b)

    def sqrtm(self, a: Array) -> Array:
        """The principal square root of a square matrix."""
        raise NotImplementedError(
            f"[sqrtm] no library on {self.device} has it ({a.shape} {a.dtype}); compute it on the CPU, x.to('cpu')"
        )

    def linear(self, x: Array, weight: Array, bias: Array | None) -> Array:
        """`x @ weight.T + bias` of arrays of one dtype: (*batch, in), (out, in), (out,) or None."""
        y = self.matmul(x, weight.T)
        return y if bias is None else self.plus(y, bias, into=True)

    def weight_and_bias(self, x: Array, g: Array, by_columns: bool, wide: bool = False) -> tuple[Array, Array] | None:
        """`g.T @ x` (in Fortran order if `by_columns`) and the sums of the columns of `g`, in one pass over `g`.

        `wide` asks for both in float32, of operands in half precision.

        Returns:
            Both, or None where the device has no such product: they are computed one after the other then.
        """
        return None

    def linear_activated(
        self, x: Array, weight: Array, bias: Array | None, activation: str, notes: bool, recorded: bool
    ) -> tuple[Array, Array | None, Any] | None:
        """`activation(x @ weight.T + bias)` in one launch.

        Args:
            x: (*batch, in).
            weight: (out, in).
            bias: (out,), or None.
            activation: "relu" or "gelu_tanh".
            notes: whether `matmul_activated` will be called for this layer.
            recorded: whether a derivative will be asked for at all.

        Returns:
            The values, those before the activation (None for relu, whose result is enough, and where nothing is
            recorded), and notes for `matmul_activated`. Or None where the device has no such product.
        """
        return None

    def activated_size(
        self, activation: str, rows: int, n: int, dtype: Any, notes: bool, recorded: bool
    ) -> int | None:
        """Bytes that `linear_activated` leaves beside a result of (rows, n); None where there is no such product."""
        return None

    def matmul_activated(self, g: Array, weight: Array, activation: str, z: Array, notes: Any) -> Array | None:
        """`(g @ weight)` times the activation's derivative at `z`, by the notes of `linear_activated`; or None."""
        return None

    @abstractmethod
    def scatter_add(self, target: Array, index: Any, source: Array) -> None:
        """`target[index] += source` in place, repeated indices added up, in a deterministic order."""

    @abstractmethod
    def storage(self, array: Array) -> object:
        """The object that stands for the memory of `array`: the same for an array and its views."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it."""

    def mark(self) -> Any:
        """A point in the device's time, behind all work asked of it so far; never waits."""
        return time.perf_counter()

    def elapsed(self, start: Any, stop: Any) -> float:
        """Seconds between two marks; the device must have come past both (`synchronize`)."""
        return float(stop - start)

    def loss_scale(self, scale: float, good_steps: int) -> Any:
        """A loss scale in the device's memory (`cuda_scaling.LossScale`); None where the host knows all values."""
        return None

    def uploads(self, ahead: int) -> Any:
        """What copies rows of host arrays here beside other work (`cuda_upload.Uploads`); None in main memory."""
        return None

    @abstractmethod
    def seed(self, seed: int) -> None:
        """Restart the backend's random generator."""

    @abstractmethod
    def random(self, kind: str, shape: tuple[int, ...], dtype: Any, low: Any = 0, high: Any = 1) -> Array:
        """Random numbers of a shape and dtype.

        Kinds: "uniform" in [low, high), "normal" (mean `low`, deviation `high`), "integers" in [low, high), and
        "permutation" of 0 to n - 1 for `shape` (n,).
        """

    def restart_stream(self, seed: int) -> None:
        """Restart the counter-based stream that dropout masks come from."""
        self._stream = [seed & (1 << 64) - 1, 0]

    def reserve_random(self, count: int) -> tuple[int, int]:
        """Take the next `count` numbers of the counter-based stream, which is the same on every device.

        Returns:
            (seed, offset of the first); the offset is even, because two numbers share a word of the stream.
        """
        seed, offset = self._stream
        self._stream[1] = offset + count + count % 2
        return seed, offset

    @contextlib.contextmanager
    def replaying(self, state: Any = None) -> Iterator[Any]:
        """A block whose random numbers can be drawn once more; it yields their state.

        Args:
            state: what an earlier block yielded: its numbers come again, and those outside go on as if the block had
                not been. None: this is the first time.
        """
        before = self._random_state()
        self._restore_random(before if state is None else state)
        try:
            yield before if state is None else state
        finally:
            if state is not None:
                self._restore_random(before)

    def _random_state(self) -> Any:
        return list(self._stream)

    def _restore_random(self, state: Any) -> None:
        self._stream[:] = state

    @abstractmethod
    def memory_stats(self) -> Any:
        """What the allocator holds."""

    def ones_like(self, x: Array) -> Array:
        """Ones of the shape and dtype of `x`, in C order: where a backward pass starts."""
        return self.xp.ones(x.shape, x.dtype)

    def plus(self, a: Array, b: Array, into: bool = False) -> Array:
        """The sum of two arrays of one dtype, `b` broadcast to `a`; written to `a` where it may go `into` it."""
        if not into:
            return a + b
        a += b
        return a

    @abstractmethod
    def column_sum(self, x: Array) -> Array:
        """The sums of the columns of a matrix, in its dtype; half precision adds up in float32."""

    def reduce(self, name: str, x: Array, axes: tuple[int, ...] | None, keepdims: bool) -> Array:
        """A reduction of `x` over axes; half precision adds up and multiplies in float32 and is rounded once.

        Args:
            name: "sum", "mean", "prod", "max" or "min"; a nan is the extreme of its slice.
            x: any dtype for which the array module has the function.
            axes: numbers from 0 on; None for all.
            keepdims: leave the axes with length 1.

        Returns:
            The values, in the dtype that the array module answers with; a single one may be a number.
        """
        if name in ("max", "min"):
            return getattr(x, name)(axes, None, keepdims)
        half = x.dtype.itemsize == 2 and x.dtype.kind in "fV"
        total = self.xp.multiply if name == "prod" else self.xp.add
        out = total.reduce(x, axes, "float32" if half else None, None, keepdims)
        if name == "mean":
            out = out / math.prod(x.shape if axes is None else [x.shape[i] for i in axes])
        return out.astype(x.dtype) if half else out

    def extreme_vjp(self, g: Array, x: Array, extremes: Array, axes: tuple[int, ...] | None) -> Array | None:
        """The cotangent of the input of "max" or "min" from `g` and the results, both with `keepdims`; or None."""
        return None

    def channel_sum(self, x: Array) -> Array:
        """The sums of (n, channels, *size) over all axes but the channels'."""
        rows = self.xp.moveaxis(x, 1, -1)
        if rows.flags.c_contiguous:
            return self.column_sum(rows.reshape(-1, x.shape[1]))
        return self.sum_to(x, (x.shape[1], *(1,) * (x.ndim - 2))).reshape(-1)

    def sum_to(self, array: Array, shape: tuple[int, ...]) -> Array:
        """Sum `array` down to `shape`, the inverse of broadcasting; half precision adds up in float32."""
        extra = array.ndim - len(shape)
        if extra == 1 and array.ndim == 2 and array.shape[1] == shape[0]:
            return self.column_sum(array)
        axes = tuple(range(extra)) + tuple(
            i + extra for i, n in enumerate(shape) if n == 1 and array.shape[i + extra] != 1
        )
        total = self.reduce("sum", array, axes, True) if axes else array
        return total.reshape(shape).astype(array.dtype, copy=False)

    def conv(self, x: Array, w: Array, at: Geometry, bias: Array | None = None) -> Array:
        """The convolution of images (n, channels, *size) with kernels (out, channels / groups, *kernel)."""
        from .conv import conv

        y = conv(self, x, w, at)
        if bias is not None:
            y += bias.reshape(-1, *(1,) * (y.ndim - 2))
        return y

    def conv_way(self, work: int, w: Array, at: Geometry, x: Array, back: bool = False) -> str:
        """What the backend calls its way of a convolution of `work` multiply-adds; "" where it has but one.

        Args:
            work: the multiply-adds.
            w: the kernels.
            at: where the patches lie.
            x: the images, or what stands in their place.
            back: whether it is `conv_input`.
        """
        return ""

    def conv_relu(self, x: Array, w: Array, at: Geometry, bias: Array | None = None) -> Array | None:
        """`conv`, with relu inside; or None where that is no faster than one after the other."""
        return None

    def conv_input(self, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
        """The gradient of `conv` with respect to its images, which are of `size`."""
        from .conv import conv_input

        return conv_input(self, g, w, size, at)

    def conv_weight(self, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
        """The gradient of `conv` with respect to its kernels, which are of size `kernel`."""
        from .conv import conv_weight

        return conv_weight(self, x, g, kernel, at)

    # A backend's own way for images; None where it has none, and the caller goes the general way.

    def max_pool(self, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
        """The largest element of each of `size` windows, and the number of each in its window; or None."""
        return None

    def window_put(
        self, g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry
    ) -> Array | None:
        """Images of size `inner` with `g` added where `max_pool` found the windows' elements `won`; or None."""
        return None

    def window_sum(self, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Array | None:
        """The sum of each of `size` windows; or None."""
        return None

    def window_spread(self, g: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array | None:
        """Images of size `inner` with `g` added to every element of its windows; or None."""
        return None

    def statistics(self, rows: Array) -> tuple[Array, Array] | None:
        """Mean and (biased) variance of the columns of a contiguous matrix; or None."""
        return None

    def norm_products(self, g: Array, rows: Array, mean: Array, scale: Array) -> tuple[Array, Array] | None:
        """The sums over the columns of `g` and of `g (rows - mean) scale`; or None."""
        return None

    def batch_norm(
        self, x: Array, weight: Array, bias: Array, eps: float, running: Running, momentum: float, relu: bool = False
    ) -> tuple[Array, ...] | None:
        """Images normalised by their own statistics in one go, and of each channel the mean and 1 / deviation; or None.

        Args:
            x: (n, channels, *size).
            weight: (channels,), of the same dtype, or float32 for images of halves.
            bias: likewise.
            eps: added to the (biased) variance.
            running: mean and variance to move by `momentum` towards those of the images (the unbiased variance), in
                place, and a number of batches that grows by 1, or None; unchanged where the result is None.
            momentum: the share of the new ones.
            relu: whether negative results are to be 0; None also where that is no faster than one after the other.
        """
        return None

    def batch_norm_vjp(
        self, g: Array, x: Array, weight: Array, mean: Array, rate: Array, bias: Array | None = None
    ) -> tuple[Array, ...] | None:
        """The gradients of images, weight and bias, of their dtypes, with what `batch_norm` gave; or None.

        `bias` is given where that had a relu, whose gradient at 0 is 0.
        """
        return None

    def attention(self, q: Array, k: Array, v: Array, scale: float, causal: bool) -> tuple[Array, Array] | None:
        """Scaled dot product attention in one go, without mask and dropout; or None.

        Args:
            q: (*lead, queries, e).
            k: (*lead, keys, e), of the same dtype; the last axis of `lead` may be 1 for k and v where it is not for q.
            v: (*lead, keys, e').
            scale: of the scores.
            causal: whether the query i sees the keys 0 to i only.

        Returns:
            (*lead, queries, e'), and what `attention_vjp` wants to know of the scores.
        """
        return None

    def attention_vjp(
        self, g: Array, q: Array, k: Array, v: Array, out: Array, sums: Array, scale: float, causal: bool
    ) -> tuple[Array, ...] | None:
        """The gradients of q, k and v, with what `attention` gave; or None."""
        return None
