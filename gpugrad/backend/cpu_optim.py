"""Optimizer updates on the CPU over lists of arrays, in place: sgd, adam and the like, and the norm for clipping.

Here are the checks, the cutting of all arrays together into blocks for our threads, and the choice between the
NumPy bodies and the Numba bodies. What a step means (schedules, bias corrections) is `gpugrad.optim`'s business.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..fusion import workers
from ..fusion.numba_cache import load_file, numba_wanted
from . import cpu_optim_numpy
from .step_sizes import Schedule

Array = npt.NDArray[Any]

# Elements of all arrays together from which Numba's bodies are used, and the threads.
FUSE: Final = 65_536
SPLIT: Final = 262_144
# Elements of a block: of NumPy's several passes (in smaller ones two threads mostly wait for the interpreter's
# lock, in larger ones for memory), and of Numba's single pass.
PASSES_BLOCK: Final = 131_072
LOOP_BLOCK: Final = 131_072

_NATIVE: Final = (np.dtype(np.float32), np.dtype(np.float64))
_MOST_SHAPES: Final = 256


class _Scratch(threading.local):
    """A thread's scratch arrays: whole ones by dtype, and views of them by dtype and shape."""

    def __init__(self) -> None:
        self.pairs: dict[Any, tuple[Array, Array]] = {}


_scratch = _Scratch()


@functools.cache
def _fused() -> Any:
    return load_file(Path(__file__).with_name("cpu_optim_numba.py"))


