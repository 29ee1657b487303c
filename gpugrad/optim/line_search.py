"""A search along a direction for a step that keeps the strong Wolfe conditions (J. Nocedal and S. Wright, 2006, 3.5).

The step is first enlarged until an interval must hold a good one, which is then made smaller. Both go by the minimum of
the cubic through two points; the constants and the order of the tests are those of minFunc and so PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

ENOUGH: Final = 1e-4  # of the decrease that the slope promises
FLAT: Final = 0.9  # of the first slope: what a good step may leave


class Point(NamedTuple):
    """Where the search has been: the step, the loss there, the slope along the direction, and the gradient."""

    t: float
    loss: float
    slope: float
    gradient: Any


def search(
    evaluate: Callable[[float], Point], start: Point, t: float, longest: float, tolerance: float, most: int
) -> tuple[Point, int]:
    """A step that decreases the loss enough and leaves little slope, or the best that was found.

    Args:
        evaluate: the point of a step.
        start: the point of step 0.
        t: the step to try first.
        longest: the largest element of the direction.
        tolerance: the search ends where no element would change by more.
        most: the number of evaluations after the first.

    Returns:
        The point, and how many evaluations it took.
    """

    def too_high(point: Point) -> bool:
        return not point.loss <= start.loss + ENOUGH * point.t * start.slope  # nan is too high

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -FLAT * start.slope

    before, now, tries = start, evaluate(t), 0
    while tries < most:
        if too_high(now) or (tries > 1 and now.loss >= before.loss):
            break
        if flat(now):
            return now, tries + 1
        if now.slope >= 0:
            break
        farther = _cubic_minimum(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now, tries = now, evaluate(farther), tries + 1
    else:
        before = start
    return _narrowed(evaluate, too_high, flat, [before, now], longest, tolerance, tries, most)


def _narrowed(
    evaluate: Callable[[float], Point], too_high: Callable[[Point], bool], flat: Callable[[Point], bool],
    ends: list[Point], longest: float, tolerance: float, tries: int, most: int,
) -> tuple[Point, int]:  # fmt: skip
    """The best point of an interval, found by making it smaller."""
    best, stuck = _lower(ends), False
    while tries < most and not abs(ends[1].t - ends[0].t) * longest < tolerance:
        low, high = sorted((ends[0].t, ends[1].t))
        t, edge = _cubic_minimum(ends[0], ends[1], low, high), 0.1 * (high - low)
        if min(high - t, t - low) >= edge:
            stuck = False
        elif stuck or not low < t < high:  # twice near an end: a step away from it
            t = high - edge if high - t < t - low else low + edge
            stuck = False
        else:
            stuck = True
        now, tries = evaluate(t), tries + 1
        if too_high(now) or now.loss >= ends[best].loss:
            ends[1 - best] = now
            best = _lower(ends)
            continue
        done = flat(now)
        if not done and now.slope * (ends[1 - best].t - ends[best].t) >= 0:
            ends[1 - best] = ends[best]
        ends[best] = now
        if done:
            break
    return ends[best], tries + 1


def _lower(ends: list[Point]) -> int:
    """Which of two ends has the lower loss; a nan is higher."""
    return 0 if ends[0].loss <= ends[1].loss or math.isnan(ends[1].loss) else 1


def _cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic with the losses and slopes of two points is least, held in [low, high]; else the middle."""
    if a.t > b.t:
        a, b = b, a
    middle = (low + high) / 2
    if a.t == b.t:
        return middle
    c = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = c * c - a.slope * b.slope
    if not 0 <= square < math.inf:
        return middle
    root = math.sqrt(square)
    below = b.slope - a.slope + 2 * root
    if not below:
        return middle
    found = b.t - (b.t - a.t) * ((b.slope + root - c) / below)
    return min(max(found, low), high) if math.isfinite(found) else middle
