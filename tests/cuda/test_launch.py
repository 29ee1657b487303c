"""The launch descriptions: collapsing dimensions, choosing the entry point, the grid and the layout."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpugrad.fusion import trace
from gpugrad.fusion.cuda_compiler import CudaLauncher, collapse, cuda_source


def launcher(dtype: str = "float32", out: str | None = None) -> CudaLauncher:
    return CudaLauncher(cuda_source(trace(lambda x, y: x * y, "mul"), (dtype, dtype), (out or dtype,)))


def reached(shape: tuple[int, ...], strides: tuple[tuple[int, ...], ...]) -> set[tuple[int, ...]]:
    """The tuples of offsets that the operands are at, over all elements."""
    places = np.indices(shape).reshape(len(shape), -1)
    return set(zip(*(np.tensordot(s, places, 1).tolist() for s in strides), strict=True))


@given(st.data())
def test_collapsing_keeps_the_pairing_of_elements(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    dense = np.empty(shape, np.int8).strides
    order = data.draw(st.permutations(range(len(shape))))
    moved = np.empty([shape[d] for d in order], np.int8).transpose(np.argsort(order)).strides
    kept = tuple(0 if data.draw(st.booleans()) else s for s in dense)
    strides = (kept, tuple(-s for s in moved), dense)
    sizes, steps = collapse(shape, strides)
    assert reached(sizes, steps) == reached(shape, strides)
    assert len(sizes) <= max(1, sum(n > 1 for n in shape))


@pytest.mark.parametrize(
    ("shape", "strides", "expected"),
    [
        ((4, 3, 5), [(15, 5, 1), (15, 5, 1)], ((60,), ((1,), (1,)))),
        ((4, 3, 5), [(0, 0, 1), (15, 5, 1)], ((12, 5), ((0, 1), (5, 1)))),
        ((4, 1, 5), [(5, 99, 1), (5, 77, 1)], ((20,), ((1,), (1,)))),
        ((3, 4), [(1, 3), (1, 3)], ((12,), ((1,), (1,)))),
        ((), [(), ()], ((1,), ((0,), (0,)))),
    ],
)
def test_collapse_merges_what_steps_as_one(shape: Any, strides: Any, expected: Any) -> None:
    assert collapse(shape, strides) == expected


@pytest.mark.parametrize(
    ("strides", "addresses", "way"),
    [
        ([None, None, None], [0, 256, 512], "contiguous"),
        ([None, None, None], [0, 260, 512], "strided"),  # not aligned to 16 bytes
        ([None, (0, 4), None], [0, 256, 512], "rows"),
        ([None, (4, 0), None], [0, 256, 512], "rows"),
        ([None, (), None], [0, 256, 512], "rows"),
        ([None, (4, 32), None], [0, 256, 512], "strided"),
        ([None, (36, 4), None], [0, 256, 512], "strided"),  # rows of 9 floats do not begin on 16 bytes
        ([(4, 32), (4, 32), (4, 32)], [0, 256, 512], "contiguous"),  # Fortran order throughout
    ],
)
def test_the_entry_point_suits_the_layout(strides: list[Any], addresses: list[int], way: str) -> None:
    plan = launcher().plan((8, 8), strides, addresses)
    assert plan is not None
    assert plan.entry == f"gg_mul_f32_f32_f32_{way}"
    assert plan.block[0] * plan.block[1] == 256


def test_nothing_to_compute_is_no_launch() -> None:
    assert launcher().plan((3, 0), [None, None, None], [0, 0, 0]) is None


def test_large_extents_take_64_bit_indices() -> None:
    plan = launcher().plan((2, 3), [(4 * 2**31, 4), None, None], [0, 0, 0])
    assert plan is not None
    assert plan.entry.endswith("_strided64")
    assert plan.first.dtype["words"].base == np.int64


def test_more_than_eight_dimensions_that_do_not_merge_are_refused() -> None:
    shape = (2,) * 10
    spread = tuple(4 * 3**d for d in range(9, -1, -1))
    with pytest.raises(ValueError, match="10 dimensions"):
        launcher().plan(shape, [spread, None, None], [0, 0, 0])


def test_a_wide_access_holds_at_most_sixteen_bytes() -> None:
    widths: dict[tuple[str, str | None], int] = {
        ("float32", None): 4, ("float64", None): 2, ("float16", None): 8, ("float16", "float32"): 4, ("bool", None): 8,
    }  # fmt: skip
    for (dtype, out), width in widths.items():
        assert launcher(dtype, out).source.width == width


@pytest.mark.parametrize(
    ("make", "compute"),
    [
        (lambda x: x + 1.0, "int64"),
        (lambda x: x + 0.5, "float64"),
        (lambda x: np.exp(x) + 1.0, "float64"),
    ],
)
def test_integer_kernels_compute_in_integers_where_that_is_exact(make: Callable[[Any], Any], compute: str) -> None:
    assert cuda_source(trace(make, "f"), ("int64",), ("int64",)).compute == compute
