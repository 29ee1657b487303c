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
        step: (gates, if `apart` the inputs' before the state's; of LSTM c, of GRU h before) to (states, what the way
            back needs).
        back: (the two parts of h's cotangent, of LSTM c's, what was kept, of LSTM c, of GRU h before, and of GRU what
            else goes to that h) to (cotangents of gates, if `apart` the state's first and then the last of the
            input's; what goes to c or h before).
    """

    name: str
    gates: int
    states: int
    apart: bool
    step: Formula
    back: Formula


def _lstm_back(
    g: Any, further: Any, gc: Any, i: Any, f: Any, a: Any, o: Any, new: Any, c: Any
) -> tuple[Any, ...]:
    """Through h' = o tanh(c') and c' = f c + i a, with the gates' values given."""
    t = tanh(new)
    gh = g + further
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


def _gru_back(
    g: Any, further: Any, r: Any, z: Any, n: Any, hn: Any, h: Any, ahead: Any
) -> tuple[Any, ...]:
    g = g + further
    dn = g * (1 - z) * (1 - n * n)
    return dn * hn * r * (1 - r), g * (h - n) * z * (1 - z), dn * r, dn, g * z + ahead


CELLS: Final = {
    "rnn_tanh": Cell(
        "rnn_tanh", 1, 1, False, Formula("rnn_tanh_step", ("x",), tanh.formula.outputs),
        trace(lambda g, further, y: (g + further) * (1 - y * y), "rnn_tanh_back"),
    ),
    "rnn_relu": Cell(
        "rnn_relu", 1, 1, False, Formula("rnn_relu_step", ("x",), relu.formula.outputs),
        trace(lambda g, further, y: where(y > 0, g + further, 0.0), "rnn_relu_back"),
    ),
    "lstm": Cell("lstm", 4, 2, False, trace(_lstm_step, "lstm_step"), trace(_lstm_back, "lstm_back")),
    "gru": Cell("gru", 3, 1, True, trace(_gru_step, "gru_step"), trace(_gru_back, "gru_back")),
}  # fmt: skip


def _times(length: int, reverse: bool) -> range:
    return range(length - 1, -1, -1) if reverse else range(length)


def _parts(a: Any, count: int) -> list[Any]:
    """The gates of an array, each a view."""
    if count == 1:
        return [a]
    size = a.shape[-1] // count
    return [a[..., k * size : (k + 1) * size] for k in range(count)]


def _walk(
    cell: Cell, x: Any, h: Any, c: Any, w: Any, b: Any, keep: Any, reverse: bool
) -> tuple[Any, list[Any], list[Any]]:
    """Forward through time: h at all times with the first one on its side, c after each step, what the way back needs.

    Those of h are in the order of time, the others in that of the walk.
    """
    backend = backend_for_all(cell.name, x, h, c, w, b)
    kernel, length, turned, where_ = backend.kernel(cell.step), x.shape[0], w.T, backend.xp.where
    states = backend.empty((length + 1, *h.shape), x.dtype)
    backend.put(states, length if reverse else 0, h)
    cs: list[Any] = []
    kept: list[Any] = []
    for t in _times(length, reverse):
        now = states[t if reverse else t + 1]
        seen = None if keep is None else keep[t] > 0
        if cell.apart:
            gates = _parts(x[t], cell.gates) + _parts(backend.linear(h, w, b), cell.gates)
            kept += [*backend.write(kernel, (*gates, h), (now,)), gates[-1]]
        elif cell.states == 2:
            gates = _parts(backend.matmul_plus(h, turned, x[t]), cell.gates)
            new_c, *values = backend.write(kernel, (*gates, c), (now,))
            kept += [*values, new_c]
            c = new_c if seen is None else where_(seen, new_c, c)
            cs.append(c)
        else:
            backend.write(kernel, (backend.matmul_plus(h, turned, x[t]),), (now,))
            kept.append(now if seen is None else backend.copy(now))
        if seen is not None:
            backend.put(now, ..., where_(seen, now, h))
        h = now
    return states, cs, kept


def _forward(
    needs: Needs, x: Any, h: Any, c: Any, w: Any, b: Any, *, cell: str, reverse: bool, arrays: Any
) -> tuple[Any, tuple[Any, ...]]:
    backend, length = backend_for_all(cell, x, h, c, w, b), x.shape[0]
    states, cs, kept = _walk(CELLS[cell], x, h, c, w, b, arrays[0] if arrays else None, reverse)
    out = backend.empty((length + (c is not None), *h.shape), x.dtype)
    backend.put(out, slice(0, length), states[:-1] if reverse else states[1:])
    if c is not None:
        backend.put(out, length, cs[-1] if cs else c)
    return out, (states, *cs, *kept) if any(needs) else ()


def _rule(
    g: Any, needs: Needs, x: Any, h: Any, c: Any, w: Any, b: Any, states: Any, *record: Any,
    cell: str, reverse: bool, arrays: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """Back through time; the weight's gradient is one product of all steps."""
    form, backend = CELLS[cell], backend_of(g)
    (length, n), size = x.shape[:2], h.shape[-1]
    width, times = form.gates * size, list(_times(length, reverse))
    # The cotangents of the gates, the state's; behind them of the input's last one, where that is another.
    given = backend.empty((length, n, width + form.apart * size), x.dtype)
    back = _Back(form, backend, w, backend.zeros(h.shape, h.dtype))
    gc, befores, kept = None, states[1:] if reverse else states[:-1], record
    if form.states == 2:
        gc, cs, kept = g[length], (c, *record[:length]), record[length:]
    each, gh, further = len(kept) // max(length, 1), back.nothing, g[times[-1]] if times else back.nothing
    for step in range(length - 1, -1, -1):
        t = times[step]
        gh, further, gc = back.step(
            (gh, further, gc), kept[step * each : (step + 1) * each], cs[step] if form.states == 2 else befores[t],
            g[times[step - 1]] if step else back.nothing, arrays[0][t] if arrays else None, given[t],
        )  # fmt: skip
    rows = given.reshape(-1, given.shape[-1])[:, :width]
    gw = None
    if needs[3]:
        before = befores.reshape(-1, size)
        # In the memory order of the weight, so that updates run over both without gaps.
        by_columns = w.flags.f_contiguous and not w.flags.c_contiguous
        gw = backend.matmul(before.T, rows).T if by_columns else backend.matmul(rows.T, before)
    gb = backend.column_sum(rows) if needs[4] else None
    dh = gh if further is back.nothing else backend.plus(gh, further)
    return _of_inputs(backend, form, given, x) if needs[0] else None, dh, gc if needs[2] else None, gw, gb


