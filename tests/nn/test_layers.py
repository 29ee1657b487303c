"""Layers, activations and initialisers: against PyTorch where it is installed, and against their definitions."""

import math

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from gpugrad.nn import init

ACTIVATIONS = [
    ("ReLU", {}), ("ReLU6", {}), ("LeakyReLU", {"negative_slope": 0.1}), ("PReLU", {}),
    ("PReLU", {"num_parameters": 3}),
    ("ELU", {"alpha": 0.7}), ("SELU", {}), ("CELU", {"alpha": 1.3}), ("GELU", {}), ("GELU", {"approximate": "tanh"}),
    ("SiLU", {}), ("Mish", {}), ("Softplus", {"beta": 2.0, "threshold": 3.0}), ("Sigmoid", {}), ("LogSigmoid", {}),
    ("Tanh", {}), ("Hardtanh", {"min_val": -0.5, "max_val": 2.0}), ("Hardsigmoid", {}), ("Hardswish", {}),
    ("Softsign", {}), ("Threshold", {"threshold": 0.2, "value": -1.0}), ("Softmax", {"dim": 1}),
    ("LogSoftmax", {"dim": -1}),
]  # fmt: skip
OTHERS = [
    ("LayerNorm", {"normalized_shape": (3, 4)}), ("LayerNorm", {"normalized_shape": 4, "eps": 1e-3}),
    ("LayerNorm", {"normalized_shape": 4, "elementwise_affine": False}),
    ("LayerNorm", {"normalized_shape": 4, "bias": False}), ("RMSNorm", {"normalized_shape": 4}),
    ("RMSNorm", {"normalized_shape": (3, 4), "eps": 1e-2}), ("Linear", {"in_features": 4, "out_features": 5}),
    ("Linear", {"in_features": 4, "out_features": 5, "bias": False}), ("Flatten", {}),
    ("Flatten", {"start_dim": 0, "end_dim": 1}), ("Unflatten", {"dim": 2, "unflattened_size": (2, -1)}),
    ("Identity", {}),
]  # fmt: skip


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS + OTHERS, ids=str)
def test_module_equals_pytorchs_forward_and_backward(name, options, torch, rng):
    ours = getattr(nn, name)(**options).double()
    theirs = getattr(torch.nn, name)(**options).double()
    ours.load_state_dict({k: v.numpy() + 0.1 for k, v in theirs.state_dict().items()})
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    array = rng.normal(size=(2, 3, 4)) * 3
    x, t = gg.tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, z = ours(x), theirs(t)
    rtol = 1e-7 if name in ("CELU", "Hardsigmoid") else 1e-9  # PyTorch rounds their constants to float32
    np.testing.assert_allclose(y.detach().data, z.detach(), rtol=rtol, atol=1e-11)
    g = rng.normal(size=y.shape)
    y.backward(gg.tensor(g))
    z.backward(torch.tensor(g))
    np.testing.assert_allclose(x.grad.data, t.grad, rtol=rtol, atol=1e-11)
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad, rtol=rtol, atol=1e-11)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_module_takes_pytorchs_arguments_in_its_order(name, options, torch):
    values = list(options.values())
    assert vars(getattr(nn, name)(*values)).keys() >= options.keys()
    getattr(torch.nn, name)(*values)


def test_sin_and_step_are_their_functions():
    x = gg.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    np.testing.assert_allclose(nn.Sin()(x).detach().data, np.sin([-1.0, 0.0, 2.0]).astype(np.float32), rtol=1e-6)
    y = nn.Step()(x)
    np.testing.assert_array_equal(y.detach().data, [0, 0, 1])
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0, 0, 0])


def test_activation_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="min_val = 1"):
        nn.Hardtanh(1, 0)
    with pytest.raises(ValueError, match="approximate = 'erf'"):
        nn.GELU("erf")
    with pytest.raises(ValueError, match="2 slopes, x has 3 channels"):
        nn.PReLU(2)(gg.ones(4, 3))


def test_inplace_is_taken_and_leaves_the_input_alone():
    x = gg.tensor([-1.0, 1.0])
    nn.ReLU(inplace=True)(x)
    np.testing.assert_array_equal(x.data, [-1, 1])


# ---- maxout and dropout


