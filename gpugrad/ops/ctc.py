"""The likelihood of labels without their times: what `nn.functional.ctc_loss` computes (A. Graves et al. 2006).

States are the labels with a blank before, between and behind them; a step stays, goes to the next state, or leaves out
a blank between different labels. All probabilities are logarithms, -inf for 0. The rule goes back through time with
the probabilities of what follows; the reference, for higher orders, is the way forward as recorded operations.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import backend_of
from ..primitive import OUT, Needs, Primitive, Shape
from .arguments import bare, constant, module
from .defining import elementwise
from .elementwise import exp, log, maximum, where
from .index import take_along_axis
from .joining import concatenate, stack
from .rows import logsumexp


@elementwise
def ctc_step(stay: Any, one: Any, two: Any, skip: Any, emit: Any) -> Any:
    """The logarithm of the sum of three ways into a state, times what the state emits."""
    two = two + skip
    most = maximum(maximum(stay, one), two)
    none = most < -1e29
    least = where(none, 0.0, most)
    total = exp(stay - least) + exp(one - least) + exp(two - least)
    return where(none, most, least + log(where(none, 1.0, total))) + emit


@elementwise
def ctc_share(g: Any, before: Any, after: Any, loss: Any) -> Any:
    """The cotangent of what a state emits: `-g` times how probable it is; nothing where no way leads through it."""
    way = before + after
    none = way < -1e29
    return where(none, 0.0, -g * exp(where(none, 0.0, way + loss)))


def _shifted(x: Any, count: int) -> Any:
    """`x` (batch, states) moved by states, to the right where `count` is positive; -inf comes in."""
    states = x.shape[1]
    fill = constant(x, module(x).full((x.shape[0], abs(count)), -math.inf, x.dtype))
    if count > 0:
        return concatenate([fill, x], axis=1)[:, :states]
    return concatenate([x, fill], axis=1)[:, -count : states - count]


def _forwards(emit: Any, skip: Any) -> list[Any]:
    """For each time, how probable it is to be in each state and to have emitted all up to it."""
    xp = module(emit)
    start = xp.where(xp.arange(emit.shape[2]) < 2, 0.0, -math.inf).astype(emit.dtype)
    reached = [emit[0] + constant(emit, start)]
    for t in range(1, emit.shape[0]):
        x = reached[-1]
        reached.append(ctc_step(x, _shifted(x, 1), _shifted(x, 2), skip, emit[t]))
    return reached


def _at_the_end(reached: Any, ends: Any, last: Any) -> Any:
    """The loss from the probabilities of all times, (times, batch, states)."""
    final = take_along_axis(reached, bare(last)[None], 0)[0] + ends
    return -logsumexp(final, axis=1)


def _reference(emit: Any, skip: Any, ends: Any, last: Any) -> Any:
    return _at_the_end(stack(_forwards(emit, skip)), ends, last)


def _forward(needs: Needs, emit: Any, skip: Any, ends: Any, last: Any) -> tuple[Any, tuple[Any, ...]]:
    reached = backend_of(emit).xp.stack(_forwards(emit, skip))
    return _at_the_end(reached, ends, last), (reached,)


def _rule(
    g: Any, needs: Needs, emit: Any, skip: Any, ends: Any, last: Any, loss: Any, reached: Any
) -> tuple[Any, ...]:
    xp, length = backend_of(emit).xp, emit.shape[0]
    nothing = xp.full(emit.shape[1:], -math.inf, emit.dtype)
    after, shares = nothing, []
    for t in reversed(range(length)):
        if t < length - 1:
            x = after + emit[t + 1]
            after = ctc_step(x, _shifted(x, -1), _shifted(x + skip, -2), 0.0, 0.0)
        after = xp.where(last == t, ends, after)
        shares.append(ctc_share(g[:, None], reached[t], after, loss[:, None]))
    return xp.stack(shares[::-1]), None, None, None


def _flops(shapes: tuple[Shape, ...], out_shape: Shape) -> int:
    return math.prod(shapes[0]) * int(ctc_step.flops(((),) * 5, ()))


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs) -> int:
    """For each state a step, with two sums, from time to time; and at each time a share and a comparison."""
    times, states = shapes[0][0], math.prod(shapes[0][1:])
    step, share = int(ctc_step.flops(((),) * 5, ())), int(ctc_share.flops(((),) * 4, ()))
    return states * ((times - 1) * (step + 2) + times * (share + 1))


CTC = Primitive(
    "ctc",
    _forward,
    _rule,
    keeps=((0, 1, 2, 3, OUT), (), (), ()),
    reference=_reference,
    flops=_flops,
    vjp_flops=_vjp_flops,
)


def extended(labels: Any, counts: Any, blank: int, dtype: Any) -> tuple[Any, Any, Any]:
    """States of labels, bare, for the primitive.

    Args:
        labels: (batch, most), int64; what is behind a row's own labels counts for nothing.
        counts: (batch,), how many labels each has.
        blank: the class between labels.
        dtype: of the result's logarithms.

    Returns:
        The classes of the states (batch, states), what leaving out the state before costs (0 or -inf), and where
        an example may end (0 or -inf).
    """
    xp = backend_of(labels).xp
    batch, most = labels.shape
    states = xp.arange(2 * most + 1)
    own = xp.arange(most) < counts[:, None]
    classes = xp.full((batch, 2 * most + 1), blank, np.int64)
    classes[:, 1::2] = xp.where(own, labels, blank)
    other = xp.zeros(classes.shape, bool)
    other[:, 2:] = (classes[:, 2:] != blank) & (classes[:, 2:] != classes[:, :-2])
    end = 2 * counts[:, None]
    ends = (states == end) | (states == end - 1)

    def free(where_: Any) -> Any:
        return xp.where(where_, 0.0, -math.inf).astype(dtype)

    return classes, free(other), free(ends)