def _of_inputs(backend: Any, form: Cell, given: Any, x: Any) -> Any:
    """The cotangents of the inputs' gates: the state's, but for the last one where the cell has them apart."""
    if not form.apart:
        return given
    dx, shared = backend.empty(x.shape, x.dtype), x.shape[-1] // form.gates * (form.gates - 1)
    backend.put(dx, (..., slice(0, shared)), given[..., :shared])
    backend.put(dx, (..., slice(shared, None)), given[..., x.shape[-1] :])
    return dx


class _Back:
    """The way back through one step; `nothing` are zeros of the state's shape."""

    def __init__(self, form: Cell, backend: Any, w: Any, nothing: Any) -> None:
        self.form, self.backend, self.w, self.nothing = form, backend, w, nothing
        self.kernel = backend.kernel(form.back)

    def step(
        self, cotangents: tuple[Any, Any, Any], kept: tuple[Any, ...], before: Any, ahead: Any, seen: Any, given: Any
    ) -> tuple[Any, Any, Any]:
        """The cotangents of the states before a step; those of the gates are written into `given`.

        Args:
            cotangents: of h behind the step, in two parts, and of c, or None.
            kept: what the forward kept of the step.
            before: c before the step, or h.
            ahead: what else flows to h before the step: a part of its cotangent, to which the cell's is added.
            seen: 1 where the sequence is this long, (n, 1), or None; elsewhere the states went through unchanged.
            given: of the gates, written.
        """
        form, (gh, further, gc) = self.form, cotangents
        around = gc_around = None
        if seen is not None:
            total = gh + further
            gh, further, around = total * seen, self.nothing, total * (1 - seen)
            if gc is not None:
                gc, gc_around = gc * seen, gc * (1 - seen)
        places = _parts(given, form.gates + form.apart)
        if form.states == 2:
            (gc,) = self.backend.write(self.kernel, (gh, further, gc, *kept, before), places)
            gc = gc if gc_around is None else gc + gc_around
        elif form.apart:
            (ahead,) = self.backend.write(self.kernel, (gh, further, *kept, before, ahead), places)
        else:
            self.backend.write(self.kernel, (gh, further, *kept), places)
        gh = self.backend.matmul(given[:, : len(self.w)] if form.apart else given, self.w)
        return gh, ahead if around is None else ahead + around, gc


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
    """The formula back, the product back to the state before, one for the weight, and the sums of a bias."""
    form, (length, n, gates) = CELLS[cell], shapes[0]
    state = length * math.prod(shapes[1])
    products = 2 * length * n * gates * shapes[1][-1] * (1 + needs[3])
    return products + form.back.flops * state + (length * n * gates if needs[4] else 0)


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
