"""Every operation of the table: derivatives against central differences, values against NumPy, dtypes, layouts.

The rows are in `rows_<family>.py`; how to add one is said at the top of `table.py`.
"""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.tensor import Tensor
from tests.cuda_backend.parity import ELSEWHERE, on_device
from tests.ops.harness import cotangents, gradients, host, several, tensors
from tests.ops.table import Row, op, rows

ROWS = rows()
DIFFERENTIABLE = [row for row in ROWS if row.order]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_differentiable_row = pytest.mark.parametrize("row", DIFFERENTIABLE, ids=lambda row: row.name)
# Relative to the largest value; the sums in the table are over a dozen elements at most.
TOLERANCE = {"float32": 2e-5, "float16": 2e-2}


@each_differentiable_row
def test_derivatives_are_those_of_central_differences(row: Row) -> None:
    gg.check_grads(row.call, row.sample(), order=row.order, modes=("rev",))  # forward mode: tests/transforms


@each_row
def test_values_are_numpys(row: Row) -> None:
    if row.numpy is None:
        pytest.skip("NumPy has no such function; its values are compared with PyTorch's or checked by derivatives")
    inputs = row.sample()
    for ours, theirs in zip(several(row.call(*inputs)), several(row.numpy(*inputs)), strict=True):
        assert type(ours) is np.ndarray
        assert ours.shape == np.shape(theirs)
        assert ours.dtype == np.asarray(theirs).dtype
        np.testing.assert_allclose(ours, theirs, rtol=0 if row.exact else 1e-12, atol=0 if row.exact else 1e-14)


@each_row
def test_tensors_give_the_bits_of_arrays(row: Row) -> None:
    inputs = row.sample()
    bare = several(row.call(*inputs))
    for requires_grad in (False, True):
        results = several(row.call(*tensors(inputs, requires_grad)))
        assert len(results) == len(bare)
        for tensor, array in zip(results, bare, strict=True):
            assert isinstance(tensor, Tensor)
            assert tensor.requires_grad == (requires_grad and row.order > 0)
            assert type(tensor.data) is np.ndarray
            assert tensor.dtype == array.dtype
            np.testing.assert_array_equal(tensor.data, array)


@each_row
def test_inputs_are_left_as_they_were(row: Row) -> None:
    inputs = row.sample()
    if row.order:
        gradients(row, inputs)
    else:
        row.call(*inputs)
    for used, fresh in zip(inputs, row.sample(), strict=True):
        np.testing.assert_array_equal(used, fresh)


def close(ours: Any, exact: Any, tolerance: float) -> None:
    ours, exact = np.asarray(ours, np.float64), np.asarray(exact, np.float64)
    scale = np.abs(exact).max(initial=1.0)
    np.testing.assert_allclose(ours, exact, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@each_differentiable_row
def test_dtype_stays_forwards_and_backwards(row: Row, dtype: str) -> None:
    if dtype not in row.dtypes:
        pytest.skip(f"the row does not list {dtype}")
    narrow = [x.astype(dtype) for x in row.sample()]
    wide = [x.astype(np.float64) for x in narrow]
    outputs, found = gradients(row, narrow)
    exact_outputs, exact_gradients = gradients(row, wide)
    tolerance = TOLERANCE[dtype] * row.tolerance
    for ours, exact in zip(outputs, exact_outputs, strict=True):
        assert ours.dtype == dtype
        close(host(ours), host(exact), tolerance)
    for x, g, exact in zip(narrow, found, exact_gradients, strict=True):
        assert g is not None
        assert g.dtype == dtype
        assert g.shape == x.shape
        # The two cotangents differ by their rounding to `dtype`.
        close(host(g), host(exact), 4 * tolerance)


def layouts(inputs: tuple[Any, ...]) -> dict[str, list[Any]]:
    """The same values on memory of other shapes (but for `broadcast`, whose rows are all the first)."""
    return {
        "transposed": [np.asarray(x, order="F") for x in inputs],
        "strided": [_every_second(x) for x in inputs],
        "backwards": [np.ascontiguousarray(x[::-1])[::-1] if x.ndim else x for x in inputs],
        "broadcast": [np.broadcast_to(x[:1], x.shape) if x.ndim else x for x in inputs],
    }


def _every_second(x: Any) -> Any:
    """The values of `x` as every second element of a longer array along the last axis."""
    if not x.ndim:
        return x
    wide = np.full((*x.shape[:-1], 2 * x.shape[-1]), np.nan)
    wide[..., ::2] = x
    return wide[..., ::2]


@each_row
def test_layout_of_the_memory_does_not_matter(row: Row) -> None:
    if not row.layouts:
        pytest.skip("the row asks for it")
    for layout, inputs in layouts(row.sample()).items():
        plain = [np.array(x, order="C") for x in inputs]
        if not row.order:
            for ours, theirs in zip(several(row.call(*inputs)), several(row.call(*plain)), strict=True):
                np.testing.assert_array_equal(ours, theirs, err_msg=layout)
            continue
        outputs, found = gradients(row, inputs)
        same_outputs, same = gradients(row, plain)
        for ours, theirs in zip([*map(host, outputs), *found], [*map(host, same_outputs), *same], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12, err_msg=layout)


@pytest.mark.peers
@pytest.mark.parametrize("row", [row for row in ROWS if row.torch], ids=lambda row: row.name)
def test_values_and_gradients_are_pytorchs(row: Row, torch: Any) -> None:
    inputs = row.sample()
    outputs, found = gradients(row, inputs)
    theirs = [torch.from_numpy(x.copy()).requires_grad_() for x in inputs]
    expected = several(row.torch(torch, *theirs))
    given = [torch.from_numpy(np.asarray(g)) for g in cotangents(outputs)]
    torch.autograd.backward(list(expected), given)
    for ours, exact in zip(outputs, expected, strict=True):
        assert ours.shape == tuple(exact.shape)
        np.testing.assert_allclose(host(ours), exact.detach().numpy(), rtol=1e-10, atol=1e-12)
    for g, x in zip(found, theirs, strict=True):
        np.testing.assert_allclose(g, x.grad.numpy(), rtol=1e-9, atol=1e-11)


# CuPy has no long double; rows that a device computes otherwise by design are those of tests/cuda_backend.
HOST_ONLY = {"astype wider", *ELSEWHERE}
# The libraries choose the signs of vectors and the order of eigenvalues as they like; rows "without signs" compare.
HOST_ONLY |= {f"linalg {name}" for name in "eig,eig complex,eigvals,eigvals complex,eigh,eigh upper".split(",")}
HOST_ONLY |= {f"linalg svd {shape}" for shape in ("square", "tall", "wide")}


@pytest.mark.gpu
@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in HOST_ONLY], ids=lambda row: row.name)
def test_a_device_gives_the_values_dtypes_and_gradients_of_the_cpu(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(op), "__getattr__", on_device)  # masks and labels that a row holds go there too
    inputs = [x.astype(np.float32) for x in row.sample()]
    there = [Tensor(x).to("cuda") for x in inputs]
    if not row.order:
        for ours, theirs in zip(several(row.call(*there)), several(row.call(*inputs)), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(host(ours), theirs)
        return
    outputs, found = gradients(row, [x.data for x in there])
    expected, exact = gradients(row, inputs)
    for ours, theirs in zip([*outputs, *found], [*expected, *exact], strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        close(host(ours), host(theirs), TOLERANCE["float32"] * row.tolerance)
