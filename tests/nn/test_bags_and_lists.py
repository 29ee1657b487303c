"""Bags of embeddings, bilinear maps, lists and dictionaries of parameters: PyTorch's results, and their definitions."""

import itertools

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from tests.nn.test_losses import same

NUMBERS = np.array([4, 1, 4, 0, 2, 2, 3, 1])
MODES = ("sum", "mean", "max")


@pytest.mark.peers
@pytest.mark.parametrize("mode", MODES)
def test_bags_are_pytorchs(mode, torch, rng):
    weight, factors = rng.normal(size=(5, 3)), rng.normal(size=8)

    def both(numbers, offsets=None, **options):
        given = None if offsets is None else torch.tensor(offsets)
        same(
            lambda w: F.embedding_bag(gg.tensor(numbers), w, offsets, mode=mode, **options),
            lambda w: torch.nn.functional.embedding_bag(torch.tensor(numbers), w, given, mode=mode, **options),
            [weight],
            torch,
            rng,
        )

    for padding in (None, 4, -3):
        options = {"padding_idx": padding}
        both(NUMBERS.reshape(2, 4), **options)
        for offsets in ([0, 3, 3, 6], [0], [0, 0, 8, 8], [0, 1, 2, 3, 4, 5, 6, 7]):
            both(NUMBERS, np.array(offsets), **options)
        both(NUMBERS, np.array([0, 3, 3, 8]), include_last_offset=True, **options)
    if mode == "sum":
        same(
            lambda w, f: F.embedding_bag(NUMBERS, w, np.array([0, 3, 3]), mode="sum", per_sample_weights=f),
            lambda w, f: torch.nn.functional.embedding_bag(
                torch.tensor(NUMBERS), w, torch.tensor([0, 3, 3]), mode="sum", per_sample_weights=f
            ),
            [weight, factors],
            torch,
            rng,
        )


def test_a_row_that_comes_often_can_learn_as_slowly_as_the_others():
    """PyTorch's own bags divide by the frequency of another row (2.13); its `embedding` does not."""
    w = gg.ones(5, 2, requires_grad=True)
    F.embedding_bag(NUMBERS, w, [0, 3], mode="sum", scale_grad_by_freq=True).sum().backward()
    assert w.grad.tolist() == [[1, 1]] * 5


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [None, 2])
def test_a_bag_is_its_rows_put_together(mode, padding, rng):
    weight, offsets = rng.normal(size=(5, 3)), np.array([0, 3, 3, 4])
    have = F.embedding_bag(NUMBERS, weight, offsets, mode=mode, padding_idx=padding)
    for bag, part in zip(have, np.split(NUMBERS, offsets[1:]), strict=True):
        rows = weight[part[part != padding]]
        want = getattr(np, mode)(rows, axis=0) if len(rows) else np.zeros(3)
        np.testing.assert_allclose(bag, want, rtol=1e-12)
    gg.check_grads(lambda w: F.embedding_bag(NUMBERS, w, offsets, mode=mode, padding_idx=padding), (weight,), order=2)


def test_what_is_padding_may_be_anything():
    weight = np.array([[1.0, 2.0], [np.nan, np.inf]])
    for mode, given in itertools.product(MODES, ((np.array([[0, 1]]), None), (np.array([0, 1]), [0]))):
        assert F.embedding_bag(given[0], weight, given[1], mode=mode, padding_idx=1).tolist() == [[1, 2]]


def test_what_ends_before_the_input_leaves_the_rest_out():
    have = F.embedding_bag(np.array([0, 1, 1]), np.eye(2), np.array([0, 1, 2]), mode="sum", include_last_offset=True)
    assert have.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ((NUMBERS,), {}, r"input has shape \(8,\), without offsets"),
        ((NUMBERS.reshape(2, 4), np.array([0])), {}, r"input has shape \(2, 4\), with offsets"),
        ((NUMBERS, np.array([1, 2])), {}, r"offsets = \[1, 2\] for 8 numbers; expected 0 first"),
        ((NUMBERS, np.array([0, 3, 2])), {}, "no smaller one after a larger"),
        ((NUMBERS, np.array([0, 9])), {}, "none beyond the input"),
        ((NUMBERS, np.array([[0]])), {}, r"offsets has shape \(1, 1\)"),
        ((NUMBERS, np.array([0])), {"mode": "median"}, "mode = 'median'"),
        ((NUMBERS, np.array([0])), {"padding_idx": 5}, "padding_idx = 5; expected one of 5 rows"),
        ((NUMBERS, np.array([0])), {"per_sample_weights": np.ones(8)}, 'mode "sum"'),
    ],
)
def test_bags_that_do_not_fit_are_refused(given, options, message):
    numbers, *offsets = given
    with pytest.raises(ValueError, match=message):
        F.embedding_bag(numbers, gg.ones(5, 2), *offsets, **options)