def test_maxout_is_the_largest_of_its_pieces():
    layer = nn.Maxout(2, 1, 2)
    layer.load_state_dict({"linear.weight": [[1.0, 0.0], [-1.0, 0.0]], "linear.bias": [0.0, 0.0]})
    np.testing.assert_array_equal(layer(gg.tensor([[-3.0, 5.0], [2.0, 0.0]])).detach().data, [[3], [2]])
    assert repr(layer).startswith("Maxout(\n  out_features=1, pieces=2\n  (linear): Linear(")


def test_maxout_pieces_that_tie_share_the_gradient():
    x = gg.tensor([1.0, 1.0, 0.0, 5.0, 2.0, 5.0], requires_grad=True)
    F.maxout(x, 3).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [0.5, 0.5, 0, 0.5, 0, 0.5])
    with pytest.raises(ValueError, match="length 6, pieces = 4"):
        F.maxout(x, 4)


def test_dropout_keeps_the_mean_and_its_gradient_has_the_same_mask():
    gg.manual_seed(3)
    x = gg.ones(200, 500, requires_grad=True)
    y = F.dropout(x, 0.3)
    kept = y.detach().data != 0
    assert abs(kept.mean() - 0.7) < 0.005
    np.testing.assert_allclose(y.detach().data[kept], 1 / 0.7, rtol=1e-6)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.detach().data)


def test_dropout_follows_the_seed_and_draws_a_new_mask_each_time():
    layer = nn.Dropout(0.5)
    gg.manual_seed(1)
    first, second = layer(gg.ones(100)).data, layer(gg.ones(100)).data
    gg.manual_seed(1)
    np.testing.assert_array_equal(layer(gg.ones(100)).data, first)
    assert (first != second).any()


def test_dropout_outside_training_is_the_identity_and_p_1_gives_zeros():
    x = gg.ones(3, requires_grad=True)
    assert nn.Dropout(0.5).eval()(x) is x
    y = F.dropout(x, 1.0)
    y.sum().backward()
    np.testing.assert_array_equal(y.detach().data, np.zeros(3))
    np.testing.assert_array_equal(x.grad.data, np.zeros(3))


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="p = "):
        nn.Dropout(p)
    with pytest.raises(ValueError, match="p = "):
        F.dropout(gg.ones(2), p)


def test_dropout_keeps_no_mask():
    y = F.dropout(gg.ones(10, requires_grad=True), 0.5)
    assert not any(isinstance(v, np.ndarray) for v in y._node.saved)


# ---- the rest of functional


def test_softmax_and_logsumexp_do_not_overflow():
    x = gg.tensor([[1000.0, 0.0], [-1000.0, -1000.0], [-math.inf, 0.0]])
    np.testing.assert_array_equal(F.softmax(x).data, [[1, 0], [0.5, 0.5], [0, 1]])
    np.testing.assert_allclose(F.logsumexp(x, -1).data, [1000, -1000 + math.log(2), 0], rtol=1e-6)
    assert F.logsumexp(gg.tensor([-math.inf, -math.inf])).item() == -math.inf
    np.testing.assert_array_equal(F.log_softmax(x).data[0], [0, -1000])


def test_layer_norm_names_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(2, 3\), normalized_shape = \(4,\)"):
        nn.LayerNorm(4)(gg.ones(2, 3))
    with pytest.raises(TypeError, match=r"weight is float32.*x is float64"):
        nn.LayerNorm(3)(gg.ones(2, 3, dtype=gg.float64))
    with pytest.raises(ValueError, match="normalized_shape = 0"):
        nn.LayerNorm(0)


def test_one_hot():
    np.testing.assert_array_equal(F.one_hot(gg.tensor([0, 2])).data, [[1, 0, 0], [0, 0, 1]])
    assert F.one_hot(np.array([[1]]), 4).shape == (1, 1, 4)


def test_flatten_and_unflatten_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="start_dim = 2 lies behind"):
        F.flatten(gg.ones(2, 3, 4), 2, 1)
    with pytest.raises(ValueError, match="cannot be split"):
        F.unflatten(gg.ones(2, 6), 1, (4, 2))
    assert F.flatten(gg.tensor(1.0)).shape == (1,)


def test_functions_take_bare_arrays_and_give_them_back():
    x, w = np.ones((2, 3)), np.ones((4, 3))
    for result in (F.linear(x, w), F.softmax(x), F.layer_norm(x, 3), F.mse_loss(x, x), F.cross_entropy(x, [0, 1])):
        assert type(result) is np.ndarray


