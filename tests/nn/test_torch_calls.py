"""Functions of `nn.functional` called as PyTorch's programs call them."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from gpugrad.nn.torch_calls import THEIRS


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((4, 3, 6))


# A function, its arguments after the operand as PyTorch takes them, and the same for ours.
CALLS = {
    "relu": ({"inplace": True}, {}),
    "elu": ({"alpha": 0.5, "inplace": False}, {"alpha": 0.5}),
    "hardtanh": ({"min_val": -0.3, "max_val": 0.2, "inplace": True}, {"min_val": -0.3, "max_val": 0.2}),
    "threshold": ({"threshold": 0.1, "value": 2.0, "inplace": True}, {"threshold": 0.1, "value": 2.0}),
    "softplus": ({"beta": 2.0, "threshold": 5.0}, {"beta": 2.0, "threshold": 5.0}),
    "gelu": ({"approximate": "tanh"}, {"approximate": "tanh"}),
    "softmax": ({"dim": 1, "_stacklevel": 3, "dtype": None}, {"axis": 1}),
    "log_softmax": ({"dim": 1, "dtype": np.float64}, {"axis": 1}),
    "softmin": ({"dim": 1}, {"dim": 1}),
    "glu": ({"dim": 2}, {"dim": 2}),
    "dropout": ({"p": 0.5, "training": False, "inplace": True}, {"training": False}),
    "layer_norm": ({"normalized_shape": (6,), "weight": None, "bias": None}, {"normalized_shape": (6,)}),
    "linear": ({"weight": np.ones((2, 6)), "bias": np.ones(2)}, {"weight": np.ones((2, 6)), "bias": np.ones(2)}),
    "mse_loss": ({"target": 0.5, "size_average": None, "reduce": None, "reduction": "sum"}, {"reduction": "sum"}),
}


@pytest.mark.parametrize("name", CALLS)
def test_by_name_and_by_position(name, x):
    theirs, ours = CALLS[name]
    if name == "mse_loss":
        theirs, ours = theirs | {"target": x / 2}, ours | {"target": x / 2}
    function = getattr(F, name)
    expected = function(x, **ours)
    np.testing.assert_array_equal(function(input=x, **theirs), expected)
    np.testing.assert_array_equal(function(x, **theirs), expected)
    np.testing.assert_array_equal(function(x, *theirs.values()), expected)


def test_losses_take_pytorchs_order(x):
    scores, labels, weight = x[:, :, 0], np.array([0, 2, 1, 2]), np.array([1.0, 2.0, 3.0])
    given = F.cross_entropy(scores, labels, weight, None, 1, None, "sum", 0.1)
    expected = F.cross_entropy(scores, labels, weight=weight, ignore_index=1, reduction="sum", label_smoothing=0.1)
    assert float(given) == float(expected)
    assert float(F.l1_loss(scores, scores / 2, "sum")) == float(F.l1_loss(scores, scores / 2, reduction="sum"))


def test_the_result_has_a_dtype_that_is_asked_for(x):
    assert F.softmax(gg.tensor(x.astype(np.float32)), dim=-1, dtype=np.float64).dtype == np.float64


def test_a_result_is_never_written_over_its_operand(x):
    before = x.copy()
    t = gg.tensor(x, requires_grad=True)
    assert F.relu(t, inplace=True) is not t
    np.testing.assert_array_equal(t.detach().numpy(), before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: F.mse_loss(x, x, size_average=True), r'\[mse_loss\] size_average = True is not supp'),
        (lambda x: F.nll_loss(x, x, None, False), r"\[nll_loss\] size_average = False"),
        (lambda x: F.mse_loss(x, x, weight=x), r'\[mse_loss\] weight = ndarray .* multiply the losses'),
        (lambda x: F.softmax(x, dim=None, dtype=None), r"\[softmax\] dim = None; say along which axis"),
        (lambda x: F.relu(x, slope=1), r"\[relu\] takes \(x\); got 1 by position and 'slope'"),
        (lambda x: F.relu(), r"relu"),
        (lambda x: F.relu(x, False, 3), r"\[relu\] takes"),
        (lambda x: F.linear(x, 1.0, None, None), r"takes from 2 to 3 positional arguments"),
    ],
)  # fmt: skip
def test_what_neither_takes_is_refused_in_our_words(call, words, x):
    with pytest.raises(TypeError, match=words):
        call(x)


def test_derivatives_go_through_a_call_of_that_kind(x):
    gg.check_grads(lambda t: F.softmax(F.softplus(input=t, beta=2.0), dim=1, dtype=None), (x,), order=2)


def test_every_function_of_the_table_is_there():
    assert set(THEIRS) <= set(F.__all__)
