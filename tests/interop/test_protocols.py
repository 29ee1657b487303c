"""No route to a bare array is silent: every call is our function, a refusal that says what to do, or a warning."""

import array
import ctypes
import math
import operator

import numpy as np
import pytest

import gpugrad as gg

T = gg.tensor([1.0, 2.0], requires_grad=True)
S = gg.tensor(2.0, requires_grad=True)


def bare() -> np.ndarray:
    return np.zeros(2)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


REFUSED = {
    "asarray": lambda: np.asarray(T),
    "array of tensors": lambda: np.array([T, T]),
    "array of numbers and tensors": lambda: np.array([1.0, S]),
    "array with a dtype": lambda: np.array([1.0, S], dtype=float),
    "assignment": lambda: operator.setitem(bare(), slice(None), T),
    "assignment of a list": lambda: operator.setitem(bare(), slice(None), [S, S]),
    "put": lambda: np.put(bare(), [0], S),
    "method put": lambda: bare().put([0], S),
    "index": lambda: bare()[T],
    "out is a tensor": lambda: np.add(bare(), bare(), out=T),
    "out is an array": lambda: np.add(T, bare(), out=bare()),
    "in place": lambda: operator.iadd(bare(), T),
    "in place product": lambda: operator.imatmul(np.eye(2), T),
    "out of a reduction": lambda: np.sum(T, out=np.zeros(())),
    "out of a ufunc's reduction": lambda: np.add.reduce(T, out=np.zeros(())),
    "out of concatenate": lambda: np.concatenate([T], out=bare()),
    "out of dot": lambda: np.dot(np.eye(2), bare(), out=T),
    "copyto": lambda: np.copyto(bare(), T),
    "full": lambda: np.full(2, S),
    "float32": lambda: np.float32(S),
    "bool_": lambda: np.bool_(S),
    "vectorize": lambda: np.vectorize(lambda x: x + 1.0)(T),
    "random": lambda: generator().normal(T),
    "masked array": lambda: np.ma.array(T),
    "method dot": lambda: np.eye(2).dot(T),
    "method searchsorted": lambda: bare().searchsorted(T),
    "add.at": lambda: np.add.at(bare(), [0, 1], T),
    "add.reduceat": lambda: np.add.reduceat(T, [0, 1]),
    "nditer": lambda: np.nditer(T),
    "from_dlpack": lambda: np.from_dlpack(T),
    "buffer": lambda: memoryview(T),
    "frombuffer": lambda: np.frombuffer(T),
    "bytes": lambda: bytes(T),
    "ctypes": lambda: T.ctypes,
    "array interface": lambda: T.__array_interface__,
    "array struct": lambda: T.__array_struct__,
    "cuda array interface": lambda: T.__cuda_array_interface__,
    "layout": lambda: T.flags,
    "range": lambda: range(S),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_a_tensor_that_needs_a_gradient_is_refused(name: str) -> None:
    with pytest.raises((gg.GradientError, TypeError, AttributeError)):
        REFUSED[name]()


WARNED = {
    "float": lambda: float(S),
    "int": lambda: int(S),
    "complex": lambda: complex(S),
    "math": lambda: math.sin(S),
    "floor": lambda: math.floor(S),
    "fsum": lambda: math.fsum(T),
    "assignment of one number": lambda: operator.setitem(bare(), 0, S),
    "flat": lambda: operator.setitem(bare().flat, 0, S),
    "fill": lambda: bare().fill(S),
    "float64": lambda: np.float64(S),
    "fromiter": lambda: np.fromiter(T, float),
    "array.array": lambda: array.array("f", T),
    "ctypes array": lambda: (ctypes.c_float * 2)(*T),
}


@pytest.mark.parametrize("name", list(WARNED))
def test_a_tensor_that_needs_a_gradient_becomes_a_number_with_a_warning(name: str) -> None:
    with pytest.warns(UserWarning, match=r"requires a gradient became a number.*t\.item\(\)"):
        WARNED[name]()


def test_numbers_that_are_asked_for_by_name_or_need_no_gradient_come_without_a_warning() -> None:
    assert S.item() == 2.0
    assert T.tolist() == [1.0, 2.0]
    assert float(S.detach()) == math.sqrt(gg.tensor(4.0)) == 2.0


def test_conversions_of_our_own_keep_the_gradient() -> None:
    assert gg.asarray(T) is T
    assert gg.as_tensor(T, dtype=np.float64).requires_grad
    plain = gg.ones(2)
    asked = gg.asarray(plain, requires_grad=True)
    assert asked.requires_grad
    assert not plain.requires_grad
    assert asked.data is plain.data


def test_reductions_of_ufuncs_are_ours() -> None:
    x = gg.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=np.float64, requires_grad=True)
    for ufunc, method in (
        (np.add, "reduce"), (np.multiply, "reduce"), (np.maximum, "reduce"), (np.minimum, "reduce"),
        (np.add, "accumulate"), (np.multiply, "accumulate"),
    ):  # fmt: skip
        for axis in (0, 1, -1):
            ours = getattr(ufunc, method)(x, axis=axis)
            assert ours.requires_grad
            np.testing.assert_array_equal(ours.detach(), getattr(ufunc, method)(x.detach().data, axis=axis))
    assert np.add.reduce(x, axis=None, keepdims=True).shape == (1, 1)
    assert np.add.reduce(x, dtype=np.float32).dtype == np.float32
    with pytest.raises(TypeError, match=r"takes no where="):
        np.add.reduce(x, where=np.ones((2, 2), bool))


