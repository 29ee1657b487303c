"""What a module is made of: names, depth, sharing, saving and loading, moving, modes, and how it prints."""

import copy
import pickle

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.scale = nn.Parameter(gg.ones(width))
        self.register_buffer("count", gg.zeros(1))

    def forward(self, x):
        return self.inner(x) * self.scale


def nested(depth):
    module = nn.Linear(2, 2)
    for _ in range(depth):
        module = nn.Sequential(module)
    return module


def test_parameters_come_own_first_then_those_of_children_in_order():
    names = [name for name, _ in Block(2).named_parameters()]
    assert names == ["scale", "inner.0.weight", "inner.0.bias"]
    assert [name for name, _ in Block(2).named_buffers()] == ["count"]
    assert [name for name, _ in Block(2).named_modules()] == ["", "inner", "inner.0", "inner.1"]
    assert [name for name, _ in Block(2).named_parameters(recurse=False)] == ["scale"]


def test_a_module_inside_a_module_works_to_any_depth():
    deep = nested(60)
    x = gg.ones(1, 2, requires_grad=True)
    deep(x).sum().backward()
    assert [name for name, _ in deep.named_parameters()] == ["0." * 60 + "weight", "0." * 60 + "bias"]
    assert all(p.grad is not None for p in deep.parameters())
    assert len(list(nested(5000).parameters())) == 2  # counting does not recurse


def test_a_shared_parameter_counts_once_but_is_saved_under_each_name():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert len(list(model.parameters())) == 3
    assert len(list(model.named_parameters(remove_duplicate=False))) == 4
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    shared = nn.Sequential(model[0], model[0])
    assert len(list(shared.modules())) == 2


def test_none_takes_the_place_of_a_parameter():
    layer = nn.Linear(2, 2, bias=False)
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    layer.register_parameter("bias", nn.Parameter([1.0, 2.0]))
    np.testing.assert_array_equal(layer(gg.zeros(1, 2)).detach().data, [[1.0, 2.0]])
    del layer.bias
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_a_parameter_cannot_be_replaced_by_a_tensor_in_silence():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"\[Linear.weight\] cannot assign a Tensor.*Parameter"):
        layer.weight = layer.weight * 0.5
    with pytest.raises(TypeError, match="Module"):
        nn.Sequential(layer).__setattr__("0", 3)


@pytest.mark.parametrize("name", ["", "a.b", "forward", "training"])
def test_names_that_cannot_be_attributes_are_refused(name):
    with pytest.raises(ValueError, match="name = "):
        nn.Module().add_module(name, nn.Identity())
    with pytest.raises(ValueError, match="name = "):
        nn.Module().register_parameter(name, None)


def test_registering_takes_only_what_it_says():
    module = nn.Module()
    with pytest.raises(TypeError, match="expected a Parameter"):
        module.register_parameter("w", gg.ones(2))
    with pytest.raises(TypeError, match="expected a Tensor"):
        module.register_buffer("b", np.ones(2))
    with pytest.raises(TypeError, match="expected a Module"):
        module.add_module("m", gg.ones(2))


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match=r"\[ModuleList\] defines no forward"):
        nn.ModuleList()(1)


# ---- state


def test_state_dict_shares_memory_and_has_persistent_buffers_only():
    block = Block(2)
    block.register_buffer("scratch", gg.zeros(1), persistent=False)
    state = block.state_dict()
    assert list(state) == ["scale", "count", "inner.0.weight", "inner.0.bias"]
    assert not state["scale"].requires_grad
    assert state["scale"].data is block.scale.data


def test_loading_copies_values_and_keeps_parameters_dtypes_and_devices():
    source, target = Block(3).double(), Block(3)
    weight = target.inner[0].weight
    keys = target.load_state_dict(source.state_dict())
    assert keys == ([], [])
    assert target.inner[0].weight is weight
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight.data, source.inner[0].weight.data, rtol=1e-6)
    assert not np.shares_memory(weight.data, source.inner[0].weight.data)


def test_loading_lists_everything_that_is_wrong_and_loads_nothing():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    before = {name: value.data.copy() for name, value in model.state_dict().items()}
    state = {"0.weight": np.zeros((3, 2)), "0.bias": np.zeros(2), "1.weight": np.zeros((1, 2)), "2.bias": np.zeros(4)}
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    assert "missing: 1.bias (1,) float32" in text
    assert "not in the module: 2.bias (4,)" in text
    assert "wrong shape: 0.weight (3, 2); expected (2, 3)" in text
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.data, before[name])


def test_tensors_that_are_not_the_modules_are_listed_with_their_shapes():
    state = nn.Linear(2, 2).state_dict() | {"other": gg.ones(2, 3, requires_grad=True)}
    with pytest.raises(ValueError, match=r"not in the module: other \(2, 3\)"):
        nn.Linear(2, 2).load_state_dict(state)


def test_loading_without_strict_takes_what_matches():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    missing, unexpected = model.load_state_dict({"0.bias": np.array([1.0, 2.0]), "x": np.zeros(1)}, strict=False)
    assert missing == ["0.weight", "1.weight", "1.bias"]
    assert unexpected == ["x"]
    np.testing.assert_array_equal(model[0].bias.data, [1, 2])
    with pytest.raises(ValueError, match=r"wrong shape: 0.bias"):
        model.load_state_dict({"0.bias": np.zeros(3)}, strict=False)


def test_loading_after_a_forward_is_caught_by_backward():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    loss = model(gg.ones(1, 2)).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(gg.GradientError, match="load_state_dict"):
        loss.backward()


