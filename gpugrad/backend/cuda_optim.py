"""Optimizer updates on the GPU over lists of arrays, in place: sgd, adam, rmsprop, and the norm for clipping.

The same names, arguments and results as `cpu_optim`. Arrays of one float type go through the multi-tensor kernels of
`kernels/optim.cu`, one launch for all of them; anything else (halves, strided arrays, AMSGrad, centred RMSprop)
through one fused formula an array. Nothing waits for the device.
"""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from ..fusion import Formula, call, trace
from . import capturing
from .cuda_rows import compute_type, function
from .placing import placed

Array = Any

CHUNK: Final = 8192  # elements a block of threads: 32 for each of its 256
_BLOCK: Final = 256


class _Verdict(NamedTuple):
    """What a loss scale says of the step being taken: skip it where `found`; `skipped` of the `step` so far were."""

    found: Any
    skipped: Any
    step: int


class _State(threading.local):
    verdict: _Verdict | None = None


_state: Final = _State()


@contextlib.contextmanager
def guarded(found: Array, skipped: Array, step: int) -> Iterator[None]:
    """A block whose updates (of arrays that `one_launch` takes) are left out on the device where `found` is not 0.

    Args:
        found: (1,) int32, as `judge` writes it.
        skipped: (1,) int64, how many of the steps were left out; `count_skip` adds to it after the updates.
        step: the number of this step, those left out included, from 1.
    """
    _state.verdict = _Verdict(found, skipped, step)
    try:
        yield
    finally:
        _state.verdict = None


@placed
def count_skip(found: Array, skipped: Array) -> None:
    """Add the verdict on a step to the steps that were left out."""
    capture = capturing.current()
    if capture is None or not capture.refilling:
        function("optim.cu", "count_skip", "float32")((1,), (1,), (found, skipped))


@placed
def judge(total: Array, found: Array, anywhere: Array) -> None:
    """Set `found` and `anywhere`, (1,) int32, to 1 where a sum of squares is no finite number."""
    function("optim.cu", "judge", total.dtype.name)((1,), (1,), (total, found, anywhere))


# The one-launch way ---------------------------------------------------------------------------------------------


def _upload(data: bytes, dtype: str, device: int) -> Any:
    """A small table in device memory; the same table is uploaded once. A captured step has tables of its own."""
    capture = capturing.current()
    return _uploaded(data, dtype, device) if capture is None else capture.constant(np.frombuffer(data, dtype))


@functools.lru_cache(maxsize=256)
def _uploaded(data: bytes, dtype: str, device: int) -> Any:
    import cupy

    with cupy.cuda.Device(device):
        return cupy.array(np.frombuffer(data, dtype))


