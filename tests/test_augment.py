"""Augmentation of batches, and noise on hidden units and weights, against the same by hand."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.train import Augmentation, Examples, Trainer
from gpugrad.train.augment import add_hidden_noise

SHAPE = (2, 6, 7)


@pytest.fixture
def batch():
    raw = np.random.default_rng(0).random((200, *SHAPE)).astype(np.float32)
    mean, scale = raw.mean(axis=0), np.full((1, 1, 1), 0.3, np.float32)
    return raw, mean, scale


def changed(batch, seed=1, **options):
    raw, mean, scale = batch
    augment = Augmentation(mean, scale, SHAPE, 10, **options)
    x = gg.asarray((raw - mean) / scale)
    labels = gg.asarray(np.arange(len(raw)) % 10)
    out, y = augment(x, labels, np.random.default_rng(seed))
    return out.numpy() * scale + mean, y.numpy()


def moved(image, down, right):
    out = np.zeros_like(image)
    _, height, width = image.shape
    for r in range(height):
        for c in range(width):
            if 0 <= r - down < height and 0 <= c - right < width:
                out[:, r, c] = image[:, r - down, c - right]
    return out


def cut(image, down, right, pad):
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    _, height, width = image.shape
    return padded[:, pad - down : pad - down + height, pad - right : pad - right + width]


def places(out, candidates):
    """For each image which of its candidates it is."""
    found = []
    for image, options in zip(out, candidates, strict=True):
        hits = [key for key, other in options.items() if np.allclose(image, other, atol=1e-5)]
        assert len(hits) == 1, f"no single candidate: {hits}"
        found.append(hits[0])
    return found


def test_a_shift_moves_by_up_to_its_pixels_each_way_and_brings_in_black(batch):
    out, y = changed(batch, shift=2)
    reach = range(-2, 3)
    found = places(out, [{(d, r): moved(image, d, r) for d in reach for r in reach} for image in batch[0]])
    assert len(set(found)) == 25
    assert y.tolist() == [k % 10 for k in range(200)]


def test_a_crop_is_a_window_of_the_image_padded_by_reflection(batch):
    out, _ = changed(batch, crop=3)
    reach = range(-3, 4)
    found = places(out, [{(d, r): cut(image, d, r, 3) for d in reach for r in reach} for image in batch[0]])
    assert len(set(found)) == 49


def test_a_flip_mirrors_half_of_the_images_also_with_a_shift(batch):
    out, _ = changed(batch, flip=True)
    found = places(out, [{False: image, True: image[:, :, ::-1]} for image in batch[0]])
    assert 60 < sum(found) < 140
    out, _ = changed(batch, flip=True, shift=1)
    reach = range(-1, 2)
    options = [
        {(d, r, f): moved(image, d, r)[:, :, :: -1 if f else 1] for d in reach for r in reach for f in (0, 1)}
        for image in batch[0]
    ]
    assert len(set(places(out, options))) == 18


def test_a_flat_batch_comes_back_flat_with_the_same_pixels(batch):
    raw, mean, scale = batch
    augment = Augmentation(mean, scale, SHAPE, 10, shift=1, flip=True)
    x = gg.asarray((raw - mean) / scale)
    y = gg.asarray(np.zeros(200, np.int64))
    as_images, _ = augment(x, y, np.random.default_rng(3))
    flat, _ = augment(x.reshape(200, -1), y, np.random.default_rng(3))
    np.testing.assert_array_equal(flat.numpy(), as_images.numpy().reshape(200, -1))


def test_noise_has_its_deviation_in_standardised_units(batch):
    raw, _, scale = batch
    out, _ = changed(batch, noise=0.5)
    noise = (out - raw) / scale
    assert abs(noise.std() - 0.5) < 0.01
    assert abs(noise.mean()) < 0.01


def test_label_noise_replaces_its_share_by_any_class(batch):
    _, y = changed(batch, label_noise=0.5)
    same = (y == np.arange(200) % 10).mean()
    assert 0.4 < same < 0.7  # 0.55 expected: one in ten of those replaced keeps its class
    assert set(y) == set(range(10))


def test_the_same_generator_gives_the_same_batch_and_another_another(batch):
    first, again, other = (changed(batch, seed, shift=2, flip=True)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("options", [{"shift": 6}, {"crop": 6}, {"shift": -1}, {"shift": 1, "crop": 1}])
def test_what_leaves_nothing_of_the_image_is_refused(batch, options):
    with pytest.raises(ValueError, match=r"\[Augmentation\]"):
        changed(batch, **options)


def network():
    gg.manual_seed(0)
    return gg.nn.Sequential(gg.nn.Linear(4, 500), gg.nn.ReLU(), gg.nn.Sequential(gg.nn.Tanh()), gg.nn.Identity())


@gg.no_grad()
def test_hidden_noise_is_on_activations_in_training_only_and_can_be_taken_off():
    model = network()
    x = gg.randn(300, 4)
    quiet = model(x).numpy()
    hooks = add_hidden_noise(model, 0.1)
    assert len(hooks) == 2
    model.eval()
    np.testing.assert_array_equal(model(x).numpy(), quiet)
    model.train()
    linear, relu, *_ = model.children()
    noise = relu(linear(x)).numpy() - np.maximum(linear(x).numpy(), 0)
    assert abs(noise.std() - 0.1) < 0.002
    for hook in hooks:
        hook.remove()
    np.testing.assert_array_equal(model(x).numpy(), quiet)


def test_weight_noise_moves_the_weights_for_the_gradient_and_puts_them_back_bit_for_bit():
    seen = []

    class Watched(gg.nn.Linear):
        def forward(self, x):
            seen.append(self.weight.data.copy())
            return super().forward(x)

    gg.manual_seed(0)
    model = Watched(30, 20)
    before = model.weight.data.copy()
    trainer = Trainer(model, gg.optim.SGD(model.parameters(), lr=1e-30), weight_noise=0.2)
    rng = np.random.default_rng(0)
    examples = Examples.on("cpu", rng.standard_normal((64, 30)).astype(np.float32), rng.integers(0, 20, 64))
    list(trainer.fit(examples, examples, epochs=1, batch_size=32))
    np.testing.assert_array_equal(model.weight.data, before)
    root_mean_square = np.sqrt((before**2).mean())
    for weights in seen[:2]:
        assert abs((weights - before).std() / root_mean_square - 0.2) < 0.02
    np.testing.assert_array_equal(seen[-1], before)  # the evaluation's


def test_a_forward_hook_sees_what_went_in_and_may_replace_what_comes_out():
    layer = gg.nn.Linear(2, 3)
    x = gg.ones(1, 2)
    seen = []
    with layer.register_forward_hook(lambda module, args, out: seen.append((module, args, out))):
        plain = layer(x)
        with layer.register_forward_hook(lambda module, args, out: out * 2):
            np.testing.assert_allclose(layer(x).detach().numpy(), 2 * plain.detach().numpy())
    assert [(m is layer, args[0] is x) for m, args, _ in seen] == [(True, True)] * 2
    np.testing.assert_array_equal(layer(x).detach().numpy(), plain.detach().numpy())
    assert len(seen) == 2