def _pair(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Two scratch arrays of this thread, of at most a block's elements; their contents are anybody's."""
    pairs = _scratch.pairs
    found = pairs.get((dtype.num, shape))
    if found is None:
        whole = pairs.get(dtype.num)
        if whole is None or len(pairs) > _MOST_SHAPES:
            pairs.clear()
            whole = pairs[dtype.num] = (np.empty(PASSES_BLOCK, dtype), np.empty(PASSES_BLOCK, dtype))
        size = math.prod(shape)
        found = pairs[dtype.num, shape] = (whole[0][:size].reshape(shape), whole[1][:size].reshape(shape))
    return found


def _flat(arrays: Sequence[Array]) -> list[Array] | None:
    """Flat views of arrays of one type and memory order, else None."""
    dtype = arrays[0].dtype
    if dtype not in _NATIVE or any(a.dtype != dtype for a in arrays):
        return None
    for order in "CF":
        if all(a.flags.c_contiguous if order == "C" else a.flags.f_contiguous for a in arrays):
            return [a.reshape(-1, order=order) for a in arrays]  # type: ignore[call-overload]
    return None


def _alike(arrays: Sequence[Array]) -> bool:
    """Whether all have one shape, type and memory order, without gaps, or no elements: the usual case."""
    first = arrays[0]
    dtype, strides, shape = first.dtype, first.strides, first.shape
    if dtype not in _NATIVE or not first.flags.forc:
        return False
    for a in arrays:
        if a.dtype is not dtype or ((a.strides != strides or a.shape != shape) and a.shape != (0,)):
            return False
    return True


def _update(name: str, lists: Sequence[Sequence[Array]], maximize: bool, *numbers: Any) -> None:
    """Run the body `name` over the arrays of `lists` (parameter, gradient, states ...) in blocks."""
    if maximize:
        lists = (lists[0], [np.negative(g) for g in lists[1]], *lists[2:])
    total = sum([p.size for p in lists[0]])
    fused = total >= FUSE and numba_wanted()
    jobs: list[Sequence[Array]] = []
    step = LOOP_BLOCK if fused else PASSES_BLOCK
    for arrays in zip(*lists, strict=True):
        size = arrays[0].size
        if _alike(arrays):
            whole: list[Array] | None = [a if a.ndim == 1 else a.ravel("K") for a in arrays]
        else:
            _check(name, arrays)
            whole = _flat(arrays)
        if not size:
            continue
        if whole is None:
            _strided(name, arrays, numbers)
        elif size <= step:
            jobs.append(whole)
        else:
            jobs += [[a[i : i + step] for a in whole] for i in range(0, size, step)]
    run = _numba_job(name, numbers) if fused else _numpy_job(name, numbers)
    if total >= SPLIT:
        workers.parallel_for(lambda k: run(jobs[k]), len(jobs))
    else:
        for job in jobs:
            run(job)


def _check(name: str, arrays: Sequence[Array]) -> None:
    shape = arrays[0].shape
    if any(a.shape not in (shape, (0,)) for a in arrays):
        shown = ", ".join(f"{a.shape} {a.dtype}" for a in arrays)
        raise ValueError(f"[{name}] parameter, gradient and states: {shown}; expected one shape")


def _numba_job(name: str, numbers: tuple[Any, ...]) -> Callable[[Sequence[Array]], None]:
    loop = getattr(_fused(), name)
    typed: dict[Any, list[Any]] = {}

    def run(arrays: Sequence[Array]) -> None:
        dtype = arrays[0].dtype
        values = typed.get(dtype)
        if values is None:
            values = typed[dtype] = [n if isinstance(n, bool) else dtype.type(n) for n in numbers]
        loop(*arrays, *values)

    return run


def _numpy_job(name: str, numbers: tuple[Any, ...]) -> Callable[[Sequence[Array]], None]:
    make = getattr(cpu_optim_numpy, name)
    bodies: dict[int, Callable[..., None]] = {}

    def run(arrays: Sequence[Array]) -> None:
        p = arrays[0]
        dtype = p.dtype
        body = bodies.get(dtype.num)
        if body is None:
            body = bodies[dtype.num] = make(dtype, *numbers)
        body(*arrays, *_pair(p.shape, dtype))

    return run


def _strided(name: str, arrays: Sequence[Array], numbers: tuple[Any, ...]) -> None:
    """Any memory order and any type: whole arrays, float16 through float32, complex numbers as pairs of reals."""
    kind = np.result_type(np.float32, arrays[0].dtype)
    real = np.zeros(0, kind).real.dtype
    wide = [np.array(a, kind).reshape(-1).view(real) for a in arrays]
    body = getattr(cpu_optim_numpy, name)(real, *numbers)
    body(*wide, np.empty_like(wide[0]), np.empty_like(wide[0]))
    for target, value in zip((arrays[0], *arrays[2:]), (wide[0], *wide[2:]), strict=True):
        target[...] = value.view(kind).reshape(target.shape)


def _or_nothing(arrays: Sequence[Array] | None, params: Sequence[Array]) -> Sequence[Array]:
    """`arrays`, or for each parameter an array of no elements, which the bodies take for none."""
    return [_nothing(p.dtype) for p in params] if arrays is None else arrays


@functools.cache
def _nothing(dtype: np.dtype[Any]) -> Array:
    return np.empty(0, dtype)


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
    """One step of stochastic gradient descent, in place, with PyTorch's conventions.

    g += weight_decay p; buffer = momentum buffer + (1 - dampening) g (on the `first` step buffer = g);
    p -= lr buffer, or with Nesterov's momentum p -= lr (g + momentum buffer). Without momentum p -= lr g.

    Args:
        params: the parameters, changed in place.
        grads: a gradient of the same shape for each.
        buffers: momentum buffers, changed in place; None without momentum.
        lr: the step size.
        momentum: 0 for none.
        dampening: what the buffer leaves out of a new gradient.
        nesterov: whether to look ahead.
        weight_decay: L2 penalty.
        maximize: go up instead of down.
        first: whether the buffers are new.

    Raises:
        ValueError: shapes do not match.
    """
    if not momentum or buffers is None:
        _update("sgd", (params, grads), maximize, lr, weight_decay)
        return
    if first:
        for b in buffers:
            b[...] = 0
    share = 1.0 if first else 1 - dampening
    _update("momentum", (params, grads, buffers), maximize, lr, weight_decay, momentum, share, nesterov)


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
    """One step of Adam (D. P. Kingma and J. Ba, ICLR 2015) or, decoupled, AdamW (I. Loshchilov, F. Hutter, 2019).

    m += (1 - beta1)(g - m); v = beta2 v + (1 - beta2) g^2; p -= lr (m / bias1) / (sqrt(v / bias2) + eps).

    Args:
        params: the parameters, changed in place.
        grads: a gradient of the same shape for each.
        means: m, changed in place.
        squares: v, changed in place.
        largest: the largest v so far (AMSGrad, S. J. Reddi et al. 2018), changed in place and used for v; or None.
        lr: the step size.
        beta1: what m keeps.
        beta2: what v keeps.
        eps: added to the root.
        weight_decay: added to the gradient as weight_decay p, or when decoupled p -= lr weight_decay p first.
        bias1: 1 - beta1^t at step t.
        bias2: 1 - beta2^t.
        decoupled: AdamW.
        maximize: go up instead of down.

    Raises:
        ValueError: shapes do not match.
    """
    decay = lr * weight_decay if decoupled else weight_decay
    lists = (params, grads, means, squares, _or_nothing(largest, params))
    _update("adam", lists, maximize, lr / bias1, beta1, beta2, eps, decay, decoupled, 1 / math.sqrt(bias2))


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
    """One step of RMSprop in place, with PyTorch's conventions (eps outside the root).

    Args:
        params: the parameters, changed in place.
        grads: a gradient of the same shape for each.
        squares: moving means of g^2, changed in place.
        means: moving means of g, changed in place, for the centred variant; or None.
        buffers: momentum buffers, changed in place, or None.
        lr: the step size.
        alpha: what the moving means keep.
        eps: added to the root.
        weight_decay: L2 penalty.
        momentum: what the buffers keep.
        maximize: go up instead of down.

    Raises:
        ValueError: shapes do not match.
    """
    lists = (params, grads, squares, _or_nothing(means, params), _or_nothing(buffers, params))
    _update("rmsprop", lists, maximize, lr, alpha, eps, weight_decay, momentum)


def adaptive(
    params: Sequence[Array],
    grads: Sequence[Array],
    first: Sequence[Array],
    second: Sequence[Array] | None = None,
    *,
    kernel: str,
    schedule: Schedule | None,
    step: int,
    lr: float,
    beta1: float = 0.0,
    beta2: float = 0.0,
    eps: float = 0.0,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    """One step of an adaptive update in place: of Adagrad, Adadelta, Adamax, NAdam or RAdam.

    With `d = g + weight_decay p`, and `own`, `past`, `root`, `shift` what the schedule says of this step:
    "adagrad": s += d^2, p -= lr own d / (sqrt(s) + eps). "adadelta": v = beta2 v + (1 - beta2) d^2,
    u = sqrt(a + eps) / sqrt(v + eps) d, a = beta2 a + (1 - beta2) u^2, p -= lr u. "adamax": m += (1 - beta1)(d - m),
    u = max(beta2 u, |d| + eps), p -= lr own m / u. "moments" (NAdam and RAdam): m likewise,
    v = beta2 v + (1 - beta2) d^2, p -= lr (own d + past m) / (root sqrt(v) + shift).

    Args:
        params: the parameters, changed in place.
        grads: a gradient of the same shape for each.
        first: s, v or m, changed in place.
        second: a, u or v, changed in place; None for adagrad.
        kernel: which of the four.
        schedule: how the step sizes depend on the step; None for adadelta.
        step: the number of this step, from 1.
        lr: the step size.
        beta1: what m keeps.
        beta2: what the second state keeps.
        eps: see above.
        weight_decay: L2 penalty; or when decoupled p -= lr weight_decay p first, and d = g ("moments" only).
        decoupled: see there.
        maximize: go up instead of down.

    Raises:
        ValueError: shapes do not match.
    """
    own, past, root, shift = schedule.at(step) if schedule else (1.0, 0.0, 0.0, 0.0)
    if kernel == "adagrad":
        _update(kernel, (params, grads, first), maximize, lr * own, eps, weight_decay)
        return
    lists = (params, grads, first, second or [])
    if kernel == "adadelta":
        _update(kernel, lists, maximize, lr, beta2, eps, weight_decay)
    elif kernel == "adamax":
        _update(kernel, lists, maximize, lr * own, beta1, beta2, eps, weight_decay)
    else:
        keep, decay = (1 - lr * weight_decay, 0.0) if decoupled else (1.0, weight_decay)
        _update(kernel, lists, maximize, lr * own, lr * past, root, shift, beta1, beta2, keep, decay)


def squared_norm(arrays: Sequence[Array]) -> float:
    """The sum of the squares of all elements of all arrays, blocks added up in float64, in a fixed order."""
    fused = sum(a.size for a in arrays) >= FUSE and numba_wanted()
    blocks: list[Array] = []
    for a in arrays:
        flat = _flat([a]) if a.size else None
        flat_array = flat[0] if flat else np.ascontiguousarray(a, np.result_type(np.float32, a.dtype)).reshape(-1)
        flat_array = flat_array.view(flat_array.real.dtype)  # a complex number is two
        blocks += [flat_array[i : i + LOOP_BLOCK] for i in range(0, flat_array.size, LOOP_BLOCK)]
    one = _fused().squared_norm if fused else cpu_optim_numpy.squared_norm
    sums = [0.0] * len(blocks)

    def block(k: int) -> None:
        sums[k] = float(one(blocks[k]))

    if sum(b.size for b in blocks) >= SPLIT:
        workers.parallel_for(block, len(blocks))
    else:
        for k in range(len(blocks)):
            block(k)
    return math.fsum(sums)


def clip(arrays: Sequence[Array], most: float) -> None:
    """Cut all elements to [-most, most] in place; a nan stays."""
    for a in arrays:
        np.clip(a, -most, most, out=a)


def scale(arrays: Sequence[Array], factor: float) -> None:
    """Multiply all arrays by one number in place (clipping by norm)."""

    def one(k: int) -> None:
        np.multiply(arrays[k], arrays[k].dtype.type(factor), out=arrays[k])

    if sum(a.size for a in arrays) >= SPLIT:
        workers.parallel_for(one, len(arrays))
    else:
        for k in range(len(arrays)):
            one(k)
