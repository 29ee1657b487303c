"""Embedding, resizing and patches: conventions, errors, and PyTorch's numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from gpugrad.ops.resample import BLOCK, band_of


def test_a_row_that_is_named_often_gets_the_sum_in_the_same_order_every_time():
    rng = np.random.default_rng(0)
    places = rng.integers(0, 7, 5000)
    given = rng.standard_normal((5000, 4)).astype(np.float32)
    expected = np.zeros((7, 4), np.float32)
    for place, g in zip(places, given, strict=True):
        expected[place] += g
    for _ in range(3):
        weight = gg.zeros(7, 4, requires_grad=True)
        F.embedding(places, weight).backward(gg.asarray(given))
        np.testing.assert_array_equal(weight.grad.numpy(), expected)


def test_the_padding_row_is_zero_and_stays_so():
    gg.manual_seed(0)
    layer = gg.nn.Embedding(4, 3, padding_idx=-2)
    np.testing.assert_array_equal(layer.weight.detach().numpy()[2], 0)
    layer(gg.tensor([[0, 2], [2, 0]])).sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.numpy(), [[2] * 3, [0] * 3, [0] * 3, [0] * 3])
    assert repr(layer) == "Embedding(4, 3, padding_idx=2)"


def test_the_tangent_of_a_padding_row_is_not_seen_either():
    weight, tangent = np.ones((3, 2)), np.full((3, 2), 5.0)
    _, moved = gg.jvp(lambda w: F.embedding(np.array([0, 1, 0]), w, padding_idx=1), (weight,), (tangent,))
    np.testing.assert_array_equal(np.asarray(moved), [[5, 5], [0, 0], [5, 5]])


def test_rows_may_be_given_and_are_then_frozen_unless_told_otherwise():
    rows = np.arange(6.0).reshape(3, 2)
    layer = gg.nn.Embedding.from_pretrained(rows)
    assert not layer.weight.requires_grad
    np.testing.assert_array_equal(layer(np.array([2, 0])).numpy(), rows[[2, 0]])
    assert gg.nn.Embedding.from_pretrained(rows, freeze=False).weight.requires_grad


def test_each_example_of_a_map_looks_up_its_own_rows():
    rng = np.random.default_rng(1)
    weight, places = rng.standard_normal((5, 2)), np.array([[0, 1], [4, 4], [2, 0]])
    grads = gg.vmap(gg.grad(lambda w, i: (F.embedding(i, w) ** 2).sum()), in_axes=(None, 0))(weight, places)
    for one, place in zip(np.asarray(grads), places, strict=True):
        expected = np.zeros((5, 2))
        np.add.at(expected, place, 2 * weight[place])
        np.testing.assert_allclose(one, expected)


def test_long_axes_are_resized_block_by_block_as_by_the_whole_matrix():
    for mode, n, count in itertools.product(("linear", "cubic", "area"), (150, 3), (2 * BLOCK + 5, 40)):
        band = band_of(mode, n, count)
        whole = np.zeros(band.shape)
        for rows, columns, values in band.blocks:
            whole[rows, columns] = values
        np.testing.assert_allclose(whole.sum(1), 1)
        np.testing.assert_array_equal(band.transposed.transposed._matrix, whole)
    assert sum(values.size for *_, values in band_of("linear", 1000, 2000).blocks) < 0.05 * 1000 * 2000


def test_weights_made_while_memory_is_planned_are_not_those_of_a_real_run():
    x = gg.tensor(np.ones((1, 1, 3, 3)), requires_grad=True)
    gg.tape_memory(lambda: F.interpolate(x, (5, 7), mode="bilinear").sum())
    np.testing.assert_allclose(F.interpolate(x, (5, 7), mode="bilinear").detach().numpy(), 1)


def test_pixels_come_back_from_channels():
    x = np.random.default_rng(2).standard_normal((2, 3, 4, 6))
    np.testing.assert_array_equal(F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2), x)


def test_folding_what_was_unfolded_counts_how_often_each_element_was_taken():
    x = np.random.default_rng(3).standard_normal((1, 2, 5, 5))
    taken = F.fold(F.unfold(np.ones_like(x), 3), (5, 5), 3)
    np.testing.assert_allclose(F.fold(F.unfold(x, 3), (5, 5), 3), taken * x)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: F.embedding(np.array([0, 5]), x[0, 0]), IndexError, "row 5.*rows 0 to 4"),
        (lambda x: F.embedding(np.array([-1]), x[0, 0]), IndexError, "row -1"),
        (lambda x: F.embedding(np.array([0.5]), x[0, 0]), IndexError, "float64"),
        (lambda x: F.embedding(np.array([True]), x[0, 0]), IndexError, "whole numbers"),
        (lambda x: F.embedding(np.array([0]), x[0]), ValueError, r"\(3, 5, 4\)"),
        (lambda x: F.embedding(np.array([0]), x[0, 0], 7), ValueError, "padding_idx = 7"),
        (lambda x: gg.nn.Embedding(3, 2, padding_idx=3), ValueError, "padding_idx = 3"),
        (lambda x: F.interpolate(x, 4, mode="linear"), ValueError, "expected nearest.*bilinear"),
        (lambda x: F.interpolate(x, 4, 2.0), ValueError, "expected one of them"),
        (lambda x: F.interpolate(x, (4, 4, 4)), ValueError, "one for each of the 2"),
        (lambda x: F.interpolate(x, scale_factor=0.1), ValueError, "leaves nothing"),
        (lambda x: F.interpolate(x, 4, align_corners=True), ValueError, "linear modes"),
        (lambda x: F.interpolate(x.astype(int), 4), TypeError, "int64"),
        (lambda x: F.pixel_shuffle(x, 2), ValueError, "a multiple of 4"),
        (lambda x: F.pixel_unshuffle(x, 2), ValueError, "multiples of 2"),
        (lambda x: F.unfold(x, 6), ValueError, "larger than the padded image"),
        (lambda x: F.unfold(x[0, 0], 2), ValueError, r"expected \(n, channels"),
        (lambda x: F.fold(x[0], (5, 4), 2), ValueError, "a multiple of 4, 12"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_shapes(call, error, said):
    with pytest.raises(error, match=said):
        call(np.zeros((2, 3, 5, 4)))


@pytest.mark.peers
def test_resizing_is_pytorchs_over_a_grid_of_sizes():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    modes = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
    for mode, size, scale in itertools.product(modes, (None, (9, 4)), (None, 2, (1.3, 0.6))):
        for align in (None,) if "nearest" in mode or mode == "area" else (False, True):
            for recompute in (None, True) if scale is not None else (None,):
                if (size is None) == (scale is None):
                    continue
                x = rng.standard_normal((2, 3, 6, 5))
                options = {"mode": mode, "align_corners": align, "recompute_scale_factor": recompute}
                ours, theirs = gg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
                y = F.interpolate(ours, size, scale, **options)
                expected = torch.nn.functional.interpolate(theirs, size, scale, **options)
                np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)
                g = rng.standard_normal(y.shape)
                y.backward(gg.asarray(g))
                expected.backward(torch.tensor(g))
                np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-12)


@pytest.mark.peers
def test_embedding_is_pytorchs_with_padding_and_frequencies():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    weight, places = rng.standard_normal((6, 3)), rng.integers(0, 6, (4, 5))
    for padding, frequency in itertools.product((None, 2, -1), (False, True)):
        ours, theirs = gg.tensor(weight, requires_grad=True), torch.tensor(weight, requires_grad=True)
        y = F.embedding(places, ours, padding, scale_grad_by_freq=frequency)
        expected = torch.nn.functional.embedding(torch.tensor(places), theirs, padding, scale_grad_by_freq=frequency)
        np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())
        g = rng.standard_normal(y.shape)
        y.backward(gg.asarray(g))
        expected.backward(torch.tensor(g))
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-13)


@pytest.mark.peers
def test_layers_are_pytorchs():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(6).standard_normal((2, 4, 6, 6))
    for name, args in (
        ("Upsample", (None, 2.0, "bilinear")),
        ("PixelShuffle", (2,)),
        ("PixelUnshuffle", (3,)),
        ("Unfold", (3, 1, 1, 2)),
    ):
        expected = getattr(torch.nn, name)(*args)(torch.tensor(x)).numpy()
        np.testing.assert_allclose(getattr(gg.nn, name)(*args)(x), expected, atol=1e-12)
    columns = np.random.default_rng(7).standard_normal((2, 8, 9))
    expected = torch.nn.Fold((4, 4), 2)(torch.tensor(columns)).numpy()
    np.testing.assert_allclose(gg.nn.Fold((4, 4), 2)(columns), expected, atol=1e-12)
