"""The solver of `odeint`: the pair of Dormand and Prince of orders 5 and 4 with adaptive steps, forward only.

Coefficients: Dormand and Prince 1980; the interpolant within a step is Shampine's (1986), of order 4; the choice of
steps follows Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, section II.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...backend import WrappedArray, backend_of
from ...tensor import new_tensor
from .state import SolverError, State, largest

Rate = Callable[[State, float], State]

_NODES: Final = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES: Final = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# The difference of the two orders.
_ERROR: Final = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
# Row j: the polynomial in theta, without constant, by which stage j counts at the share theta of a step.
_DENSE: Final = np.array(
    [
        [1, -8048581381 / 2820520608, 8663915743 / 2820520608, -12715105075 / 11282082432],
        [0, 0, 0, 0],
        [0, 131558114200 / 32700410799, -68118460800 / 10900136933, 87487479700 / 32700410799],
        [0, -1754552775 / 470086768, 14199869525 / 1410260304, -10690763975 / 1880347072],
        [0, 127303824393 / 49829197408, -318862633887 / 49829197408, 701980252875 / 199316789632],
        [0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844],
        [0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423],
    ]
)
# A step grows at most tenfold, shrinks at most to a fifth, and is taken a little smaller than the error allows.
_GROW, _SHRINK, _SAFETY = 10.0, 0.2, 0.9


@dataclass(frozen=True)
class Options:
    """Tolerances and limits of the steps, as `odeint` documents them."""

    rtol: float
    atol: float
    mxstep: float
    hmax: float


def integrate(rate: Rate, y: State, times: Sequence[float], options: Options) -> list[State]:
    """The states at `times`, which rise or fall, from `y` at the first.

    Args:
        rate: dy/dt as a function of the state and the time.
        y: state at `times[0]`.
        times: at least one.
        options: tolerances and limits.

    Raises:
        SolverError: more steps than `mxstep`, or a step that the time's precision cannot resolve.
    """
    t, end = times[0], times[-1]
    path, place = [y], 1
    while place < len(times) and times[place] == t:
        path.append(y)
        place += 1
    if place == len(times):
        return path
    direction = 1.0 if end > t else -1.0
    slope = rate(y, t)
    h = min(_first_step(rate, y, slope, t, direction, options), abs(end - t), options.hmax)
    steps = 0
    while place < len(times):
        if steps >= options.mxstep or not h > 8 * abs(np.spacing(t)):
            _give_up(steps, t, h, end, options)
        steps += 1
        last = h >= abs(end - t)
        signed = end - t if last else direction * h
        new, stages = _step(rate, y, slope, t, signed)
        ratio = _error(y, new, stages, signed, options)
        if not ratio <= 1.0:  # also where it is not a number
            h *= max(_SHRINK, _SAFETY * ratio**-0.2) if math.isfinite(ratio) else _SHRINK
            continue
        reached = end if last else t + signed
        while place < len(times) and direction * (times[place] - reached) <= 0:
            theta = (times[place] - t) / signed
            path.append(new if theta == 1.0 else _between(y, stages, signed, theta))
            place += 1
        y, t, slope = new, reached, stages[-1]
        h = min(h * min(_GROW, _SAFETY * max(ratio, 1e-10) ** -0.2), options.hmax)
    return path


def _give_up(steps: int, t: float, h: float, end: float, options: Options) -> None:
    why = (
        f"mxstep = {options.mxstep} steps were taken" if steps >= options.mxstep else f"a step of {h:.3g} is too small"
    )
    raise SolverError(
        f"[odeint] {why} at t = {t:.6g} on the way to {end:.6g}; the equation is stiff, runs to infinity or into "
        f"numbers that are none, or rtol = {options.rtol:.3g}, atol = {options.atol:.3g} ask too much of the dtype"
    )


def _step(rate: Rate, y: State, slope: State, t: float, h: float) -> tuple[State, list[State]]:
    """One step: the state of order 5 at its end, and the slopes of all stages, the last of them there."""
    stages, new = [slope], y
    for node, weights in zip(_NODES[1:], _STAGES, strict=True):
        new = _plus(y, stages, [h * w for w in weights])
        stages.append(rate(new, t + node * h))
    return new, stages


def _between(y: State, stages: list[State], h: float, theta: float) -> State:
    """The state at the share `theta` of a step."""
    weights = _DENSE @ theta ** np.arange(1, 5)
    return _plus(y, stages, [h * float(w) for w in weights])


def _plus(y: State, stages: list[State], weights: Sequence[float]) -> State:
    """y + sum of weight * stage."""
    counted = [(stage, w) for stage, w in zip(stages, weights, strict=True) if w]
    moved = []
    for i, start in enumerate(y):
        if any(isinstance(s[i].data, WrappedArray) for s, _ in counted) or isinstance(start.data, WrappedArray):
            value: Any = start  # examples meet what they share: that is the tensors' business
            for stage, w in counted:
                value = value + stage[i] * w
        else:
            array = start.data
            for stage, w in counted:
                array = array + stage[i].data * w
            value = new_tensor(backend_of(start.data).xp.asarray(array), None)
        moved.append(value)
    return moved


def _error(y: State, new: State, stages: list[State], h: float, options: Options) -> float:
    """The estimated error over the allowed one; a step is good where it is at most 1."""
    difference = _plus([s * (h * _ERROR[0]) for s in stages[0]], stages[1:], [h * e for e in _ERROR[1:]])
    return _norm(difference, _allowed(y, new, options))


def _allowed(y: State, new: State, options: Options) -> list[Any]:
    found = []
    for a, b in zip(y, new, strict=True):
        size = abs(a) if a is b else _larger(abs(a), abs(b))
        found.append(size * options.rtol + options.atol)
    return found


def _larger(a: Any, b: Any) -> Any:
    return new_tensor(backend_of(b.data).xp.maximum(a.data, b.data), None)


def _norm(x: State, scale: State) -> float:
    """The root of the mean square of x / scale over the whole state, of the worst example in a map; waits for it."""
    total: Any = None
    for value, unit in zip(x, scale, strict=True):
        part = ((abs(value) / unit) ** 2).sum()
        total = part if total is None else total + part
    count = sum(value.data.size for value in x)
    return math.sqrt(largest([total]) / count) if count else 0.0


def _first_step(rate: Rate, y: State, slope: State, t: float, direction: float, options: Options) -> float:
    """A step that a look at the first and second derivative deems safe."""
    scale = _allowed(y, y, options)
    size, speed = _norm(y, scale), _norm(slope, scale)
    first = 1e-6 if min(size, speed) < 1e-5 else 0.01 * size / speed
    ahead = rate(_plus(y, [slope], [direction * first]), t + direction * first)
    bend = _norm([a - b for a, b in zip(ahead, slope, strict=True)], scale) / first
    fastest = max(speed, bend)
    second = max(1e-6, first * 1e-3) if fastest <= 1e-15 else (0.01 / fastest) ** 0.2
    found = min(100 * first, second)
    return found if math.isfinite(found) else 1e-6
