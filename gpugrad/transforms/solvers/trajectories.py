"""`odeint`: initial value problems, with the gradients of the adjoint equation.

A trajectory is one node of the tape that keeps the states it was asked for, and none of the steps in between. Back goes
the adjoint equation, forth the variational one; both are solved by the same solver and have derivatives themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...backend import backend_of, memory
from ...batching import device_backend
from ...gradmode import no_grad, recording, set_grad_enabled
from ...lifting import here
from ...nodes import Node, outputs_of
from ...ops.cast import astype, real
from ...ops.joining import stack
from ...ops.reduce import sum as total
from ...tensor import Tensor, new_tensor
from ..region import Region, RegionNode, as_node, bound
from ..tree import flatten
from .dormand_prince import Options, integrate
from .state import Run, State, detached, finish, like_state, precision, state_of, zeros

# What one step may err by default, by the bytes of a number: JAX's for float64, what the others can resolve.
_TOLERANCE = {2: 1e-2, 4: 1e-5, 8: 1.4e-8}

Rate = Callable[[State, Tensor], State]


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    *args: Any,
    rtol: float | None = None,
    atol: float | None = None,
    mxstep: float = math.inf,
    hmax: float = math.inf,
) -> Any:
    """The solution of dy/dt = func(y, t, *args) at the times `t`, from `y0` at the first of them.

    Adaptive steps by the method of Dormand and Prince (orders 5 and 4). Gradients towards `y0`, `t`, `args` and all
    else that `func` reads (parameters of a network) come from the adjoint equation (Chen et al. 2018, "Neural Ordinary
    Differential Equations"), solved backwards from state to state in `t` with the same tolerances; memory is that of
    the result, however many steps it takes. All orders, forward mode and `vmap` work (the examples of a map share their
    steps). JAX's name and arguments (jax.experimental.ode).

    Args:
        func: function of the state, the time (a number of the state's precision) and `args`, giving dy/dt in the
            state's structure and shapes. It must read the same tensors at each call.
        y0: state at `t[0]`; array, tensor, or a structure of them, floating point or complex.
        t: times, one axis, rising or falling.
        args: passed on to `func`.
        rtol: what a step may err relative to the state, root mean square over it; by default 1.4e-8 for float64, 1e-5
            for float32, 1e-2 for halves. The sum of the steps' errors may be larger.
        atol: likewise, absolute, in the units of y.
        mxstep: steps at most, in all and on the way back between any two times.
        hmax: the largest step, in units of t.

    Returns:
        The structure of `y0` with the times as first axis: states of shape (len(t), ...).

    Raises:
        SolverError: the steps became too small or too many.
        ValueError: `t` is not one axis of rising or falling times; `func` returns another structure or shape.
        TypeError: `y0` or `t` holds integers, or `t` differs among the examples of a map.

    Example:
        >>> import numpy as np
        >>> import gpugrad as gg
        >>> t = np.array([0.0, 1.0])
        >>> decay = lambda rate: gg.odeint(lambda y, t: -rate * y, 1.0, t)[-1]
        >>> float(np.round(gg.grad(decay)(2.0), 6))  # exp(-rate) towards the rate
        -0.135335
    """
    state, build = state_of(y0, "odeint")
    times = t if isinstance(t, Tensor) else Tensor(t)
    numbers = _numbers(times)
    default = _TOLERANCE[min(precision(state), 8)]
    options = Options(default if rtol is None else rtol, default if atol is None else atol, mxstep, hmax)

    func = bound(func)

    def rate(y: State, time: Tensor) -> State:
        return like_state(func(build(y), time, *args), y, "odeint")

    found = _solve(rate, state, here(times), numbers, options)
    return build(finish(found, flatten((y0, t, args))[0]))


def _numbers(t: Tensor) -> list[float]:
    """The times as Python's numbers."""
    values = memory(t.data)
    if t.dtype.kind not in "fV":
        raise TypeError(f"[odeint] t is {t.dtype}; expected floating point times, e.g. np.linspace(0.0, 1.0, 11)")
    if values.ndim != t.ndim:
        raise TypeError("[odeint] t differs among the examples of a map; map over y0 and args, and share the times")
    numbers = [float(v) for v in np.asarray(backend_of(values).to_host(values), np.float64).reshape(-1)]
    steps = np.diff(numbers)
    if t.ndim != 1 or not numbers or not (np.all(steps >= 0) or np.all(steps <= 0)):
        raise ValueError(f"[odeint] t has shape {tuple(t.shape)}; expected one axis of rising (or falling) times")
    return numbers


def _solve(rate: Rate, state: State, t: Tensor, numbers: list[float], options: Options) -> State:
    """The states at all times, stacked; recorded as one node where the caller records."""
    start = detached(state)

    def plain(y: State, time: float) -> State:
        return rate(y, _time(time, y))

    with no_grad():
        path = integrate(plain, start, numbers, options)
        states = [stack([y[i] for y in path]) for i in range(len(start))]
    if not recording():
        return states
    reads = Run(lambda y: plain(y, numbers[0]), start).reads()
    if not reads and t._node is None and all(y._node is None for y in state):
        return states
    arrays = [y.data for y in states]
    return list(as_node(_Trajectory(rate, numbers, options), [*state, t], arrays, reads, arrays))


def _time(value: float, y: State) -> Tensor:
    """A time as a number of the state's precision, on its device."""
    dtype = np.dtype(y[0].dtype.char.lower()) if y[0].dtype.kind == "c" else y[0].dtype
    return new_tensor(device_backend(y[0].data).xp.asarray(value, dtype=dtype), None)


class _Trajectory(Region):
    """A solution: its node leads to the first state, the times, and all that the function reads."""

    name = "odeint"

    def __init__(self, rate: Rate, numbers: list[float], options: Options) -> None:
        self.rate, self.numbers, self.options = rate, numbers, options

    def _states(self, node: RegionNode, graph: bool) -> State:
        """The solution's states, which with `graph` lead back to their own node."""
        arrays: Sequence[Any] = node.saved[node.count :]
        return list(outputs_of(node, arrays)) if graph else [new_tensor(a, None) for a in arrays]

    def _slope(self, states: State, i: int, t: Any) -> State:
        """dy/dt at the time of number `i`; with `t`, tensors that lead to the times."""
        y = [s[i] for s in states]
        return self.rate(y, t[i] if t._node is not None else _time(self.numbers[i], y))

    def _checked(self, node: RegionNode, y: State) -> None:
        """Refuse what was changed in place since the way forth."""
        Run(lambda y: self.rate(y, _time(self.numbers[0], y)), y).require_unchanged(node.seq, self.name)

    def back(self, node: RegionNode, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """The adjoint equation, from the last time to the first, taking in the cotangents of each on its way."""
        reads = list(node.parents[node.count :])
        timed = node.parents[node.count - 1] is not None
        n, t = len(cotangents), inputs[-1]
        with set_grad_enabled(graph):
            states = self._states(node, graph)
            self._checked(node, [s[0] for s in states])
            adjoint = [g[-1] for g in cotangents]
            others = [zeros(p, states[0]) for p in reads]
            by_time: list[Any] = [None] * len(self.numbers)
            for i in range(len(self.numbers) - 1, 0, -1):
                if timed:
                    by_time[i] = _paired([g[i] for g in cotangents], self._slope(states, i, t), t)
                whole = [*[s[i] for s in states], *adjoint, *others]
                span = stack([t[i], t[i - 1]])
                path = _solve(self._adjoint(n, reads), whole, span, self.numbers[i - 1 : i + 1][::-1], self.options)
                adjoint = [a[-1] for a in path[n : 2 * n]]
                others = [p[-1] for p in path[2 * n :]]
                if timed and i == 1:
                    by_time[0] = -_paired(adjoint, self._slope(states, 0, t), t)
                adjoint = [a + g[i - 1] for a, g in zip(adjoint, cotangents, strict=True)]
            if timed and len(self.numbers) == 1:
                by_time[0] = t[0] * 0
            return [*adjoint, stack(by_time) if timed else None, *others]

    def _adjoint(self, n: int, reads: list[Node]) -> Rate:
        """The rate of (y, a, p): dy/dt = f, da/dt = -(df/dy)^T a, dp/dt = -(df/dp)^T a."""

        def rate(whole: State, time: Tensor) -> State:
            y, a, rest = whole[:n], whole[n : 2 * n], whole[2 * n :]
            run = Run(lambda y: self.rate(y, time), y)
            pulled = run.pull(a, [*run.starts, *reads])
            given = [o * 0 if p is None else -p for p, o in zip(pulled, [*a, *rest], strict=True)]
            return [*run.values(), *given]

        return rate

    def forth(self, node: RegionNode, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """The variational equation: dv/dt = df/dy v + df/dp dp."""
        *first, by_time = tangents[: node.count]
        read = dict(zip(node.parents[node.count :], tangents[node.count :], strict=True))
        given = {p: v for p, v in read.items() if v is not None}
        n, t = len(first), inputs[-1]
        with set_grad_enabled(graph):
            states = self._states(node, graph)
            y0 = [y if isinstance(y, Tensor) else new_tensor(y, None) for y in inputs[:n]]
            self._checked(node, y0)
            v = [y * 0 if d is None else d for y, d in zip(y0, first, strict=True)]
            slopes: list[State] = []
            if by_time is not None:
                slopes = [self._slope(states, i, t) for i in range(len(self.numbers))]
                v = [a - f * by_time[0] for a, f in zip(v, slopes[0], strict=True)]
            path = _solve(self._variational(n, given), [*y0, *v], t, self.numbers, self.options)[n:]
            if by_time is None:
                return list(path)
            shifts = [[s[k] * by_time[i] for i, s in enumerate(slopes)] for k in range(n)]
            return [p + stack(s) for p, s in zip(path, shifts, strict=True)]

    def _variational(self, n: int, given: dict[Node, Tensor]) -> Rate:
        """The rate of (y, v)."""

        def rate(whole: State, time: Tensor) -> State:
            run = Run(lambda y: self.rate(y, time), whole[:n])
            pushed = run.push({**dict(zip(run.starts, whole[n:], strict=True)), **given})
            return [*run.values(), *[v * 0 if p is None else p for p, v in zip(pushed, whole[n:], strict=True)]]

        return rate


def _paired(a: State, b: State, t: Tensor) -> Tensor:
    """Re sum(a * b) over the whole state, of the dtype of the times."""
    whole: Tensor = t[0] * 0
    for x, y in zip(a, b, strict=True):
        product = x * y
        whole = whole + astype(total(real(product) if product.dtype.kind == "c" else product), t.dtype)
    return whole