def test_every_ufunc_of_numpy_that_gpugrad_has_is_found() -> None:
    x = gg.tensor([1.0 + 2.0j], dtype=np.complex128, requires_grad=True)
    assert np.conjugate(x).requires_grad
    assert np.conj(x).tolist() == [1.0 - 2.0j]
    np.true_divide(x, 2.0).real.sum().backward()
    assert x.grad is not None


def test_dlpack_shares_memory_both_ways() -> None:
    a = np.arange(3.0)
    t = gg.from_dlpack(a)
    a[0] = 7.0
    assert t.tolist() == [7.0, 1.0, 2.0]
    back = np.from_dlpack(t)
    back[1] = 8.0
    assert a[1] == 8.0
    assert t.__dlpack_device__() == (1, 0)
    assert not t.requires_grad


def test_dlpack_copies_when_asked() -> None:
    a = np.arange(3.0)
    t = gg.from_dlpack(a, copy=True)
    other = np.from_dlpack(t, copy=True)
    a[0] = other[1] = 9.0
    assert t.tolist() == [0.0, 1.0, 2.0]
    assert not np.shares_memory(gg.from_dlpack(a, copy=True).data, a)
    assert np.shares_memory(gg.from_dlpack(a, copy=False).data, a)


def test_dlpack_knows_the_versions_of_the_protocol() -> None:
    t = gg.tensor([1.0])
    assert '"dltensor"' in repr(t.__dlpack__())
    assert '"dltensor_versioned"' in repr(t.__dlpack__(max_version=(1, 0)))
    assert '"dltensor_versioned"' in repr(t.__dlpack__(max_version=(1, 0), dl_device=(1, 0), copy=True))
    with pytest.raises(TypeError):
        t.__dlpack__(unknown=1)


def test_dlpack_of_a_tensor_that_needs_a_gradient_says_detach() -> None:
    with pytest.raises(gg.GradientError, match=r"\[__dlpack__\].*\.detach\(\)"):
        T.__dlpack__()
    with pytest.raises(gg.GradientError, match=r"\.detach\(\)"):
        gg.from_dlpack(T)
    assert gg.from_dlpack(T.detach()).tolist() == [1.0, 2.0]


def test_dlpack_refuses_what_it_cannot_take() -> None:
    with pytest.raises(TypeError, match=r"\[from_dlpack\] list has no __dlpack__"):
        gg.from_dlpack([1.0])

    class Elsewhere:
        def __dlpack__(self) -> None: ...
        def __dlpack_device__(self) -> tuple[int, int]:
            return (10, 0)

    with pytest.raises(BufferError, match="device type 10"):
        gg.from_dlpack(Elsewhere())
    with pytest.raises(BufferError, match="inside a vmap"):
        gg.vmap(lambda x: np.from_dlpack(x) and x)(gg.ones(2, 3))


def test_the_namespace_of_the_standard_is_given_by_version() -> None:
    from gpugrad import array_api

    assert T.__array_namespace__() is array_api
    assert T.__array_namespace__(api_version="2024.12") is array_api
    with pytest.raises(ValueError, match=r"api_version = '1\.0'.*2024\.12"):
        T.__array_namespace__(api_version="1.0")
