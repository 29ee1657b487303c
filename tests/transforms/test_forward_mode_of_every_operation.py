"""Forward mode of each row of the table of operations, against its reverse mode, alone and nested with it."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
from tests.ops.table import rows

DIFFERENTIABLE = [row for row in rows() if row.order]
SECOND = [row for row in DIFFERENTIABLE if row.order == 2]


def _leaves(result):
    parts = result if isinstance(result, tuple | list) else (result,)
    return [p for p in parts if getattr(p, "dtype", np.dtype(int)).kind in "fc"]


def _array(x):
    return np.asarray(x.detach().numpy() if isinstance(x, gg.Tensor) else x)


def _random(like, rng):
    values = rng.standard_normal(like.shape)
    return values + 1j * rng.standard_normal(like.shape) if like.dtype.kind == "c" else values


def _inner(a, b):
    """The bilinear pairing under which pulling back is the transpose of pushing forward; its real part."""
    return float(np.real(sum(np.sum(x * y) for x, y in zip(a, b, strict=True))))


def _setting(row):
    inputs = row.sample()
    rng = np.random.default_rng(7)
    call = lambda *xs: tuple(_leaves(row.call(*xs)))  # noqa: E731
    outputs = [_array(y) for y in call(*(gg.asarray(x) for x in inputs))]
    tangents = tuple(rng.standard_normal(np.shape(x)) for x in inputs)
    return call, inputs, tangents, [_random(y, rng) for y in outputs]


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)
def test_pushing_forward_is_the_transpose_of_pulling_back(row):
    call, inputs, tangents, cotangents = _setting(row)
    value, pushed = gg.jvp(call, inputs, tangents)
    expected, pullback = gg.vjp(call, *inputs)
    for mine, other in zip(value, expected, strict=True):
        np.testing.assert_array_equal(_array(mine), _array(other))
    pulled = pullback(tuple(cotangents))
    left = _inner([_array(t) for t in pushed], cotangents)
    right = _inner(tangents, [_array(g) for g in pulled])
    scale = 1 + sum(np.abs(_array(t) * c).sum() for t, c in zip(pushed, cotangents, strict=True))
    assert abs(left - right) <= 1e-9 * scale


@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)
def test_several_tangents_are_pushed_at_once_under_a_map(row):
    call, inputs, tangents, _ = _setting(row)
    directions = tuple(np.stack([t, 2 - t]) for t in tangents)
    _, slope = gg.linearize(call, *inputs)
    together = gg.vmap(slope)(*directions)
    for i in range(2):
        alone = slope(*(d[i] for d in directions))
        for mine, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(_array(mine)[i], _array(other), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("row", SECOND, ids=lambda row: row.name)
def test_second_derivatives_agree_whichever_modes_are_nested(row):
    call, inputs, tangents, cotangents = _setting(row)
    numbers = tuple(range(len(inputs)))
    # A square of the outputs, so that linear operations have second derivatives as well.
    weights = [gg.asarray(c) for c in cotangents]

    def loss(*xs):
        parts = [gg.sum(gg.real(y * y * w)) for y, w in zip(call(*xs), weights, strict=True)]
        return sum(parts[1:], parts[0])

    def slope(*xs):
        gradient = gg.grad(loss, numbers)(*xs)
        return sum(gg.sum(g * t) for g, t in zip(gradient, tangents, strict=True))

    reverse = [_array(h) for h in gg.grad(slope, numbers)(*inputs)]
    forward_over_reverse = gg.jvp(gg.grad(loss, numbers), inputs, tangents)[1]
    reverse_over_forward = gg.grad(lambda *xs: gg.jvp(loss, xs, tangents)[1], numbers)(*inputs)
    for other in (forward_over_reverse, reverse_over_forward):
        for mine, expected in zip(other, reverse, strict=True):
            np.testing.assert_allclose(_array(mine), expected, rtol=1e-7, atol=1e-7 * (1 + np.abs(expected).max()))
    twice = gg.jvp(lambda *xs: gg.jvp(loss, xs, tangents)[1], inputs, tangents)[1]
    expected = _inner(tangents, reverse)
    np.testing.assert_allclose(float(_array(twice)), expected, rtol=1e-7, atol=1e-7 * (1 + abs(expected)))
