"""Images sampled at any places: PyTorch's values and gradients in every mode, maps that leave an image as it is."""

import itertools

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.nn.test_losses import same

MODES, PADDING = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")
EACH = list(itertools.product(MODES, PADDING, (False, True)))
each_mode = pytest.mark.parametrize(("mode", "padding", "align"), EACH)


@pytest.mark.peers
@each_mode
@pytest.mark.parametrize("axes", [2, 3])
def test_samples_are_pytorchs(mode, padding, align, axes, torch, rng):
    if mode == "bicubic" and axes == 3:
        pytest.skip("of images only")
    x, grid = rng.normal(size=(2, 3, *(4, 6, 5)[:axes])), rng.uniform(-2.3, 2.3, (2, *(3, 4, 2)[:axes], axes))
    for images in (x, x[:, :, :1, :2]):
        same(
            lambda x, g=grid: F.grid_sample(x, gg.tensor(g), mode, padding, align),
            lambda x, g=grid: torch.nn.functional.grid_sample(x, torch.tensor(g), mode, padding, align),
            [images],
            torch,
            rng,
        )
        if mode != "nearest":
            same(
                lambda x, g: F.grid_sample(x, g, mode, padding, align),
                lambda x, g: torch.nn.functional.grid_sample(x, g, mode, padding, align),
                [images, grid],
                torch,
                rng,
            )


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid")
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (2, 1, 1, 3), (1, 1, 3, 2, 4)], ids=str)
def test_affine_grids_are_pytorchs(size, align, torch, rng):
    theta = rng.normal(size=(size[0], len(size) - 2, len(size) - 1))
    same(
        lambda t: F.affine_grid(t, size, align),
        lambda t: torch.nn.functional.affine_grid(t, list(size), align_corners=align),
        [theta],
        torch,
        rng,
    )


@each_mode
def test_the_map_that_moves_nothing_gives_the_image(mode, padding, align, rng):
    x = rng.normal(size=(2, 3, 5, 4))
    grid = F.affine_grid(np.tile(np.eye(2, 3), (2, 1, 1)), x.shape, align)
    np.testing.assert_allclose(F.grid_sample(x, grid, mode, padding, align), x, rtol=1e-12, atol=1e-12)


def test_a_turn_by_180_degrees_turns_the_image(rng):
    x = rng.normal(size=(1, 2, 3, 4))
    grid = F.affine_grid(np.array([[[-1.0, 0, 0], [0, -1, 0]]]), x.shape)
    np.testing.assert_allclose(F.grid_sample(x, grid), x[:, :, ::-1, ::-1], rtol=1e-12, atol=1e-12)


@each_mode
def test_derivatives_are_those_of_differences(mode, padding, align, rng):
    x, grid = rng.normal(size=(1, 2, 4, 3)), rng.uniform(-1.4, 1.4, (1, 2, 3, 2))
    if mode == "nearest":
        gg.check_grads(lambda x: F.grid_sample(x, grid, mode, padding, align), (x,), order=2)
    else:
        gg.check_grads(lambda x, g: F.grid_sample(x, g, mode, padding, align), (x, grid), order=2)


def test_pixels_that_many_places_take_get_the_same_bits_every_time(rng):
    x = gg.tensor(rng.normal(size=(1, 4, 3, 3)).astype(np.float32), requires_grad=True)
    grid, seen = gg.tensor(rng.uniform(-1, 1, (1, 90, 80, 2)).astype(np.float32)), set()
    for _ in range(3):
        x.grad = None
        y = F.grid_sample(x, grid)
        y.backward(gg.tensor(np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape)))
        seen.add(x.grad.numpy().tobytes())
    assert len(seen) == 1


def test_a_place_that_is_nan_is_outside():
    grid = np.full((1, 1, 1, 2), np.nan)
    for mode in MODES:
        assert F.grid_sample(np.ones((1, 1, 2, 2)), grid, mode).tolist() == [[[[0]]]]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_result_has_the_images_dtype(dtype):
    x, grid = gg.ones(1, 2, 3, 3, dtype=dtype, requires_grad=True), gg.zeros(1, 2, 2, 2)
    y = F.grid_sample(x, grid)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    assert y.detach().tolist() == gg.ones(1, 2, 2, 2).tolist()


def test_what_does_not_fit_is_refused():
    x, grid = np.ones((2, 3, 4, 5)), np.zeros((2, 3, 3, 2))
    for wrong in (grid[:1], grid[..., :1], grid[0]):
        with pytest.raises(ValueError, match=r"\[grid_sample\] input has shape \(2, 3, 4, 5\), grid"):
            F.grid_sample(x, wrong)
    with pytest.raises(ValueError, match="mode = 'bicubic'; expected 'bilinear'"):
        F.grid_sample(np.ones((1, 1, 2, 2, 2)), np.zeros((1, 1, 1, 1, 3)), "bicubic")
    with pytest.raises(ValueError, match="padding_mode = 'wrap'"):
        F.grid_sample(x, grid, padding_mode="wrap")
    with pytest.raises(ValueError, match="there is no pixel"):
        F.grid_sample(x[:, :, :0], grid)
    with pytest.raises(ValueError, match=r"\[affine_grid\] theta has shape \(2, 3\), size = \(2, 3, 4, 5\)"):
        F.affine_grid(np.ones((2, 3)), (2, 3, 4, 5))
    with pytest.raises(ValueError, match="lengths of 1 or more"):
        F.affine_grid(np.ones((2, 2, 3)), (2, 3, 0, 5))
