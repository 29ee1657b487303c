"""Recurrent layers over whole sequences: one operation for each of tanh (or relu), LSTM and GRU.

Each takes what the inputs give to the gates at all times, from one matrix product, and walks through time with a
product and a fused formula per step. Backward it walks back the same way; the recurrent weight's gradient is one
product over all times. Layers, directions and states by name are in `nn.recurrent`.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from ..backend import backend_of
from ..fusion import Formula, trace
from ..primitive import Needs, Primitive, Shape
from ..tensor import apply
from .arguments import backend_for_all
from .elementwise import relu, sigmoid, tanh, where
from .index import getitem
from .joining import stack
from .linalg import matmul


class Cell(NamedTuple):
    """A step in time, and back.

    Attributes:
        gates: parts of what is computed from input and state, each as long as the state.
        states: 1 (h), or 2 (h and c).
        apart: whether the state's part of the last gate is not added to the input's.
        step: (inputs' gates, state's gates if `apart`, the last state) to (states, what the way back needs).
        back: (cotangents of states, what was kept, the last state before) to (cotangents of gates, of that state).
    """

    name: str
    gates: int
    states: int
    apart: bool
    step: Formula
    back: Formula


def _lstm_back(gh: Any, gc: Any, i: Any, f: Any, a: Any, o: Any, new: Any, c: Any) -> tuple[Any, ...]:
    """Through h' = o tanh(c') and c' = f c + i a, with the gates' values given."""
    t = tanh(new)
    total = gc + gh * o * (1 - t * t)
    return (
        total * a * i * (1 - i),
        total * c * f * (1 - f),
        total * i * (1 - a * a),
        gh * t * o * (1 - o),
        total * f,
    )


def _lstm_step(i: Any, f: Any, a: Any, o: Any, c: Any) -> tuple[Any, ...]:
    """S. Hochreiter and J. Schmidhuber 1997, with the forget gate of F. Gers et al. 2000."""
    i, f, a, o = sigmoid(i), sigmoid(f), tanh(a), sigmoid(o)
    new = f * c + i * a
    return o * tanh(new), new, i, f, a, o


def _gru_step(r: Any, z: Any, n: Any, hr: Any, hz: Any, hn: Any, h: Any) -> tuple[Any, ...]:
    """K. Cho et al. 2014, with the reset behind the product, as PyTorch and cuDNN have it."""
    r, z = sigmoid(r + hr), sigmoid(z + hz)
    n = tanh(n + r * hn)
    return n + z * (h - n), r, z, n


def _gru_back(g: Any, r: Any, z: Any, n: Any, hn: Any, h: Any) -> tuple[Any, ...]:
    dn = g * (1 - z) * (1 - n * n)
    return dn * hn * r * (1 - r), g * (h - n) * z * (1 - z), dn, dn * r, g * z


CELLS: Final = {
    "rnn_tanh": Cell(
        "rnn_tanh", 1, 1, False, Formula("rnn_tanh_step", ("x",), tanh.formula.outputs),
        trace(lambda g, y: g * (1 - y * y), "rnn_tanh_back"),
    ),
    "rnn_relu": Cell(
        "rnn_relu", 1, 1, False, Formula("rnn_relu_step", ("x",), relu.formula.outputs),
        trace(lambda g, y: where(y > 0, g, 0.0), "rnn_relu_back"),
    ),
    "lstm": Cell("lstm", 4, 2, False, trace(_lstm_step, "lstm_step"), trace(_lstm_back, "lstm_back")),
    "gru": Cell("gru", 3, 1, True, trace(_gru_step, "gru_step"), trace(_gru_back, "gru_back")),
}  # fmt: skip


def _times(length: int, reverse: bool) -> range:
    return range(length - 1, -1, -1) if reverse else range(length)


def _parts(a: Any, count: int) -> list[Any]:
    """The gates of an array, each a view."""
    size = a.shape[-1] // count
    return [a[..., k * size : (k + 1) * size] for k in range(count)]


def _walk(
    cell: Cell, x: Any, h: Any, c: Any, w: Any, b: Any, keep: Any, reverse: bool
) -> tuple[list[Any], list[Any], list[Any]]:
    """Forward through time: h after each step, c after each, and what the way back needs, in the order of the walk."""
    backend = backend_for_all(cell.name, x, h, c, w, b)
    kernel, turned, where_ = backend.kernel(cell.step), w.T, backend.xp.where
    hs: list[Any] = []
    cs: list[Any] = []
    kept: list[Any] = []
    for t in _times(x.shape[0], reverse):
        given = backend.matmul(h, turned)
        if cell.apart:
            state = _parts(given if b is None else given + b, cell.gates)
            new, *values = kernel(*_parts(x[t], cell.gates), *state, h)
            kept += [*values, state[-1]]
        elif cell.states == 2:
            new, new_c, *values = kernel(*_parts(backend.plus(given, x[t]), cell.gates), c)
            kept += [*values, new_c]
            c = new_c if keep is None else where_(keep[t] > 0, new_c, c)
            cs.append(c)
        else:
            new = kernel(backend.plus(given, x[t]))
            kept.append(new)
        h = new if keep is None else where_(keep[t] > 0, new, h)
        hs.append(h)
    return hs, cs, kept


def _forward(
    needs: Needs, x: Any, h: Any, c: Any, w: Any, b: Any, *, cell: str, reverse: bool, arrays: Any
) -> tuple[Any, tuple[Any, ...]]:
    form = CELLS[cell]
    hs, cs, kept = _walk(form, x, h, c, w, b, arrays[0] if arrays else None, reverse)
    states = [*(reversed(hs) if reverse else hs), *cs[-1:]]
    return backend_for_all(cell, x, h, c, w, b).xp.stack(states), (*hs, *cs, *kept) if any(needs) else ()


def _rule(
    g: Any, needs: Needs, x: Any, h: Any, c: Any, w: Any, b: Any, *record: Any, cell: str, reverse: bool, arrays: Any
) -> tuple[Any, ...]:
    """Back through time; the weight's gradient is one product of all steps."""
    form, backend = CELLS[cell], backend_of(g)
    length, size = x.shape[0], h.shape[-1]
    hs = [h, *record[:length]]
    back = _Back(form, backend, hs, [c, *record[length : 2 * length]] if form.states == 2 else [], w)
    kept = record[form.states * length :]
    each = len(kept) // max(length, 1)
    dx = backend.empty(x.shape, x.dtype)
    of_state = backend.empty(x.shape, x.dtype) if form.apart else dx  # what flows into the state's products
    gh = backend.xp.zeros(h.shape, h.dtype)
    gc = g[length] if form.states == 2 else None
    times = list(_times(length, reverse))
    for step in range(length - 1, -1, -1):
        t = times[step]
        seen = arrays[0][t] if arrays else None
        gh = backend.plus(gh, g[t])
        gh, gc = back.step(step, gh, gc, kept[step * each : (step + 1) * each], seen, dx[t], of_state[t])
    rows = of_state.reshape(-1, of_state.shape[-1])
    gw = None
    if needs[3]:
        before = backend.xp.stack(hs[:-1][::-1] if reverse else hs[:-1]).reshape(-1, size)
        # In the memory order of the weight, so that updates run over both without gaps.
        by_columns = w.flags.f_contiguous and not w.flags.c_contiguous
        gw = backend.matmul(before.T, rows).T if by_columns else backend.matmul(rows.T, before)
    gb = backend.column_sum(rows) if needs[4] else None
    return dx if needs[0] else None, gh if needs[1] else None, gc if needs[2] else None, gw, gb


