"""Every row of the table of operations on the GPU branch: values, dtypes and gradients are the CPU's."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.cuda.hostexec import missing_compiler
from tests.cuda_backend.parity import ELSEWHERE, check, on_device, run
from tests.ops import table
from tests.standin import State, installed
from tests.standin.batch import build_together, collected

ROWS = table.rows()

# What asks the device for a number of elements has to wait for it, on every library.
WAITS = {"boolean index", "nonzero", "unique", "histogram", "bincount"}
# Whether a derivative exists (equal eigenvalues, a determinant of 0) and the rank of a system are asked of the device.
WAITS_OF_LINALG = {"bool", "int"}


def inputs(row: table.Row, dtype: str) -> list[Any]:
    return [a.astype(dtype) for a in row.sample()]


@pytest.fixture(scope="module", autouse=True)
def kernels() -> Iterator[None]:
    """Build what all rows launch together: first a run in which nothing is launched, only noted."""
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(table.op), "__getattr__", on_device)
        with installed(), collected() as sources:
            for row in ROWS:
                try:
                    run(row.call, inputs(row, "float32"), "cuda")
                except Exception:  # without launches the numbers are garbage, and so may be an index
                    continue
        build_together(sources)
        yield


@pytest.mark.parametrize("row", [row for row in ROWS if row.name not in ELSEWHERE], ids=lambda row: row.name)
def test_row(gpu: State, row: table.Row) -> None:
    check(row.call, *inputs(row, "float32"), rtol=2e-4 * row.tolerance)
    algebra = row.name.startswith(("linalg", "scipy.linalg", "polyfit"))
    assert set(gpu.syncs) - {"get"} <= WAITS | (WAITS_OF_LINALG if algebra else set())
    assert not gpu.uploads


def test_where_with_a_mask_on_the_device(rng: np.random.Generator, gpu: State) -> None:
    mask, x, y = rng.random((2, 3)) > 0.5, *(rng.standard_normal(s).astype(np.float32) for s in ((2, 3), (3,)))
    check(gg.where, mask, x, y)


def test_where_with_a_mask_on_the_host_names_both_devices(gpu: State) -> None:
    with pytest.raises(gg.DeviceError, match=r"\[where\] .*\(2,\) bool on cpu; \(2,\) float32 on cuda:0"):
        gg.where(np.array([True, False]), gg.zeros(2, device="cuda"), 1.0)


def test_dropout_gradient_has_the_mask_of_the_value(gpu: State) -> None:
    x = gg.ones(64, device="cuda", requires_grad=True)
    y = gg.dropout(x, 0.5)
    y.backward(gg.ones_like(y))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert {0.0, 2.0} == set(y.detach().numpy().tolist())