@pytest.mark.peers
def test_weights_travel_to_and_from_pytorch(torch, rng):
    ours = nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Tanh(), nn.PReLU(), nn.Linear(5, 2))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.LayerNorm(5), torch.nn.Tanh(), torch.nn.PReLU(), torch.nn.Linear(5, 2)
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = rng.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_allclose(ours(gg.tensor(x)).detach().data, theirs(torch.tensor(x)).detach(), rtol=2e-5, atol=1e-6)
    ours.load_state_dict(theirs.state_dict())  # PyTorch's tensors as they are
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})


def test_a_module_can_be_copied_and_pickled():
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.2)).eval()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(other[0].weight, nn.Parameter)
        assert not other[1].training
        assert other[0].weight.data is not model[0].weight.data
        np.testing.assert_array_equal(other[0].weight.data, model[0].weight.data)


# ---- changing all of it


def test_train_and_eval_reach_every_module():
    block = Block(2)
    assert block.training
    assert not any(m.training for m in block.eval().modules())
    assert all(m.training for m in block.train().modules())


def test_conversion_keeps_the_parameter_objects_and_their_gradients():
    layer = nn.Linear(2, 2)
    layer(gg.ones(1, 2)).sum().backward()
    weight = layer.weight
    layer.double()
    assert layer.weight is weight
    assert weight.dtype == weight.grad.dtype == np.float64
    layer(gg.ones(1, 2, dtype=gg.float64)).sum().backward()
    np.testing.assert_array_equal(weight.grad.data, np.full((2, 2), 2.0))
    assert layer.float().weight.dtype == np.float32
    assert layer.to(gg.float64).bias.dtype == np.float64
    assert layer.to("cpu", gg.float32).weight.dtype == np.float32
    assert layer.cpu() is layer
    assert layer.half().weight.dtype == np.float16


def test_conversion_leaves_integer_buffers_alone_and_refuses_integer_dtypes():
    module = nn.Module()
    module.register_buffer("steps", gg.tensor([3]))
    assert module.double().steps.dtype == np.int64
    with pytest.raises(TypeError, match="int64"):
        module.to(gg.int64)
    with pytest.raises(TypeError, match="unknown 'where'"):
        module.to(where="cpu")


def test_apply_visits_children_first():
    seen = []
    Block(2).apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Linear", "ReLU", "Sequential", "Block"]


def test_freezing_and_zeroing_gradients():
    layer = nn.Linear(2, 2)
    layer(gg.ones(1, 2)).sum().backward()
    layer.zero_grad(set_to_none=False)
    np.testing.assert_array_equal(layer.weight.grad.data, np.zeros((2, 2)))
    layer.zero_grad()
    assert layer.weight.grad is None
    layer.requires_grad_(False)
    assert not layer(gg.ones(1, 2)).requires_grad


# ---- containers and printing


def test_repr_is_like_pytorchs():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 1, bias=False), nn.LeakyReLU(0.2)))
    assert repr(model) == (
        "Sequential(\n"
        "  (0): Linear(in_features=4, out_features=3, bias=True)\n"
        "  (1): ReLU()\n"
        "  (2): Sequential(\n"
        "    (0): Linear(in_features=3, out_features=1, bias=False)\n"
        "    (1): LeakyReLU(negative_slope=0.2)\n"
        "  )\n"
        ")"
    )
    assert repr(nn.Parameter([1.0])).startswith("Parameter containing:\ntensor([1.")


def test_sequential_is_a_list():
    a, b, c = nn.Linear(2, 2), nn.ReLU(), nn.Tanh()
    model = nn.Sequential(a, b)
    model.append(c)
    assert [model[0], model[-1], len(model), list(model)] == [a, c, 3, [a, b, c]]
    assert list(model[1:]) == [b, c]
    model[1] = c
    assert list(model) == [a, c, c]
    del model[0]
    assert list(model) == [c, c]
    model.insert(1, a)
    assert [name for name, _ in model.named_parameters()] == ["1.weight", "1.bias"]
    with pytest.raises(IndexError, match="index = 3 of 3"):
        model[3]


def test_sequential_takes_names():
    model = nn.Sequential({"first": nn.Linear(2, 3), "last": nn.Linear(3, 1)})
    assert list(model.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert model(gg.ones(4, 2)).shape == (4, 1)
    assert model.get_submodule("last") is model.last
    with pytest.raises(AttributeError, match="no module 'middle'"):
        model.get_submodule("middle")


def test_lists_and_dictionaries_of_modules_count():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.some = nn.ModuleList([nn.Linear(1, 1)]).extend([nn.Linear(1, 1)])
            self.named = nn.ModuleDict({"a": nn.Linear(1, 1)})

    many = Many()
    assert len(list(many.parameters())) == 6
    assert list(many.named) == ["a"]
    assert "a" in many.named
    many.named["b"] = nn.Identity()
    assert len(many.named) == 2
    del many.named["a"]
    with pytest.raises(KeyError, match="no module 'a'; there are b"):
        many.named["a"]


def test_a_float64_batch_into_a_float32_layer_names_both_and_the_way_out():
    with pytest.raises(TypeError, match=r"float64.*float32.*astype\('float32'\).*float64"):
        nn.Linear(3, 2)(gg.ones(4, 3, dtype=gg.float64))


def test_a_batch_of_another_width_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(4, 5\).*\(2, 3\)"):
        nn.Linear(3, 2)(gg.ones(4, 5))
