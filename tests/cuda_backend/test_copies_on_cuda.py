"""Copies, casts, fills and joins on a GPU are kernels of our own, one launch each, with NumPy's values."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.backend import backend_for, cuda_copies
from tests.standin import State

DTYPES = ["float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool"]
VIEWS: dict[str, Callable[[Any, Any], Any]] = {
    "dense": lambda xp, a: a,
    "turned": lambda xp, a: a.T,
    "with gaps": lambda xp, a: a[::2, 1:],
    "backwards": lambda xp, a: a[:, ::-1],
    "repeated": lambda xp, a: xp.broadcast_to(a[:1], a.shape),
    "three axes": lambda xp, a: a.reshape(2, 3, 33).transpose(1, 2, 0),
}


def numbers(rng: np.random.Generator, dtype: str) -> np.ndarray:
    return gg.tensor(rng.uniform(0, 100, (6, 33)).astype("float32")).to(dtype).numpy()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("source", DTYPES)
def test_casts_are_numpys_from_every_layout(gpu: State, rng: np.random.Generator, source: str, name: str) -> None:
    cuda, values, view = backend_for("cuda"), numbers(rng, source), VIEWS[name]
    given = view(cuda.xp, cuda.from_host(values))
    for target in DTYPES:
        want = view(np, values).astype(gg.zeros(1, dtype=target).dtype)
        gpu.clear()
        found = cuda.cast(given, want.dtype)
        assert (len(gpu.launches), dict(gpu.calls)) == (1, {})
        np.testing.assert_array_equal(found.get(), want)
        if name not in ("repeated", "backwards", "with gaps"):
            assert found.strides == want.strides, "the memory order of what is cast"


@pytest.mark.parametrize("dtype", [*DTYPES, "complex64"])
def test_copies_are_in_c_order_and_move_bits(gpu: State, rng: np.random.Generator, dtype: str) -> None:
    cuda, values = backend_for("cuda"), numbers(rng, dtype)
    for view in VIEWS.values():
        given = view(cuda.xp, cuda.from_host(values))
        gpu.clear()
        found = cuda.copy(given)
        assert len(gpu.launches) == 1
        assert gpu.launches[0].startswith(f"gg_copy_u{8 * values.itemsize}_u{8 * values.itemsize}_")
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found.get(), view(np, values))
    nans = np.array([0x7FC00001, 0xFFC12345, 0x00000001], np.uint32).view(np.float32)
    assert cuda.copy(cuda.from_host(nans)).get().view(np.uint32).tolist() == nans.view(np.uint32).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_are_written_with_arrays_and_numbers(gpu: State, rng: np.random.Generator, dtype: str) -> None:
    cuda, values = backend_for("cuda"), numbers(rng, dtype)
    places: list[Any] = [..., 2, slice(1, 5), (slice(None), slice(None, None, -2)), (..., 4), (slice(3, 3), 0)]
    for index in places:
        for value in (1, 0.0, True, np.float32(3), "row", "all"):
            want = values.copy()
            target = cuda.from_host(want)
            part: Any = value
            if isinstance(value, str):
                part = np.ones_like(want[index][..., :1] if value == "row" and want[index].ndim else want[index])
                want[index] = part
                part = cuda.from_host(part)
            else:
                want[index] = value
            gpu.clear()
            cuda.put(target, index, part)
            assert (len(gpu.launches), dict(gpu.calls)) == (int(want[index].size > 0), {})
            np.testing.assert_array_equal(target.get(), want)


def test_what_has_no_kernel_is_cupys_with_its_errors(gpu: State) -> None:
    cuda = backend_for("cuda")
    wide, target = cuda.from_host(np.full((2, 3), 1 + 2j)), cuda.zeros((2, 3), np.dtype("complex128"))
    cuda.put(target, ..., wide)
    assert target.get().tolist() == [[1 + 2j] * 3] * 2
    many = cuda.from_host(np.arange(2**9.0).reshape((2,) * 9)).transpose(8, 3, 1, 7, 0, 2, 4, 6, 5)
    np.testing.assert_array_equal(cuda.copy(many).get(), many.get())
    with pytest.raises(ValueError, match="broadcast"):
        cuda.put(cuda.zeros((2, 3), np.dtype("float32")), ..., cuda.zeros((4,), np.dtype("float32")))
    with pytest.raises(TypeError, match="NumPy"):
        cuda.put(cuda.zeros((2,), np.dtype("float32")), ..., np.ones(2, np.float32))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_arrays_are_joined_whatever_their_layout(gpu: State, rng: np.random.Generator, axis: int) -> None:
    cuda = backend_for("cuda")
    parts = [rng.standard_normal(s).astype("float32") for s in ((4, 6), (4, 6))] + [np.zeros((6, 4), "float16").T]
    want = np.concatenate(parts, axis)
    out = cuda.empty(want.shape, np.dtype("float32"))
    given = [cuda.from_host(p) for p in parts]
    gpu.clear()
    cuda.join(given, axis, out)
    assert (len(gpu.launches), dict(gpu.calls)) == (3, {})
    np.testing.assert_array_equal(out.get(), want)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_four_arrays_in_a_launch(
    gpu: State, rng: np.random.Generator, dtype: str, order: tuple[int, ...], axis: int
) -> None:
    """Rows may be apart, as those of slices are; where they have gaps each array is a launch."""
    cuda = backend_for("cuda")

    def made(n: int, last: int) -> np.ndarray:
        shape = [4, 6, last]
        shape[axis] = n
        return rng.integers(0, 99, [shape[i] for i in order]).astype(dtype).transpose(np.argsort(order))

    for count, last, launches in ((2, 8, 1), (4, 3, 1), (9, 8, 3), (1, 8, 1)):
        parts = [made(n % 4 + 2, last) for n in range(count)]
        given = [cuda.from_host(p.transpose(order)).transpose(np.argsort(order)) for p in parts]
        gpu.clear()
        joined = cuda.concatenate(given, axis)
        assert len(gpu.launches) == launches
        np.testing.assert_array_equal(joined.get(), np.concatenate(parts, axis))
        assert joined.flags.c_contiguous == (order == (0, 1, 2))
    x = cuda.from_host(rng.integers(0, 99, (4, 12)).astype(dtype))
    gpu.clear()
    turned = cuda.concatenate([x[:, 6:], x[:, :6]], 1)
    assert len(gpu.launches) == 1
    np.testing.assert_array_equal(turned.get(), np.roll(x.get(), 6, 1))
    gpu.clear()
    np.testing.assert_array_equal(
        cuda.concatenate([x[:, ::2], x], 1).get(), np.concatenate([x.get()[:, ::2], x.get()], 1)
    )
    assert len(gpu.launches) == 2


def test_shapes_are_views_where_numpy_has_views(rng: np.random.Generator) -> None:
    """Against `numpy.reshape(copy=False)`, on arrays turned round, cut, and repeated."""
    for _ in range(2000):
        a = np.zeros([int(n) for n in rng.integers(1, 5, rng.integers(0, 5))])
        a = a.transpose(rng.permutation(a.ndim)) if rng.random() < 0.6 else a
        a = a[::2] if a.ndim and rng.random() < 0.3 else a
        a = np.broadcast_to(a, (2, *a.shape)) if rng.random() < 0.2 else a
        rest, wanted = a.size, []
        for _ in range(rng.integers(0, 4)):
            wanted.append(int(rng.choice([n for n in range(1, rest + 1) if rest % n == 0])))
            rest //= wanted[-1]
        shape = (*wanted, rest)
        try:
            a.reshape(shape, copy=False)
            view = True
        except ValueError:
            view = False
        assert cuda_copies.is_view(a.shape, a.strides, shape) == view, (a.shape, a.strides, shape)


def test_a_reshape_that_moves_elements_is_one_launch_forward_and_backward(gpu: State, rng: np.random.Generator) -> None:
    values = rng.standard_normal((2, 5, 3, 8)).astype("float32")
    x = gg.tensor(values, device="cuda", requires_grad=True)
    g = gg.tensor(np.arange(240, dtype="float32").reshape(6, 40), device="cuda")
    gpu.clear()
    y = x.transpose(0, 2, 1, 3).reshape(6, 40)
    y.backward(g)
    assert dict(gpu.calls) == {}
    assert len(gpu.launches) == 2, "the copy, and the leaf's own"
    np.testing.assert_array_equal(y.detach().numpy(), values.transpose(0, 2, 1, 3).reshape(6, 40))
    assert x.grad is not None
    want = np.arange(240, dtype="float32").reshape(2, 3, 5, 8).transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(x.grad.numpy(), want)


@pytest.mark.parametrize("dtype", [*DTYPES, "complex128"])
def test_rolling_is_a_launch_for_each_axis(gpu: State, rng: np.random.Generator, dtype: str) -> None:
    cuda, values = backend_for("cuda"), rng.integers(0, 9, (3, 8, 4))
    values = gg.tensor(values).to(dtype).numpy() if dtype in DTYPES else values.astype(dtype)
    given = cuda.from_host(values)
    for shifts, axes in (((1,), (0,)), ((-3, 2), (1, 2)), ((8, -1), (1, 1)), ((0,), (2,)), ((5, 5, 5), (0, 1, 2))):
        for x, want in ((given, values), (given.transpose(0, 2, 1), values.transpose(0, 2, 1))):
            gpu.clear()
            found = cuda.roll(x, shifts, axes)
            asked = len(gpu.launches), dict(gpu.calls)
            np.testing.assert_array_equal(found.get(), np.roll(want, shifts, axes))
            if dtype != "complex128" and x is given:
                moved = sum(s % want.shape[a] != 0 for s, a in zip(shifts, axes, strict=True))
                assert asked == (max(moved * (1 + (values.itemsize == 1)), 1), {}), "bytes are joined one by one"
            assert found.data.ptr != x.data.ptr
    assert cuda.roll(cuda.empty((0, 2), values.dtype), (1,), (0,)).shape == (0, 2)