class _Back:
    """The way back through one step."""

    def __init__(self, form: Cell, backend: Any, hs: list[Any], cs: list[Any], w: Any) -> None:
        self.form, self.backend, self.hs, self.cs, self.w = form, backend, hs, cs, w
        self.kernel = backend.kernel(form.back)

    def step(
        self, step: int, gh: Any, gc: Any, kept: tuple[Any, ...], seen: Any, dx: Any, of_state: Any
    ) -> tuple[Any, Any]:
        """The cotangents of the states before a step; those of the gates are written into `dx` and `of_state`.

        Args:
            step: number of the step in the order of the walk.
            gh: cotangent of h behind the step.
            gc: likewise of c, or None.
            kept: what the forward kept of the step.
            seen: 1 where the sequence is this long, (n, 1), or None; elsewhere the states went through unchanged.
            dx: of the inputs' gates, written.
            of_state: of the state's gates, written; the same as `dx` where they are added.
        """
        through = gh if seen is None else gh * seen
        direct = None
        if self.form.states == 2:
            *gates, back_c = self.kernel(through, gc if seen is None else gc * seen, *kept, self.cs[step])
            gc = back_c if seen is None else back_c + gc * (1 - seen)
        elif self.form.apart:
            *gates, of_last, direct = self.kernel(through, *kept, self.hs[step])
            self.backend.join([*gates[:-1], of_last], -1, of_state)
        else:
            gates = [self.kernel(through, *kept)]
        self.backend.join(gates, -1, dx)
        before = self.backend.matmul(of_state, self.w)
        before = before if direct is None else before + direct
        return before if seen is None else before + gh * (1 - seen), gc


