"""Tensors: made from data, printed, moved, converted, and refused where a bare array would cut the graph."""

import copy
import pickle

import numpy as np
import pytest

import gpugrad as gg


def test_python_data_are_float32_and_integers_int64():
    assert gg.tensor([1.0, 2]).dtype == np.float32
    assert gg.tensor([1, 2]).dtype == np.int64
    assert gg.tensor([True]).dtype == np.bool_
    assert gg.tensor(1.5).shape == ()
    assert gg.tensor([[1j]]).dtype == np.complex64


def test_default_dtype_can_be_set():
    gg.set_default_dtype(gg.float64)
    try:
        assert gg.tensor([1.0]).dtype == np.float64
        assert gg.zeros(3).dtype == np.float64
    finally:
        gg.set_default_dtype(gg.float32)
    with pytest.raises(TypeError, match="set_default_dtype"):
        gg.set_default_dtype(np.int32)


def test_tensor_copies_and_asarray_shares():
    a = np.zeros(3)
    gg.tensor(a).data[0] = 1
    assert a[0] == 0
    gg.asarray(a).data[0] = 1
    assert a[0] == 1
    assert gg.asarray(a).numpy() is a


@pytest.mark.parametrize("data", [[[1.0], [1.0, 2.0]], "abc", [object()]])
def test_data_that_are_no_numbers_are_refused(data):
    with pytest.raises((TypeError, ValueError)):
        gg.tensor(data)


def test_creation_functions_take_dtype_and_requires_grad():
    for make in (gg.zeros, gg.ones, gg.empty, gg.rand, gg.randn):
        for t in (make(2, 3, requires_grad=True), make((2, 3), dtype=gg.float64, requires_grad=True)):
            assert t.shape == (2, 3)
            assert t.requires_grad
            assert t.is_leaf
    assert gg.full((2,), 3).dtype == np.int64
    assert gg.full(2, 3.0).dtype == np.float32
    np.testing.assert_array_equal(gg.arange(5).data, np.arange(5))
    assert gg.arange(0, 1, 0.25).dtype == np.float32
    np.testing.assert_allclose(gg.linspace(-1, 1, 5, requires_grad=True).detach().numpy(), [-1, -0.5, 0, 0.5, 1])
    np.testing.assert_array_equal(gg.eye(2, 3).data, np.eye(2, 3))
    like = gg.ones(2, dtype=gg.float16)
    for make in (gg.zeros_like, gg.ones_like, gg.empty_like, gg.rand_like, gg.randn_like):
        assert make(like).dtype == np.float16
    assert gg.full_like(like, 7).data.tolist() == [7, 7]


