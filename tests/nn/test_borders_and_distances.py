"""Borders, distances, gates and dropout of channels: PyTorch's values and gradients where it is installed."""

import numpy as np
import pytest

import gpugrad as gg

nn, F = gg.nn, gg.nn.functional


def against_torch(ours, theirs, *shapes, seed=0):
    """Values and gradients of two functions of float64 arrays."""
    torch = pytest.importorskip("torch")
    arrays = [np.random.default_rng(seed + k).standard_normal(s) for k, s in enumerate(shapes)]
    mine = [gg.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = ours(*mine), theirs(*other)
    weights = np.random.default_rng(9).standard_normal(tuple(t.shape))
    assert tuple(y.shape) == tuple(t.shape)
    (y * gg.tensor(weights)).sum().backward()
    (t * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-12, atol=1e-12)
    for a, b in zip(mine, other, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("pad", "mode", "value"),
    [
        ((1, 2), "constant", None),
        ((1, 2, 0, 3), "constant", 2.5),
        ((-1, 2, 3, -2), "constant", None),
        ((-1, -2), "constant", None),
        ((2, 1, 3, 0), "reflect", None),
        ((2, 1, 3, 0), "replicate", None),
        ((5, 4, 3, 0), "circular", None),
        ((2, -1, -1, 3), "replicate", None),
    ],
)
def test_pad(pad, mode, value):
    import importlib

    torch = importlib.import_module("torch") if importlib.util.find_spec("torch") else pytest.skip("no PyTorch")
    against_torch(
        lambda x: F.pad(x, pad, mode, value), lambda x: torch.nn.functional.pad(x, pad, mode, value), (2, 3, 6, 5)
    )


@pytest.mark.parametrize(
    ("pad", "options", "message"),
    [
        ((1, 2, 3), {}, r"\[pad\] pad = \(1, 2, 3\) for input of shape \(2, 4\)"),
        ((1, 1, 1, 1, 1, 1), {}, "expected .before, after. of the last axis"),
        ((1, 1), {"mode": "mirror"}, "mode = 'mirror'; expected 'constant', 'reflect', 'replicate', 'circular'"),
        ((1, 1), {"mode": "reflect", "value": 1.0}, "only 'constant' takes one"),
        ((4, 0), {"mode": "reflect"}, "axis 1 has no such room in mode 'reflect'"),
        ((-3, -2), {}, "axis 1 has no such room"),
    ],
)
def test_what_cannot_be_padded_is_refused(pad, options, message):
    with pytest.raises(ValueError, match=message):
        F.pad(gg.ones(2, 4), pad, **options)


LAYERS = [
    (f"{kind}Pad{axes}d", args, (2, 3, *(5, 6, 4)[:axes]))
    for kind, args in (
        ("Zero", (2,)), ("Constant", (1, 3.5)), ("Reflection", (2,)), ("Replication", (3,)), ("Circular", (2,)),
    )
    for axes in (1, 2, 3)
] + [
    ("ZeroPad2d", ((1, 0, 2, 3),), (2, 3, 5, 6)),
    ("GLU", (1,), (2, 6, 5)),
    ("Softmin", (1,), (2, 6, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "shape"), LAYERS, ids=[n for n, *_ in LAYERS])
def test_layers(name, args, shape):
    torch = pytest.importorskip("torch")
    layer, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    against_torch(layer, theirs, shape)
    assert name in repr(layer)


def test_a_layer_says_how_many_lengths_it_wants():
    with pytest.raises(ValueError, match=r"\[ZeroPad2d\] padding = \(1, 2\); expected one number or 4"):
        nn.ZeroPad2d((1, 2))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_lengths_angles_and_distances(dim):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional
    for p in (1.0, 2.0, 3.0, float("inf")):
        against_torch(lambda x, p=p: F.normalize(x, p, dim), lambda x, p=p: theirs.normalize(x, p, dim), (4, 5, 3))
    against_torch(
        lambda a, b: F.cosine_similarity(a, b, dim), lambda a, b: theirs.cosine_similarity(a, b, dim), (4, 5), (4, 5)
    )
    for p in (1.0, 2.0, 3.0):
        against_torch(
            lambda a, b, p=p: F.pairwise_distance(a, b, p, keepdim=dim == 0),
            lambda a, b, p=p: theirs.pairwise_distance(a, b, p, keepdim=dim == 0),
            (4, 5), (4, 5),
        )  # fmt: skip
    against_torch(nn.CosineSimilarity(dim), torch.nn.CosineSimilarity(dim), (4, 5), (4, 5))
    against_torch(nn.PairwiseDistance(1.0), torch.nn.PairwiseDistance(1.0), (4, 5), (4, 5))


def test_vectors_of_zeros_have_finite_gradients():
    x = gg.zeros(2, 3, requires_grad=True)
    (F.normalize(x).sum() + F.cosine_similarity(x, gg.ones(2, 3)).sum() + F.pairwise_distance(x, x).sum()).backward()
    assert np.isfinite(x.grad.numpy()).all()


def test_gates_need_two_halves():
    with pytest.raises(ValueError, match=r"\[glu\] axis 1 of \(2, 5\) has no halves"):
        F.glu(gg.ones(2, 5))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_dropout_of_channels(axes):
    gg.manual_seed(0)
    size = (4, 3, 2)[:axes]
    layer = getattr(nn, f"Dropout{axes}d")(0.25)
    x = gg.ones(64, 32, *size, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    seen = y.detach().numpy().reshape(64 * 32, -1)
    assert (seen == seen[:, :1]).all(), "a channel is kept or dropped as a whole"
    np.testing.assert_allclose(np.unique(seen), [0, 4 / 3], rtol=1e-6)
    assert abs((seen[:, 0] == 0).mean() - 0.25) < 0.05
    np.testing.assert_array_equal(x.grad.numpy().reshape(seen.shape), seen)
    assert layer(gg.ones(32, *size)).shape == (32, *size)
    assert (layer.eval()(x).detach().numpy() == 1).all()
    with pytest.raises(ValueError, match=rf"\[dropout{axes}d\] input has shape \(3,\)"):
        layer(gg.ones(3))
