"""Convolution layers: shapes, names, padding modes, errors, and PyTorch's numbers where it is installed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.ops.rows_conv import correlate


def test_a_layer_has_pytorchs_names_shapes_and_repr():
    layer = gg.nn.Conv2d(4, 6, (3, 2), stride=2, padding="valid", groups=2, padding_mode="reflect")
    assert {name: p.shape for name, p in layer.named_parameters()} == {"weight": (6, 2, 3, 2), "bias": (6,)}
    assert repr(layer) == (
        "Conv2d(4, 6, kernel_size=(3, 2), stride=(2, 2), padding='valid', groups=2, padding_mode='reflect')"
    )
    transposed = gg.nn.ConvTranspose1d(4, 6, 3, output_padding=1, stride=2, bias=False, groups=2)
    assert {name: p.shape for name, p in transposed.named_parameters()} == {"weight": (4, 3, 3)}
    assert repr(transposed) == (
        "ConvTranspose1d(4, 6, kernel_size=(3,), stride=(2,), groups=2, bias=False, output_padding=1)"
    )


def test_weights_are_drawn_within_one_over_the_root_of_the_inputs():
    gg.manual_seed(0)
    layer = gg.nn.Conv2d(16, 64, 3)
    bound = 1 / np.sqrt(16 * 9)
    for p in (layer.weight, layer.bias):
        values = p.detach().numpy()
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.9 * bound


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [(2, 1), "same"])
def test_each_padding_mode_pads_as_numpy_does(mode, padding):
    rng = np.random.default_rng(0)
    layer = gg.nn.Conv2d(2, 3, 3, padding=padding, padding_mode=mode, dtype=np.float64)
    x = rng.standard_normal((2, 2, 5, 6))
    wide = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    rows, columns = (1, 1) if padding == "same" else padding
    padded = np.pad(x, ((0, 0), (0, 0), (rows, rows), (columns, columns)), mode=wide)
    expected = correlate(padded, layer.weight.detach().numpy(), layer.bias.detach().numpy())
    np.testing.assert_allclose(layer(gg.asarray(x)).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("make", [np.ascontiguousarray, np.asfortranarray, lambda x: x[:, ::-1].copy()[:, ::-1]])
def test_any_memory_order_gives_the_same_and_channels_last_comes_out(make):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((2, 3, 5, 4)), rng.standard_normal((4, 3, 3, 3))
    y = F.conv2d(make(x), w, padding=1)
    np.testing.assert_allclose(y, correlate(x, w, pads=1), atol=1e-12)
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous


def test_large_images_and_batches_are_cut_into_chunks_with_the_same_result(monkeypatch):
    rng = np.random.default_rng(2)
    x, w = rng.standard_normal((3, 2, 9, 8)), rng.standard_normal((4, 2, 3, 3))
    g = rng.standard_normal((3, 4, 9, 8))

    def all_three():
        tensors = [gg.tensor(a, requires_grad=True) for a in (x, w)]
        y = F.conv2d(*tensors, padding=1)
        y.backward(gg.asarray(g))
        return [y.detach().numpy(), *(t.grad.numpy() for t in tensors)]

    whole = all_three()
    for size in (1, 2000, 20_000):
        monkeypatch.setattr("gpugrad.backend.conv.CHUNK", size)
        for part, expected in zip(all_three(), whole, strict=True):
            np.testing.assert_allclose(part, expected, atol=1e-12)


def test_half_precision_is_added_up_in_single():
    x = np.full((1, 512, 3, 3), 2**-6, np.float16)
    w = np.ones((1, 512, 3, 3), np.float16)
    y = F.conv2d(x, w)
    assert y.dtype == np.float16
    assert y.item() == 72.0


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda x: F.conv2d(x, np.zeros((4, 5, 3, 3))), ValueError, r"3 input channels; expected 5"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 9, 3))), ValueError, r"kernel \(9, 3\) is larger than the padded input"),
        (lambda x: F.conv2d(x, np.zeros((4, 1, 3, 3)), groups=3), ValueError, r"groups that divide the 4"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 3))), ValueError, r"weight \(4, 3, 3\).*expected \(n, in, size, size\)"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 3, 3), "f")), TypeError, r"input is float64, weight float32"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 3, 3)), np.zeros(3)), ValueError, r"bias has shape \(3,\)"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 3, 3)), stride=0), ValueError, r"stride = 0; expected 2 integers"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 3, 3)), padding=-1), ValueError, r"padding = -1"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 3, 3)), padding="full"), ValueError, r"padding = 'full'"),
        (lambda x: F.conv2d(x, np.zeros((4, 3, 3, 3)), padding="same", stride=2), ValueError, r"a stride of 1"),
        (lambda x: F.conv_transpose2d(x, np.zeros((4, 3, 3, 3))), ValueError, r"3 input channels; expected 4"),
        (
            lambda x: F.conv_transpose2d(x, np.zeros((3, 3, 3, 3)), stride=2, output_padding=2),
            ValueError,
            r"output_padding = \(2, 2\).*expected less",
        ),
        (lambda x: F.conv_transpose2d(x, np.zeros((3, 2, 1, 1)), padding=9), ValueError, r"nothing is left"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_shapes(call, error, said):
    with pytest.raises(error, match=said):
        call(np.zeros((2, 3, 5, 4)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gg.nn.Conv2d(3, 4, 3, groups=2), "groups that divide both"),
        (lambda: gg.nn.Conv2d(0, 4, 3), "in_channels = 0"),
        (lambda: gg.nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size"),
        (lambda: gg.nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode = 'mirror'"),
        (lambda: gg.nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "expected zeros"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.peers
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_values_and_gradients_are_pytorchs_over_a_grid_of_arguments(axes):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(axes)
    size = (9, 8, 7)[:axes]
    x, bias = rng.standard_normal((2, 4, *size)), rng.standard_normal(6)
    for stride, padding, dilation, groups, k in itertools.product((1, 2), (0, 2), (1, 2), (1, 2), (1, 3)):
        for transposed in (False, True):
            name = f"conv_transpose{axes}d" if transposed else f"conv{axes}d"
            shape = (4, 6 // groups) if transposed else (6, 4 // groups)
            w = rng.standard_normal((*shape, *(k,) * axes))
            options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            if transposed and max(stride, dilation) > 1:
                options["output_padding"] = 1
            ours = [gg.tensor(a, requires_grad=True) for a in (x, w, bias)]
            theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, bias)]
            y, expected = getattr(F, name)(*ours, **options), getattr(torch.nn.functional, name)(*theirs, **options)
            np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-12)
            g = rng.standard_normal(y.shape)
            y.backward(gg.asarray(g))
            expected.backward(torch.tensor(g))
            for mine, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), atol=1e-11)