def test_the_layer_is_the_function(rng):
    layer = nn.EmbeddingBag(5, 3, mode="sum", padding_idx=-1, include_last_offset=True)
    assert repr(layer) == "EmbeddingBag(5, 3, mode='sum', padding_idx=4)"
    assert layer.weight.data[4].tolist() == [0, 0, 0]
    offsets, factors = gg.tensor([0, 2, 8]), gg.tensor(rng.normal(size=8).astype(np.float32))
    have = layer(gg.tensor(NUMBERS), offsets, factors)
    options = {"mode": "sum", "include_last_offset": True, "padding_idx": 4, "per_sample_weights": factors}
    want = F.embedding_bag(NUMBERS, layer.weight, offsets, **options)
    np.testing.assert_array_equal(have.detach().data, want.detach().data)
    have.sum().backward()
    assert layer.weight.grad.data[4].tolist() == [0, 0, 0]
    rows = rng.normal(size=(4, 2))
    again = nn.EmbeddingBag.from_pretrained(rows, mode="max")
    assert again.weight.data is rows
    assert not again.weight.requires_grad
    assert again.mode == "max"
    with pytest.raises(ValueError, match="padding_idx = 5"):
        nn.EmbeddingBag(5, 3, padding_idx=5)


# ---- bilinear maps


@pytest.mark.peers
def test_bilinear_maps_are_pytorchs(torch, rng):
    x, y, w, b = (rng.normal(size=s) for s in ((4, 2, 3), (4, 2, 5), (6, 3, 5), (6,)))
    same(F.bilinear, torch.nn.functional.bilinear, [x, y, w, b], torch, rng)
    same(F.bilinear, torch.nn.functional.bilinear, [x[0, 0], y[0, 0], w], torch, rng)


def test_a_bilinear_layer_is_a_form_for_each_output(rng):
    layer = nn.Bilinear(3, 5, 6, dtype=gg.float64)
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 5))
    want = np.einsum("ni,oij,nj->no", x, layer.weight.data, y) + layer.bias.data
    np.testing.assert_allclose(layer(x, y).detach().data, want, rtol=1e-12)
    assert np.abs(layer.weight.data).max() <= 3**-0.5
    assert repr(layer) == "Bilinear(in1_features=3, in2_features=5, out_features=6, bias=True)"
    assert nn.Bilinear(3, 5, 6, bias=False).bias is None
    with pytest.raises(ValueError, match=r"input1 has shape \(4, 3\), input2 \(5,\), weight \(6, 3, 5\)"):
        F.bilinear(x, y[0], layer.weight)


# ---- lists and dictionaries of parameters


def test_lists_of_parameters_have_the_manners_of_a_list():
    scales = nn.ParameterList([gg.ones(2), np.zeros(3), nn.Parameter([4.0])])
    assert [p.shape for p in scales] == [(2,), (3,), (1,)]
    assert all(isinstance(p, nn.Parameter) for p in scales)
    scales.insert(1, gg.full((5,), 2.0))
    assert [p.shape for p in scales] == [(2,), (5,), (3,), (1,)]
    del scales[0]
    scales[0] = nn.Parameter([1.0, 2.0])
    assert [name for name, _ in scales.named_parameters()] == ["0", "1", "2"]
    assert [p.shape for p in scales[1:]] == [(3,), (1,)]
    assert scales.append(gg.ones(1)).extend([gg.ones(2)])[-1].shape == (2,)
    assert len(scales) == 5
    assert repr(nn.ParameterList([gg.ones(2)])) == "ParameterList(\n  (0): Parameter (2,) float32\n)"
    with pytest.raises(IndexError, match=r"index = 9 of 5 parameters"):
        scales[9]
    with pytest.raises(TypeError, match=r"\[ParameterList\] got a str; expected a Parameter, a tensor or an array"):
        scales.append("w")


def test_dictionaries_of_parameters_have_the_manners_of_a_dictionary():
    named = nn.ParameterDict({"a": gg.ones(2), "b": np.zeros(3, np.float32)})
    assert named.keys() == list(named) == ["a", "b"]
    named.update([("c", gg.ones(1))])
    assert [p.shape for p in named.values()] == [(2,), (3,), (1,)]
    assert "c" in named
    assert named.pop("c").shape == (1,)
    assert "c" not in named
    assert len(named) == 2
    assert repr(named) == "ParameterDict(\n  (a): Parameter (2,) float32\n  (b): Parameter (3,) float32\n)"
    with pytest.raises(KeyError, match="no parameter 'c'; there are a, b"):
        named["c"]
    named.clear()
    assert named.items() == []


def test_they_belong_to_their_module_and_train():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.scales = nn.ParameterList([gg.ones(2), gg.ones(2)])
            self.named = nn.ParameterDict({"shift": gg.zeros(2)})

        def forward(self, x):
            for scale in self.scales:
                x = x * scale
            return x + self.named["shift"]

    model = Scaled()
    assert list(model.state_dict()) == ["scales.0", "scales.1", "named.shift"]
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1)
    model(gg.ones(3, 2)).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(model.scales[0].data, 0.7, rtol=1e-6)
    np.testing.assert_allclose(model.named["shift"].data, -0.3, rtol=1e-6)
    other = Scaled()
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other.scales[1].data, model.scales[1].data)
    assert model.double().scales[0].dtype == np.float64