@functools.lru_cache(maxsize=64)
def _chunks(sizes: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """For arrays of these sizes: their sizes, the array and the first element of each chunk."""
    counts = [-(-n // CHUNK) for n in sizes]
    arrays = np.repeat(np.arange(len(sizes), dtype=np.int32), counts)
    starts = np.concatenate([np.arange(c, dtype=np.int64) * CHUNK for c in counts] or [np.empty(0, np.int64)])
    return np.array(sizes, np.int64), arrays, starts


def _tables(lists: Sequence[Sequence[Array] | None]) -> tuple[tuple[Any, ...], int]:
    """What every kernel of optim.cu takes first, and the number of chunks; None in `lists` stands for null pointers."""
    device = lists[0][0].device.id  # type: ignore[index]
    addresses = [[0 if given is None else given[i].data.ptr for given in lists] for i in range(len(lists[0]))]  # type: ignore[arg-type]
    table = _upload(np.array(addresses, np.uint64).tobytes(), "uint64", device)
    chunks = _chunks(tuple([a.size for a in lists[0]]))  # type: ignore[union-attr]
    sizes, arrays, starts = (_upload(t.tobytes(), t.dtype.name, device) for t in chunks)
    return (table, sizes, arrays, starts, np.int32(CHUNK)), len(chunks[1])


def one_launch(params: Sequence[Array], grads: Sequence[Array]) -> bool:
    """Whether these are updated in one launch, which `guarded` can leave out."""
    return _together((params, grads)) and all(p.shape == g.shape for p, g in zip(params, grads, strict=True))


def _together(lists: Sequence[Sequence[Array] | None]) -> bool:
    """Whether one launch can take all arrays: one native float type, dense, none of them missing or empty."""
    dtype = lists[0][0].dtype  # type: ignore[index]
    if dtype not in (np.float32, np.float64):
        return False
    given = [a for each in lists if each is not None for a in each]
    return all(a.dtype == dtype and a.flags.c_contiguous for a in given) and any(a.size for a in given)


def _check(name: str, lists: Sequence[Sequence[Array] | None]) -> None:
    for arrays in zip(*(each for each in lists if each is not None), strict=True):
        if any(a.shape != arrays[0].shape for a in arrays):
            shown = ", ".join(f"{a.shape} {a.dtype}" for a in arrays)
            raise ValueError(f"[{name}] parameter, gradient and states: {shown}; expected one shape")


def _launch(
    name: str, lists: Sequence[Sequence[Array] | None], lr: float, step: int, maximize: bool, *rest: Any
) -> None:
    """Launch the kernel `name` of optim.cu; floats in `rest` go in the compute type, integers as int."""
    verdict = _state.verdict
    if verdict is not None:
        step = verdict.step
    first = lists[0][0]  # type: ignore[index]
    wide, device = compute_type(first.dtype), first.device.id
    numbers = [np.int32(r) if isinstance(r, bool) else wide(r) for r in rest]
    capture = capturing.current()
    live = np.array([lr, step, *rest[2:4]], wide) if name == "adam" else np.array([lr, step], wide)
    if capture is not None and capture.refilling:
        capture.number(live)
        capture.number(np.array([step], np.int64))
        return
    tables, count = _tables(lists)
    sign = _upload(np.array([-1], wide).tobytes(), np.dtype(wide).name, device) if maximize else None
    if capture is None:
        rate = _upload(np.array([lr], wide).tobytes(), np.dtype(wide).name, device)
        steps, logs = _upload(np.array([step], np.int64).tobytes(), "int64", device), None
    else:  # what changes from step to step is read from memory that each replay writes first
        rate, steps = capture.number(live), capture.number(np.array([step], np.int64))
        logs = rate[2:]
    extra = (*((logs,) if name == "adam" else ()), *((None, None) if verdict is None else verdict[:2]))
    function("optim.cu", name, first.dtype.name)((count,), (_BLOCK,), (*tables, rate, steps, sign, *numbers, *extra))


# The array-by-array way -----------------------------------------------------------------------------------------


def _sgd(p: Any, g: Any, lr: Any, decay: Any) -> Any:
    return p - lr * (g + decay * p)


def _momentum(p: Any, g: Any, b: Any, lr: Any, decay: Any, mu: Any, share: Any, ahead: Any) -> Any:
    d = g + decay * p
    buffer = mu * b + share * d
    return p - lr * call("where", ahead, d + mu * buffer, buffer), buffer


def _moments(p: Any, g: Any, m: Any, v: Any, beta1: Any, beta2: Any, decay: Any, plain: Any) -> tuple[Any, Any, Any]:
    d = g + plain * p
    return p * (1.0 - decay), beta1 * m + (1.0 - beta1) * d, beta2 * v + (1.0 - beta2) * d * d


def _adam(
    p: Any, g: Any, m: Any, v: Any, rate: Any, beta1: Any, beta2: Any, eps: Any, decay: Any, plain: Any, root: Any
) -> Any:
    q, m1, v1 = _moments(p, g, m, v, beta1, beta2, decay, plain)
    return q - rate * m1 / (call("sqrt", v1) * root + eps), m1, v1


def _amsgrad(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    top: Any,
    rate: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
    decay: Any,
    plain: Any,
    root: Any,
) -> Any:
    q, m1, v1 = _moments(p, g, m, v, beta1, beta2, decay, plain)
    top1 = call("maximum", top, v1)
    return q - rate * m1 / (call("sqrt", top1) * root + eps), m1, v1, top1


def _rms(p: Any, g: Any, v: Any, lr: Any, alpha: Any, eps: Any, decay: Any) -> Any:
    d = g + decay * p
    v1 = alpha * v + (1.0 - alpha) * d * d
    return p - lr * d / (call("sqrt", v1) + eps), v1


def _rms_momentum(p: Any, g: Any, v: Any, b: Any, lr: Any, alpha: Any, eps: Any, decay: Any, mu: Any) -> Any:
    d = g + decay * p
    v1 = alpha * v + (1.0 - alpha) * d * d
    b1 = mu * b + d / (call("sqrt", v1) + eps)
    return p - lr * b1, v1, b1


def _rms_centred(p: Any, g: Any, v: Any, a: Any, lr: Any, alpha: Any, eps: Any, decay: Any) -> Any:
    d = g + decay * p
    v1, a1 = alpha * v + (1.0 - alpha) * d * d, alpha * a + (1.0 - alpha) * d
    return p - lr * d / (call("sqrt", v1 - a1 * a1) + eps), v1, a1


def _rms_centred_momentum(
    p: Any, g: Any, v: Any, a: Any, b: Any, lr: Any, alpha: Any, eps: Any, decay: Any, mu: Any
) -> Any:
    d = g + decay * p
    v1, a1 = alpha * v + (1.0 - alpha) * d * d, alpha * a + (1.0 - alpha) * d
    b1 = mu * b + d / (call("sqrt", v1 - a1 * a1) + eps)
    return p - lr * b1, v1, a1, b1


@functools.cache
def _formula(body: Any) -> Formula:
    return trace(body, f"{body.__name__.removeprefix('_')}_update")


def _one_by_one(body: Any, lists: Sequence[Sequence[Array] | None], maximize: bool, *numbers: float) -> None:
    """Run the formula of `body` on each parameter with its gradient and states, in place.

    Raises:
        CaptureError: in a captured step, in half precision.
    """
    from . import backend_of

    if _state.verdict is not None:
        raise ValueError(f"[{body.__name__.strip('_')}] this update cannot be left out on the device; see one_launch")
    capture = capturing.current()
    if capture is not None:
        dtype = lists[0][0].dtype  # type: ignore[index]
        if dtype.itemsize == 2:
            raise capturing.CaptureError(f"parameters of {dtype} are updated with numbers that the graph cannot change")
        live = capture.number(np.array(numbers, dtype))
        if capture.refilling:
            return
        numbers = tuple(live[i : i + 1].reshape(()) for i in range(len(numbers)))
    for p, g, *states in zip(*(each for each in lists if each is not None), strict=True):
        outs = (p, *states)
        kernel = backend_of(p).kernel(_formula(body))
        kernel(p, -g if maximize else g, *states, *numbers, out=outs if states else p)


# The updates ----------------------------------------------------------------------------------------------------


@placed
def sgd(
    params: Sequence[Array],
    grads: Sequence[Array],
    buffers: Sequence[Array] | None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    maximize: bool = False,
    first: bool = False,
) -> None:
    """One step of stochastic gradient descent, in place; what it computes and the arguments are `cpu_optim.sgd`'s.

    Raises:
        ValueError: shapes do not match.
    """
    if not params:
        return
    if not momentum:
        buffers = None
    lists = (params, grads, buffers)
    _check("sgd", lists)
    if _together(lists):
        # The kernel's first step sets the buffers, as `first` asks.
        numbers = (momentum if buffers is not None else 0.0, dampening, weight_decay, nesterov)
        _launch("sgd", lists, lr, 1 if first else 2, maximize, *numbers)
    elif buffers is None:
        _one_by_one(_sgd, lists, maximize, lr, weight_decay)
    else:
        for b in buffers if first else ():
            b[...] = 0
        share = 1.0 if first else 1.0 - dampening
        _one_by_one(_momentum, lists, maximize, lr, weight_decay, momentum, share, float(nesterov))


@placed
def adam(
    params: Sequence[Array],
    grads: Sequence[Array],
    means: Sequence[Array],
    squares: Sequence[Array],
    largest: Sequence[Array] | None = None,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    bias1: float = 1.0,
    bias2: float = 1.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """One step of Adam or, decoupled, AdamW, in place; what it computes and the arguments are `cpu_optim.adam`'s.

    Raises:
        ValueError: shapes do not match.
    """
    if not params:
        return
    lists = (params, grads, means, squares)
    _check("adam", (*lists, largest))
    if largest is None and _together(lists):
        # The kernel takes the logarithms of the betas and a step t, and uses 1 - beta^t: with t = 1 and the
        # logarithms of 1 - bias it gets the corrections themselves.
        logs = [math.log1p(-b) if b < 1 else -math.inf for b in (bias1, bias2)]
        if _state.verdict is not None:  # only the device knows t
            logs = [math.log(b) if b > 0 else -math.inf for b in (beta1, beta2)]
        _launch("adam", lists, lr, 1, maximize, beta1, beta2, *logs, eps, weight_decay, decoupled)
        return
    decay, plain = (lr * weight_decay, 0.0) if decoupled else (0.0, weight_decay)
    numbers = (lr / bias1, beta1, beta2, eps, decay, plain, 1.0 / math.sqrt(bias2))
    if largest is None:
        _one_by_one(_adam, lists, maximize, *numbers)
    else:
        _one_by_one(_amsgrad, (*lists, largest), maximize, *numbers)


@placed
def rmsprop(
    params: Sequence[Array],
    grads: Sequence[Array],
    squares: Sequence[Array],
    means: Sequence[Array] | None = None,
    buffers: Sequence[Array] | None = None,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
) -> None:
    """One step of RMSprop, in place; what it computes and the arguments are `cpu_optim.rmsprop`'s.

    Raises:
        ValueError: shapes do not match.
    """
    if not params:
        return
    _check("rmsprop", (params, grads, squares, means, buffers))
    lists = (params, grads, squares, buffers)
    if means is None and _together(lists):
        mu = momentum if buffers is not None else 0.0
        _launch("rmsprop", lists, lr, 1, maximize, alpha, eps, weight_decay, mu)
        return
    numbers: tuple[float, ...] = (lr, alpha, eps, weight_decay)
    if buffers is None:
        body: Any = _rms if means is None else _rms_centred
    else:
        body = _rms_momentum if means is None else _rms_centred_momentum
        numbers = (*numbers, momentum)
    _one_by_one(body, (params, grads, squares, means, buffers), maximize, *numbers)


@placed
def squared_norm(arrays: Sequence[Array]) -> Any:
    """The sum of the squares of all elements of all arrays, in a fixed order; it stays on the device.

    Returns:
        A 0-d array of the compute type; on the CPU the function of this name gives a float.
    """
    import cupy

    arrays = [a for a in arrays if a.size]
    if not arrays:
        return cupy.zeros((), np.float32)
    if not _together((arrays,)):
        wide = compute_type(arrays[0].dtype)
        return cupy.stack([cupy.square(a.astype(wide, copy=False)).sum() for a in arrays]).sum()
    tables, count = _tables((arrays,))
    dtype = arrays[0].dtype
    part, total = cupy.ndarray((count,), dtype), cupy.ndarray((), dtype)
    function("optim.cu", "norm_partials", dtype.name)((count,), (_BLOCK,), (*tables, np.int32(1), np.int32(0), part))
    function("reduce.cu", "total", dtype.name)((1,), (_BLOCK,), (part, total, np.int64(count)))
    return total


@placed
def scale(arrays: Sequence[Array], factor: Any) -> None:
    """Multiply all arrays by one number (a Python number, or a 0-d array on the device) in place, in one launch."""
    import cupy

    arrays = [a for a in arrays if a.size]
    if arrays and _together((arrays,)):
        dtype = arrays[0].dtype
        if isinstance(factor, cupy.ndarray):
            factor = factor.astype(dtype, copy=False)
        else:
            factor = _upload(np.array([factor], dtype).tobytes(), dtype.name, arrays[0].device.id)
        tables, count = _tables((arrays,))
        function("optim.cu", "scale", dtype.name)((count,), (_BLOCK,), (*tables, factor))
        return
    for a in arrays:
        a *= factor if not hasattr(factor, "astype") else factor.astype(a.dtype, copy=False)