# ---- initialisers


def test_linear_starts_as_pytorchs():
    gg.manual_seed(0)
    layer = nn.Linear(400, 300)
    bound = 1 / math.sqrt(400)
    for values in (layer.weight.data, layer.bias.data):
        assert np.abs(values).max() <= bound
        assert abs(values.mean()) < bound / 10
        assert abs(values.std() - bound / math.sqrt(3)) < bound / 20
    gg.manual_seed(0)
    np.testing.assert_array_equal(nn.Linear(400, 300).weight.data, layer.weight.data)


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_linear_refuses_sizes_that_are_none(size):
    with pytest.raises(ValueError, match="in_features = "):
        nn.Linear(size, 2)
    with pytest.raises(ValueError, match="out_features = "):
        nn.Linear(2, size)


def test_linear_takes_a_dtype_and_follows_the_default():
    assert nn.Linear(2, 2, dtype=gg.float64).weight.dtype == np.float64
    gg.set_default_dtype(gg.float64)
    try:
        assert nn.Linear(2, 2).weight.dtype == np.float64
    finally:
        gg.set_default_dtype(gg.float32)
    with pytest.raises(TypeError, match="int32"):
        nn.Linear(2, 2, dtype="int32")


@pytest.mark.parametrize(
    ("function", "options", "std"),
    [
        (init.xavier_uniform_, {"gain": 2.0}, 2 * math.sqrt(2 / 700)),
        (init.xavier_normal_, {}, math.sqrt(2 / 700)),
        (init.kaiming_uniform_, {"nonlinearity": "relu"}, math.sqrt(2 / 300)),
        (init.kaiming_normal_, {"nonlinearity": "relu", "mode": "fan_out"}, math.sqrt(2 / 400)),
        (init.kaiming_normal_, {"a": 1.0}, math.sqrt(1 / 300)),
        (init.normal_, {"std": 3.0}, 3.0),
        (init.uniform_, {"a": -1.0, "b": 1.0}, 1 / math.sqrt(3)),
    ],
)
def test_initialisers_have_the_variance_of_their_formula(function, options, std):
    gg.manual_seed(2)
    weight = nn.Parameter(gg.zeros(400, 300))
    assert function(weight, **options) is weight
    assert abs(weight.data.std() / std - 1) < 0.02
    assert abs(weight.data.mean()) < std / 50
    assert weight.requires_grad


def test_initialisers_with_one_answer():
    weight = nn.Parameter(gg.zeros(2, 3))
    assert (init.ones_(weight).data == 1).all()
    assert (init.constant_(weight, 2.5).data == 2.5).all()
    assert (init.zeros_(weight).data == 0).all()
    np.testing.assert_array_equal(init.eye_(weight).data, np.eye(2, 3))


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5), (3, 2, 4)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape):
    flat = init.orthogonal_(nn.Parameter(gg.zeros(*shape, dtype=gg.float64)), gain=2.0).data.reshape(shape[0], -1)
    square = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    np.testing.assert_allclose(square, 4 * np.eye(len(square)), atol=1e-12)


def test_initialisers_say_what_they_cannot_do():
    vector = nn.Parameter(gg.zeros(3))
    with pytest.raises(ValueError, match=r"\[xavier_normal_\] tensor has shape \(3,\)"):
        init.xavier_normal_(vector)
    with pytest.raises(ValueError, match="exactly 2 axes"):
        init.eye_(vector)
    with pytest.raises(ValueError, match="std = -1"):
        init.normal_(vector, std=-1)
    with pytest.raises(ValueError, match="a = 1, b = 0"):
        init.uniform_(vector, 1, 0)
    with pytest.raises(ValueError, match="nonlinearity = 'swish'"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="mode = 'fan'"):
        init.kaiming_normal_(nn.Parameter(gg.zeros(2, 2)), mode="fan")
    with pytest.raises(TypeError, match="int64"):
        init.zeros_(gg.tensor([1]))
    with pytest.raises(TypeError, match="got a list"):
        init.zeros_([0.0, 1.0])


@pytest.mark.peers
@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu", "conv2d"])
def test_gains_are_pytorchs(name, torch):
    assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


def test_initialising_after_a_forward_is_caught_by_backward():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    loss = model(gg.ones(1, 2)).sum()
    init.zeros_(model[1].weight)
    with pytest.raises(gg.GradientError, match="constant_"):
        loss.backward()
