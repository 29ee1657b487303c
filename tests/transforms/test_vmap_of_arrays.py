"""Bare arrays in a map: NumPy's functions, methods, operators and item access, against a loop over the examples."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.primitive import FUNCTIONS

RNG = np.random.default_rng(5)
X = RNG.standard_normal((3, 4, 5, 6))
ROWS = RNG.integers(-4, 4, (3, 2))
COLUMNS = RNG.integers(-5, 5, (3, 2))
TABLE = RNG.integers(0, 4, (3, 2, 3))
S = slice(None)


def compare(f: Callable[..., Any], *args: Any, axes: Any = 0) -> None:
    """`f` mapped is `f` of each example."""
    places = (axes,) * len(args) if not isinstance(axes, tuple) else axes
    alone = [f(*[a.copy() if p is None else a[i].copy() for a, p in zip(args, places, strict=True)]) for i in range(3)]
    ours = gg.vmap(f, axes)(*args)
    assert isinstance(ours, np.ndarray)
    np.testing.assert_allclose(ours, np.stack([np.asarray(a) for a in alone]), rtol=1e-12, atol=1e-12)
    assert ours.dtype == np.asarray(alone[0]).dtype


INDICES: dict[str, Callable[[Any, Any], Any]] = {
    "number": lambda i, j: 1,
    "numbers": lambda i, j: (1, -2),
    "slices": lambda i, j: (slice(1, 3), S, slice(None, None, -2)),
    "ellipsis and new axis": lambda i, j: (..., None, 2),
    "new axis in front": lambda i, j: (None, 1, ..., S),
    "array": lambda i, j: i,
    "array after a slice": lambda i, j: (S, i),
    "array at the end": lambda i, j: (..., i),
    "two arrays": lambda i, j: (i, j),
    "two arrays in the middle": lambda i, j: (S, i, j),
    "two arrays apart": lambda i, j: (i, S, j),
    "array and number apart": lambda i, j: (i, S, 1),
    "array and number together": lambda i, j: (S, 0, i),
    "number in front, array at the end": lambda i, j: (0, S, i),
    "array with a new axis between": lambda i, j: (i, None, j),
    "column against row": lambda i, j: (i[:, None], j),
    "matrix of places": lambda i, j: (S, np.stack([i, j])),
    "single place": lambda i, j: (i[0], S, j[1]),
}


@pytest.mark.parametrize("mapped", ["array", "index", "both"])
@pytest.mark.parametrize("name", list(INDICES))
def test_picking_by_any_index(name: str, mapped: str) -> None:
    index = INDICES[name]
    # An array that all examples share takes an index of theirs through gpugrad's function; NumPy's cannot.
    axes = {"array": (0, None, None), "index": (None, 0, 0), "both": 0}[mapped]
    args = [
        X if mapped != "index" else X[0],
        ROWS if mapped != "array" else ROWS[0],
        COLUMNS if mapped != "array" else COLUMNS[0],
    ]
    compare(lambda x, i, j: FUNCTIONS["getitem"](x, index(i, j)), *args, axes=axes)


@pytest.mark.parametrize("mapped", ["index", "value", "both"])
@pytest.mark.parametrize("name", list(INDICES))
def test_writing_by_any_index(name: str, mapped: str) -> None:
    index = INDICES[name]
    places, others = np.array([[0, 3], [1, 2], [3, 2]]), np.array([[0, 4], [2, 1], [4, 3]])  # no place named twice
    shape = np.shape(X[0][index(places[0], others[0])])
    for shape_of_value in {shape, shape[-1:], (), (1, *shape)}:
        value = RNG.standard_normal((3, *shape_of_value))

        def write(x: Any, i: Any, j: Any, v: Any) -> Any:
            out = np.zeros_like(x)
            out[index(i, j)] = v
            return out

        axes = {"index": (0, 0, 0, None), "value": (0, None, None, 0), "both": 0}[mapped]
        args = [a if p == 0 else a[0] for a, p in zip((X, places, others, value), axes or (0,) * 4, strict=True)]
        compare(write, *args, axes=axes)


def test_masks_of_one_shape_and_masks_that_differ() -> None:
    mask = np.array([True, False, True, True])
    compare(lambda x: x[mask], X)
    compare(lambda x: x[:, [True, False, True, False, True]], X)
    masks = np.stack([np.roll(mask, i) for i in range(3)])
    compare(lambda x, m: x[m], X, masks)  # as many in each example

    def zeroed(x: Any, m: Any) -> Any:
        x[m] = 0.5
        return x

    compare(zeroed, X.copy(), np.array([[True] * i + [False] * (4 - i) for i in range(3)]))
    with pytest.raises(TypeError, match=r"\[vmap\] the shape of the result of indexing depends on the values"):
        gg.vmap(lambda x, m: x[m])(X, np.array([[True] * i + [False] * (4 - i) for i in range(3)]))


FUNCTIONS_OF_ONE: dict[str, Callable[[Any], Any]] = {
    "sum": np.sum,
    "sum over axes": lambda x: np.sum(x, axis=(0, -1), keepdims=True),
    "mean method": lambda x: x.mean(axis=1),
    "max method": lambda x: x.max(0),
    "std": lambda x: x.std(ddof=1),
    "argmax": lambda x: x.argmax(),
    "argmin along": lambda x: np.argmin(x, axis=1),
    "any": lambda x: (x > 2).any(axis=0),
    "count": lambda x: np.count_nonzero(x > 0),
    "cumsum": np.cumsum,
    "cumprod along": lambda x: x.cumprod(1),
    "sort": lambda x: np.sort(x, axis=0),
    "argsort all": lambda x: np.argsort(x, axis=None),
    "partition": lambda x: np.sort(np.partition(x, 2, axis=0)[:2], axis=0),
    "reshape": lambda x: x.reshape(-1, 10),
    "reshape F": lambda x: x.reshape((10, 12), order="F"),
    "transpose": lambda x: x.transpose(2, 0, 1),
    "T": lambda x: x.T,
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "rollaxis": lambda x: np.rollaxis(x, 2),
    "flip": lambda x: np.flip(x, 0),
    "roll": lambda x: np.roll(x, 2),
    "roll along": lambda x: np.roll(x, (1, 2), (0, 1)),
    "rot90": np.rot90,
    "tile": lambda x: np.tile(x, 2),
    "repeat": lambda x: np.repeat(x, 2, axis=1),
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2), (0, 0))),
    "diagonal": lambda x: np.diagonal(x, 1),
    "trace": lambda x: x.trace(),
    "tril": np.tril,
    "diff": lambda x: np.diff(x, axis=0),
    "squeeze": lambda x: x[:1].squeeze(),
    "expand_dims": lambda x: np.expand_dims(x, (0, 2)),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 4, 5, 6)),
    "concatenate": lambda x: np.concatenate([x, np.ones((4, 1, 6)), x], axis=1),
    "stack": lambda x: np.stack([x, x * 2], axis=-1),
    "vstack": lambda x: np.vstack([x, x]),
    "split": lambda x: np.split(x, 2)[1],
    "take": lambda x: np.take(x, [0, 2], axis=1),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1),
    "where": lambda x: np.where(x > 0, x, 0.0),
    "clip": lambda x: x.clip(-1, 1),
    "clip by arrays": lambda x: np.clip(x, -np.abs(x[0]), np.ones((5, 6))),
    "round": lambda x: x.round(2),
    "astype": lambda x: x.astype(np.float32),
    "copy": lambda x: x.copy(),
    "real of complex": lambda x: (x * 1j).imag,
    "interp": lambda x: np.interp(np.linspace(-1, 1, 5), np.arange(4.0), x[:, 0, 0]),
    "histogram": lambda x: np.histogram(x, bins=4, range=(-2, 2))[0],
    "median": lambda x: np.median(x, axis=1),
    "percentile": lambda x: np.percentile(x, 30, axis=0),
    "unwrap": np.unwrap,
    "gradient": lambda x: np.gradient(x, axis=1),
    "matmul": lambda x: x @ x.swapaxes(-1, -2),
    "matmul by shared": lambda x: x @ X[0, 0].T,
    "matmul of shared": lambda x: X[0, 0] @ x[0].T,
    "matmul of shared stack": lambda x: X[1] @ x[0].T,
    "vector times matrix": lambda x: x[0, 0] @ X[0, 0].T,
    "vector times vector": lambda x: x[0, 0] @ x[1, 1],
    "matrix times shared vector": lambda x: x[0] @ X[0, 0, 0],
    "dot": lambda x: np.dot(x[0], X[0, 0, 0]),
    "outer": lambda x: np.outer(x[0, 0], x[1, 0]),
    "inner": lambda x: np.inner(x[0], x[1]),
    "tensordot": lambda x: np.tensordot(x, X[0], axes=([0, 2], [0, 2])),
    "einsum": lambda x: np.einsum("ijk,ljk->il", x, X[0]),
    "einsum implicit": lambda x: np.einsum("ijk,kl", x, X[0, 0, :6].T @ X[0, 0, :6]),
    "einsum dots": lambda x: np.einsum("...k,k->...", x, x[0, 0]),
    "kron": lambda x: np.kron(x[0], np.eye(2)),
    "cross": lambda x: np.cross(x[0, 0, :3], x[0, 1, :3]),
    "inv": lambda x: np.linalg.inv(x[0] @ x[0].T),
    "solve vector": lambda x: np.linalg.solve(x[0] @ x[0].T, x[1, :, 0]),
    "solve shared": lambda x: np.linalg.solve(np.eye(5) * 2, x[0]),
    "solve shared stack": lambda x: np.linalg.solve(np.stack([np.eye(5), np.eye(5) * 3]), x[0]),
    "eigvalsh": lambda x: np.linalg.eigvalsh(x[0] @ x[0].T),
    "svd values": lambda x: np.linalg.svd(x)[1],
    "norm": lambda x: np.linalg.norm(x, axis=(0, 1)),
    "norm of all": np.linalg.norm,
    "lstsq": lambda x: np.linalg.lstsq(x[0].T, X[0, 0, 0], rcond=None)[0],
    "fft": lambda x: np.fft.fft(x, axis=0),
    "rfft2": np.fft.rfft2,
    "irfftn": lambda x: np.fft.irfftn(np.fft.rfftn(x), s=x.shape, axes=(0, 1, 2)),
    "fftshift": np.fft.fftshift,
    "operators": lambda x: (2 - x) / (1 + abs(x)) ** 2 * -x // 0.3 % 2,
    "comparisons": lambda x: (x < 0) | (x >= 1) & ~(x == 2) ^ (x != x),
    "ufunc reduce": lambda x: np.add.reduce(x, axis=1),
    "ufunc accumulate": lambda x: np.maximum.accumulate(x, axis=1),
    "ufunc outer": lambda x: np.multiply.outer(x[0, 0], x[1, 1]),
    "iteration": lambda x: sum(row * (i + 1) for i, row in enumerate(x)),
    "lengths": lambda x: x * len(x) * x.size * x.ndim * x.shape[-1],
    "convolve": lambda x: np.convolve(x[0, 0], [1.0, 2.0, -1.0]),
    "searchsorted": lambda x: np.searchsorted(np.arange(4.0), x[0, 0]),
    "polyval": lambda x: np.polyval(x[0, 0], 0.3),
    "nansum": lambda x: np.nansum(np.where(x > 1, np.nan, x), axis=1),
    "apply_along_axis": lambda x: np.apply_along_axis(lambda r: r.sum(), 1, x),
    "ptp": lambda x: np.ptp(x, axis=1),
    "select": lambda x: np.select([x < 0, x > 1], [x, x * 2], 0.0),
}


@pytest.mark.parametrize("name", list(FUNCTIONS_OF_ONE))
def test_numpys_functions(name: str) -> None:
    compare(FUNCTIONS_OF_ONE[name], X)


@pytest.mark.parametrize(("axis", "out"), list(itertools.product(range(3), range(3))))
def test_axes_in_and_out(axis: int, out: int) -> None:
    x = X[0]
    expected = np.stack([np.take(x, i, axis) * 2 for i in range(x.shape[axis])], axis=out)
    np.testing.assert_array_equal(gg.vmap(lambda r: r * 2, axis, out)(x), expected)
    np.testing.assert_array_equal(gg.vmap(lambda r: r * 2, axis - 3, out - 3)(x), expected)


def test_writing_in_place() -> None:
    def change(x: Any) -> Any:
        y = x.copy()
        y += 1
        y *= x
        y[0] = 0
        y[:, 1] -= x[:, 2]
        np.add(y, x, out=y)
        view = y.reshape(-1)
        view[3] = 7
        return y

    compare(change, X)


def test_functions_of_other_libraries() -> None:
    windows = np.lib.stride_tricks.sliding_window_view
    compare(lambda x: windows(x[0, 0], 3).sum(axis=0), X)
    special = pytest.importorskip("scipy.special")
    compare(special.xlogy, X**2, X[0, 0] ** 2, axes=(0, None))
    compare(special.erf, X)
    compare(np.vecdot, X, X[:, :1])
    add = np.frompyfunc(lambda a, b: a + b, 2, 1)
    compare(lambda x: add.reduce(x, axis=1).astype(float), X)


def test_views_share_memory_in_nested_maps() -> None:
    def write(x: Any, y: Any) -> Any:
        out = np.zeros_like(x) * y
        view, flat = out[1:], out.reshape(-1)
        view[0] = x[0] * y
        view += y
        flat[3] = y * 2
        return out

    numbers = RNG.standard_normal(2)
    ours = gg.vmap(gg.vmap(write, (0, None)), (None, 0))(X[:, 0], numbers)
    np.testing.assert_allclose(ours, np.stack([[write(x, y) for x in X[:, 0]] for y in numbers]))


def test_examples_are_not_written_to_what_they_share() -> None:
    shared = np.zeros(6)

    def write(x: Any) -> Any:
        shared[0] = x[0, 0, 0]
        return x

    with pytest.raises(ValueError, match="setting an array element") as caught:  # what NumPy makes of our error
        gg.vmap(write)(X)
    assert "differs from example to example" in str(caught.value.__cause__)
    for attempt in (
        lambda x: np.add(x, 1, out=np.zeros((4, 5, 6))),
        lambda x: np.copyto(shared, x[0, 0]),
        lambda x: np.add.at(shared, [0], x[0, 0, 0]),
    ):
        with pytest.raises(TypeError, match=r"\[vmap\] values that differ .* that all examples share"):
            gg.vmap(attempt)(X)
    np.testing.assert_array_equal(shared, 0)


def test_no_examples_at_all() -> None:
    empty = np.zeros((0, 4, 5))
    assert gg.vmap(lambda x: x.sum(axis=0))(empty).shape == (0, 5)
    assert gg.vmap(lambda x: np.linalg.inv(x @ x.T + np.eye(4)))(empty).shape == (0, 4, 4)
    assert gg.vmap(lambda x: np.convolve(x[0], x[1]))(empty).shape == (0, 9)
    assert gg.vmap(gg.grad(lambda x: (gg.softmax(x) ** 2).sum()))(empty).shape == (0, 4, 5)
