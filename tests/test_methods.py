"""The methods and operators of `Tensor`: each is the operation of its name, under NumPy's and PyTorch's signatures."""

import inspect
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.methods import Methods
from gpugrad.primitive import FUNCTIONS
from gpugrad.tensor import Tensor

X = np.array([[0.3, 0.6, 0.9], [0.2, 0.4, 0.8]])

# A method, and NumPy's function of the same values.
CALLS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Any]]] = {
    "-x": (lambda x: -x, lambda x: -x),
    "+x": (lambda x: +x, lambda x: x),
    "abs": (lambda x: abs(-x), lambda x: x),
    "x + 1": (lambda x: x + 1, lambda x: x + 1),
    "1 - x": (lambda x: 1 - x, lambda x: 1 - x),
    "2 * x": (lambda x: 2 * x, lambda x: 2 * x),
    "1 / x": (lambda x: 1 / x, lambda x: 1 / x),
    "x ** 3": (lambda x: x**3, lambda x: x**3),
    "2 ** x": (lambda x: 2**x, lambda x: 2**x),
    "x ** x": (lambda x: x**x, lambda x: x**x),
    "x // 0.25": (lambda x: x // 0.25, lambda x: x // 0.25),
    "1 // x": (lambda x: 1 // x, lambda x: 1 // x),
    "x % 0.25": (lambda x: x % 0.25, lambda x: x % 0.25),
    "1 % x": (lambda x: 1 % x, lambda x: 1 % x),
    "x @ x.T": (lambda x: x @ x.T, lambda x: x @ x.T),
    "array @ x": (lambda x: X.T @ x, lambda x: X.T @ x),
    "array - x": (lambda x: X - x, lambda x: X - x),
    "x - array": (lambda x: x - X[0], lambda x: x - X[0]),
    "x[...]": (lambda x: x[:, [0, 0]], lambda x: x[:, [0, 0]]),
    "exp": (lambda x: x.exp(), np.exp),
    "log": (lambda x: x.log(), np.log),
    "tanh": (lambda x: x.tanh(), np.tanh),
    "asin": (lambda x: x.asin(), np.arcsin),
    "pow": (lambda x: x.pow(2), np.square),
    "add alpha": (lambda x: x.add(X, alpha=2), lambda x: 3 * x),
    "sub, mul, div": (lambda x: x.sub(1).mul(2).div(4), lambda x: (x - 1) / 2),
    "clip": (lambda x: x.clip(0.35, 0.7), lambda x: x.clip(0.35, 0.7)),
    "clamp min": (lambda x: x.clamp(min=0.5), lambda x: x.clip(0.5)),
    "clamp max": (lambda x: x.clamp(max=0.5), lambda x: x.clip(None, 0.5)),
    "maximum": (lambda x: x.maximum(0.5), lambda x: np.maximum(x, 0.5)),
    "where": (lambda x: x.where(X > 0.5, 0), lambda x: np.where(x > 0.5, x, 0)),
    "round": (lambda x: x.round(), np.round),
    "sum": (lambda x: x.sum(), np.sum),
    "sum(1)": (lambda x: x.sum(1), lambda x: x.sum(1)),
    "sum(1, True)": (lambda x: x.sum(1, True), lambda x: x.sum(1, keepdims=True)),
    "sum as CuPy calls it": (lambda x: x.sum(0, None, None, True), lambda x: x.sum(0, keepdims=True)),
    "mean(dim)": (lambda x: x.mean(dim=0, keepdim=True), lambda x: x.mean(0, keepdims=True)),
    "var": (lambda x: x.var(0, ddof=1), lambda x: x.var(0, ddof=1)),
    "std": (lambda x: x.std(), np.std),
    "max": (lambda x: x.max(1), lambda x: x.max(1)),
    "amin": (lambda x: x.amin(0), lambda x: x.min(0)),
    "prod": (lambda x: x.prod(), np.prod),
    "norm": (lambda x: x.norm(), np.linalg.norm),
    "argmax": (lambda x: x.argmax(1), lambda x: x.argmax(1)),
    "all": (lambda x: (x > 0).all(), lambda x: (x > 0).all()),
    "cumsum": (lambda x: x.cumsum(1), lambda x: x.cumsum(1)),
    "sort": (lambda x: x.sort(descending=True), lambda x: -np.sort(-x)),
    "argsort": (lambda x: x.argsort(), np.argsort),
    "topk": (lambda x: x.topk(2)[1], lambda x: np.argsort(-x)[:, :2]),
    "reshape": (lambda x: x.reshape(3, 2), lambda x: x.reshape(3, 2)),
    "reshape tuple": (lambda x: x.reshape((3, -1)), lambda x: x.reshape(3, 2)),
    "view": (lambda x: x.view(-1), np.ravel),
    "flatten": (lambda x: x.flatten(), np.ravel),
    "T": (lambda x: x.T, np.transpose),
    "mT": (lambda x: x.mT, np.transpose),
    "t": (lambda x: x.t(), np.transpose),
    "transpose": (lambda x: x.transpose(1, 0), np.transpose),
    "transpose dims": (lambda x: x.transpose(dim0=-1, dim1=-2), np.transpose),
    "permute": (lambda x: x.permute(1, 0), np.transpose),
    "squeeze": (lambda x: x[None].squeeze(), lambda x: x),
    "squeeze(0)": (lambda x: x[None].squeeze(0), lambda x: x),
    "unsqueeze": (lambda x: x.unsqueeze(-1), lambda x: x[..., None]),
    "expand": (lambda x: x.expand(2, -1, -1), lambda x: np.broadcast_to(x, (2, 2, 3))),
    "flip": (lambda x: x.flip(0), lambda x: x[::-1]),
    "roll": (lambda x: x.roll(1, 1), lambda x: np.roll(x, 1, 1)),
    "repeat": (lambda x: x.repeat(2, 1), lambda x: x.repeat(2, 1)),
    "tile": (lambda x: x.tile(2, 1), lambda x: np.tile(x, (2, 1))),
    "split": (lambda x: x.split(2, 1)[1], lambda x: x[:, 2:]),
    "chunk": (lambda x: x.chunk(2, 1)[1], lambda x: x[:, 2:]),
    "unbind": (lambda x: x.unbind()[1], lambda x: x[1]),
    "diagonal": (lambda x: x.diagonal(), np.diagonal),
    "triu": (lambda x: x.triu(), np.triu),
    "take": (lambda x: x.take([5, 0]), lambda x: x.take([5, 0])),
    "gather": (lambda x: x.gather(1, np.array([[2], [0]])), lambda x: x[[0, 1], [2, 0]][:, None]),
    "masked_fill": (lambda x: x.masked_fill(X > 0.5, 0), lambda x: np.where(x > 0.5, 0, x)),
    "index_put": (lambda x: x.index_put(0, 0.0), lambda x: np.stack([np.zeros(3), x[1]])),
    "matmul": (lambda x: x.matmul(x.T), lambda x: x @ x.T),
    "outer": (lambda x: x.outer(x), lambda x: np.outer(x, x)),
    "trace": (lambda x: x.trace(), np.trace),
    "float": (lambda x: x.float(), lambda x: x.astype(np.float32)),
    "half": (lambda x: x.half(), lambda x: x.astype(np.float16)),
    "long": (lambda x: (x * 3).long(), lambda x: (x * 3).astype(np.int64)),
    "bool": (lambda x: x.bool(), lambda x: x.astype(bool)),
    "astype": (lambda x: x.astype("float32"), lambda x: x.astype(np.float32)),
    "copy": (lambda x: x.copy(), np.copy),
    "contiguous": (lambda x: x.T.contiguous(), np.transpose),
    "x < y": (lambda x: x < 0.5, lambda x: x < 0.5),
    "x == y": (lambda x: x == X[0], lambda x: x == X[0]),
    "x != y": (lambda x: x != 0.3, lambda x: x != 0.3),
    "gt": (lambda x: x.gt(0.5), lambda x: x > 0.5),
    "bits": (
        lambda x: (x > 0.3) & ~(x > 0.7) | (x < 0.1) ^ (x > 0.8),
        lambda x: (x > 0.3) & ~(x > 0.7) | (x < 0.1) ^ (x > 0.8),
    ),
    "isnan": (lambda x: x.isnan(), np.isnan),
    "numpy function": (lambda x: np.concatenate([x, x], axis=1), lambda x: np.concatenate([x, x], 1)),
    "numpy ufunc": (np.sin, np.sin),
    "numpy norm": (lambda x: np.linalg.norm(x, axis=1), lambda x: np.linalg.norm(x, axis=1)),
}


@pytest.mark.parametrize("name", CALLS)
def test_method_gives_numpys_values(name: str) -> None:
    ours, theirs = CALLS[name]
    for requires_grad in (False, True):
        result = ours(Tensor(X.copy(), requires_grad))
        assert isinstance(result, Tensor)
        expected = theirs(X.copy())
        assert result.shape == np.shape(expected)
        assert result.dtype == np.asarray(expected).dtype
        np.testing.assert_allclose(result.data, expected, rtol=1e-14 if result.dtype == np.float64 else 1e-6)


PLAIN = {name for name, member in inspect.getmembers(Methods, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_method_is_documented_and_calls_an_operation_that_exists(name: str) -> None:
    method = getattr(Methods, name)
    assert method.__doc__
    called = [c for c in method.__code__.co_consts if isinstance(c, str) and c != method.__doc__]
    if "_CALL" in method.__code__.co_names:
        assert called
        assert set(called[:1]) <= set(FUNCTIONS), f"{name} calls {called}"


def test_names_that_numpy_and_pytorch_share_are_methods() -> None:
    # `to` moves (PyTorch has no to_device); NumPy's method `resize` changes the array in place.
    shared = (set(dir(np.ndarray)) & set(FUNCTIONS)) - {"to_device", "resize"}
    assert {name for name in shared if not hasattr(Tensor, name)} == set()


def test_methods_of_pytorch_that_are_operations_here_are_methods(torch: Any) -> None:
    # PyTorch's `equal` compares whole tensors, where `==` and `gg.array_equal` say which is meant; its `select` picks
    # by an index, its `resize` changes the tensor, and its `unfold` slides along one axis.
    not_methods = {"equal", "select", "resize", "unfold"}
    shared = {n for n in dir(torch.Tensor) if n in FUNCTIONS and not n.startswith("_")} - not_methods
    assert {name for name in shared if not hasattr(Tensor, name)} == set()


@pytest.mark.parametrize("dim", [-3, -5, 2])
def test_select_refuses_axes_that_are_not_there(dim: int) -> None:
    x = gg.arange(12).reshape(3, 4)
    assert x.select(-1, 1).tolist() == x.select(1, -3).tolist() == [1, 5, 9]
    with pytest.raises(IndexError, match=rf"\[select\] dim = {dim} for a tensor of shape \(3, 4\)"):
        x.select(dim, 0)


def test_size_is_numpys_number_and_pytorchs_call() -> None:
    x = gg.zeros(2, 3)
    assert x.size == 6
    assert isinstance(x.size, int)
    assert x.size() == (2, 3)
    assert x.size(-1) == 3
    assert (x.dim(), x.numel(), x.element_size(), x.ndim) == (2, 6, 4, 2)
    assert x.is_contiguous()
    assert not x.T.is_contiguous()
    assert x.is_floating_point()
    assert x.contiguous() is x


def test_equality_is_elementwise_and_tensors_are_still_keys() -> None:
    x, y = gg.tensor([1.0, 2.0]), gg.tensor([1.0, 3.0])
    assert (x == y).tolist() == [True, False]
    assert {x: 1, y: 2}[x] == 1
    assert {x: 1}.get(y) is None


def test_out_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\[sum\] out= is not supported"):
        gg.tensor([1.0]).sum(out=gg.zeros(()))


def test_tensors_survive_pickling_with_their_methods() -> None:
    x = pickle.loads(pickle.dumps(gg.tensor([1.0, 2.0], requires_grad=True)))
    assert x.requires_grad
    assert x.sum().item() == 3.0