def test_random_numbers_repeat_with_the_seed_and_follow_their_distribution():
    gg.manual_seed(3)
    first = (
        gg.randn(1000).numpy(),
        gg.randint(0, 10, (100,)).numpy(),
        gg.randperm(50).numpy(),
        gg.rand(1000).numpy(),
    )
    gg.manual_seed(3)
    again = (
        gg.randn(1000).numpy(),
        gg.randint(0, 10, (100,)).numpy(),
        gg.randperm(50).numpy(),
        gg.rand(1000).numpy(),
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert abs(first[0].mean()) < 0.15
    assert sorted(first[2]) == list(range(50))
    assert 0 <= first[3].min() < first[3].max() < 1
    with pytest.raises(ValueError, match="no integer"):
        gg.randint(3, 3)
    with pytest.raises(ValueError, match="seed"):
        gg.manual_seed(-1)


def test_repr_shows_dtype_and_gradient():
    assert repr(gg.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert "requires_grad=True" in repr(gg.tensor([1.0], requires_grad=True))
    assert "dtype=float64, node=exp" in repr(gg.exp(gg.tensor(np.ones(1), requires_grad=True)))


def test_conversions_to_python():
    t = gg.tensor([[2.0]])
    assert (float(t), int(t), bool(t), t.item(), t.tolist(), len(t)) == (2.0, 2, True, 2.0, [[2.0]], 1)
    assert [10, 20][gg.tensor(1)] == 20
    assert f"{t:.2f}" == "2.00"
    with pytest.raises(ValueError, match=r"\[item\].*\(2,\)"):
        gg.tensor([1.0, 2.0]).item()
    with pytest.raises(TypeError, match="index"):
        [1][gg.tensor(0.0)]


@pytest.mark.parametrize("export", [lambda t: t.numpy(), np.asarray, lambda t: t.__dlpack__(), np.from_dlpack])
def test_a_tensor_that_requires_a_gradient_never_decays_to_an_array(export):
    with pytest.raises(gg.GradientError, match="detach"):
        export(gg.tensor([1.0], requires_grad=True))
    assert export(gg.tensor([1.0])) is not None


def test_numpy_arrays_on_the_left_meet_the_tensor():
    t = gg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    out = np.array([3.0, 4.0]) * t + np.float64(1.0)
    assert isinstance(out, gg.Tensor)
    out.backward(np.ones(2))
    np.testing.assert_array_equal(t.grad.data, [3.0, 4.0])
    np.testing.assert_allclose(np.sin(t).data, np.sin([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"numpy.add.reduceat.*gradient rule"):
        np.add.reduceat(t, [0, 1])


def test_python_numbers_never_widen():
    t = gg.tensor(np.ones(3, np.float16), requires_grad=True)
    for out in (t * 2.5, 2.5 / t, t + 1, 1 - t, t**2.0, -t, gg.maximum(t, 0.0), gg.where(t > 0, t, 0.0)):
        assert out.dtype == np.float16
    x = gg.tensor([1.0, 2.0])
    assert (x * np.pi).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 5, 20_000])
def test_short_way_and_general_way_agree(dtype, size, rng):
    a, b = (rng.uniform(0.5, 2.0, size).astype(dtype) for _ in range(2))
    for op in (lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: p / q):
        for other in (b, 1.5, 2):
            x = gg.tensor(a, requires_grad=True)
            y = gg.tensor(other, requires_grad=True) if isinstance(other, np.ndarray) else other
            out = op(x, y)
            out.backward(np.ones(size, dtype))
            np.testing.assert_array_equal(out.data, op(a, other))
            assert x.grad.dtype == dtype
            if not isinstance(other, float | int):
                expected = gg.grad(lambda v, o=other, op=op: op(v, o).sum())(a.astype(np.float64))
                np.testing.assert_allclose(x.grad.data, expected, rtol=5e-3 if dtype == np.float16 else 1e-5)


def test_minus_zero_and_zero_are_different_numbers():
    x = gg.tensor(np.ones(1), requires_grad=True)
    assert np.signbit((x * -0.0).data[0])
    assert not np.signbit((x * 0.0).data[0])


def test_only_floating_point_tensors_can_require_a_gradient():
    with pytest.raises(TypeError, match=r"int64.*astype"):
        gg.tensor([1, 2], requires_grad=True)
    y = gg.tensor([1.0], requires_grad=True) * 2.0
    with pytest.raises(gg.GradientError, match="detach"):
        y.requires_grad = False


def test_detach_shares_and_clone_copies():
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    assert x.detach().data is x.data
    assert not x.detach().requires_grad
    c = gg.clone(x)
    assert c.data is not x.data
    c.backward(np.ones(2, np.float32))
    np.testing.assert_array_equal(x.grad.data, [1.0, 1.0])


def test_pickle_and_deepcopy_keep_values_and_requires_grad():
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    for other in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        np.testing.assert_array_equal(other.data, x.data)
        assert other.requires_grad
        assert other.data is not x.data
    with pytest.raises(gg.GradientError, match="detach"):
        copy.deepcopy(x * 2.0)


def test_devices_have_names_and_unknown_ones_are_refused():
    assert str(gg.device("cuda")) == "cuda:0"
    assert gg.device("cuda:1") == gg.device("cuda", 1) == gg.device(1) == "cuda:1"
    assert gg.device("cpu") == gg.tensor(1.0).device
    for bad in ("gpu", "cuda:-1", "cuda:x", -1, True, None):
        with pytest.raises(gg.DeviceError, match="names no device"):
            gg.device(bad)


def test_to_changes_dtype_and_keeps_the_gradient_path():
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    y = x.to(gg.float64)
    assert y.dtype == np.float64
    (y * y).backward(np.ones(2))
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.data, [2.0, 4.0])
    assert x.to("cpu") is x
    assert x.cpu() is x


def test_grad_setter_checks_shape():
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(ValueError, match="shape"):
        x.grad = gg.zeros(3)
    x.grad = gg.ones(2)
    assert x.grad.tolist() == [1.0, 1.0]


def test_numpy_says_the_shape_of_a_tensor():
    x = gg.zeros(2, 3, requires_grad=True)
    assert np.shape(x) == (2, 3)
    assert (np.ndim(x), np.size(x), np.size(a=x, axis=1)) == (2, 6, 3)
    assert gg.vmap(lambda row: row * np.size(row))(x).shape == (2, 3)