def _reference(x: Any, h: Any, c: Any, w: Any, b: Any, *, cell: str, reverse: bool, arrays: Any) -> Any:
    form, keep = CELLS[cell], arrays[0] if arrays else None
    states = []
    for t in _times(x.shape[0], reverse):
        given, now = matmul(h, w.swapaxes(0, 1)), getitem(x, t)
        if form.apart:
            given = given if b is None else given + b
            (r, z, n), (hr, hz, hn) = _parts(now, 3), _parts(given, 3)
            new = _gru_step(r, z, n, hr, hz, hn, h)[0]
        elif form.states == 2:
            i, f, a, o = _parts(given + now, 4)
            new, new_c = _lstm_step(i, f, a, o, c)[:2]
            c = new_c if keep is None else where(keep[t] > 0, new_c, c)
        else:
            new = (tanh if cell == "rnn_tanh" else relu)(given + now)
        h = new if keep is None else where(keep[t] > 0, new, h)
        states.append(h)
    return stack([*(states[::-1] if reverse else states), *([c] if form.states == 2 else [])], 0)


def _flops(shapes: tuple[Shape, ...], out_shape: Shape, *, cell: str, **static: Any) -> int:
    """For each step the product with the recurrent weight, what is added to it, and the formula."""
    form, (length, _, gates) = CELLS[cell], shapes[0]
    state = length * math.prod(shapes[1])
    return length * shapes[0][1] * gates * (2 * shapes[1][-1] + 1) + form.step.flops * state


def _vjp_flops(shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs, *, cell: str, **static: Any) -> int:
    """The formula back, the product back to the state before, and one for the weight."""
    form, (length, n, gates) = CELLS[cell], shapes[0]
    state = length * math.prod(shapes[1])
    products = 2 * length * n * gates * shapes[1][-1] * (1 + needs[3])
    adding = state * (1 + form.apart) + (length * n * gates if needs[4] else 0)
    return products + form.back.flops * state + adding


ALL: Final = (0, 1, 2, 3, 4)
PRIMITIVES: Final = {
    name: Primitive(name, _forward, _rule, keeps=(ALL,) * 5, reference=_reference, flops=_flops, vjp_flops=_vjp_flops)
    for name in CELLS
}


def recurrent(
    cell: str, x: Any, h: Any, c: Any, w: Any, b: Any = None, *, reverse: bool = False, keep: Any = None
) -> tuple[Any, Any, Any]:
    """One layer in one direction over a whole sequence.

    Args:
        cell: "rnn_tanh", "rnn_relu", "lstm" or "gru".
        x: (length, n, gates * hidden): what the inputs give to the gates, biases included.
        h: (n, hidden), the state before the first step.
        c: likewise, of an LSTM; None otherwise.
        w: (gates * hidden, hidden), the recurrent weight.
        b: (gates * hidden,), of a GRU: the bias of the state's part.
        reverse: walk from the end to the start.
        keep: bare array (length, n, 1), 1 where a sequence is this long and 0 behind its end, where states stay as they
            are; None: all have the full length.

    Returns:
        h after each step (length, n, hidden), in the order of time; the last h; the last c, or None.
    """
    static = {"cell": cell, "reverse": reverse, "arrays": () if keep is None else (keep,)}
    out = apply(PRIMITIVES[cell], (x, h, c, w, b), static)
    length = x.shape[0]
    if c is None:
        return out, getitem(out, 0 if reverse else length - 1), None
    y = getitem(out, slice(0, length))
    return y, getitem(y, 0 if reverse else length - 1), getitem(out, length)
