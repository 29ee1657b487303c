"""The array API's namespace: every name of it, dtypes, results that stay tensors, gradients through it."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import array_api as xp


def test_every_name_is_there_and_no_other() -> None:
    for module in (xp, xp.linalg, xp.fft):
        assert [n for n in module.__all__ if not hasattr(module, n)] == []
        assert len(set(module.__all__)) == len(module.__all__)


def test_a_program_in_any_array_library_is_differentiated() -> None:
    def loss(x):
        np_ = x.__array_namespace__()
        y = np_.linalg.solve(np_.eye(3, dtype=x.dtype) * 4 + np_.matmul(x, np_.matrix_transpose(x)), x)
        z = np_.concat([np_.abs(y), np_.sort(x, axis=0)], axis=1)
        return np_.sum(np_.where(z > 0.5, np_.exp(z), z**2)) + np_.max(np_.linalg.vector_norm(z, axis=0))

    x = np.random.default_rng(1).normal(size=(3, 3))
    gg.check_grads(lambda a: loss(xp.asarray(a)), (x,), order=2)


def test_results_are_tensors_of_the_standards_dtypes() -> None:
    x = xp.asarray([[3, 1], [2, 3]])
    assert x.dtype == xp.int64
    assert xp.asarray([1.0]).dtype == xp.asarray(1.0).dtype == gg.get_default_dtype()
    for out in (xp.sum(x), xp.argmax(x), xp.any(x), xp.unique_values(x), xp.nonzero(x)[0], xp.fft.fftfreq(4)):
        assert isinstance(out, gg.Tensor)
    found = xp.unique_all(x)
    assert found.values.tolist() == [1, 2, 3]
    assert found.indices.tolist() == [1, 2, 0]
    assert found.inverse_indices.tolist() == [[2, 0], [1, 2]]
    assert found.counts.tolist() == [1, 1, 2]
    assert xp.unique_values(xp.asarray([np.nan, np.nan])).shape == (2,)


def test_copies_are_made_as_the_standard_says() -> None:
    x = xp.asarray([1.0, 2.0])
    assert xp.asarray(x) is x
    assert not np.shares_memory(xp.asarray(x, copy=True).data, x.data)
    a = np.zeros(2)
    assert np.shares_memory(xp.asarray(a, copy=False).data, a)
    for wrong in (lambda: xp.asarray([1.0], copy=False), lambda: xp.asarray(x, dtype=xp.float64, copy=False)):
        with pytest.raises(ValueError, match=r"\[asarray\] copy = False"):
            wrong()
    with pytest.raises(ValueError, match=r"\[reshape\] copy = False"):
        xp.reshape(xp.matrix_transpose(xp.ones((2, 3))), (6,), copy=False)
    assert not np.shares_memory(xp.reshape(x, (2, 1), copy=True).data, x.data)


def test_what_the_standard_refuses_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[squeeze\] axis = 1 has length 3"):
        xp.squeeze(xp.ones((1, 3)), 1)
    with pytest.raises(ValueError, match=r"\[nonzero\]"):
        xp.nonzero(xp.asarray(1))
    with pytest.raises(ValueError, match=r"\[cross\] lengths 2 and 2"):
        xp.linalg.cross(xp.ones((2,)), xp.ones((2,)))
    with pytest.raises(ValueError, match=r"\[dtypes\] kind = 'text'"):
        xp.__array_namespace_info__().dtypes(kind="text")


def test_the_namespace_says_what_it_can() -> None:
    info = xp.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] is True
    assert info.default_dtypes()["real floating"] == gg.get_default_dtype()
    assert list(info.dtypes(kind="integral")) == [
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    ]  # fmt: skip
    assert len(info.dtypes()) == 13
    assert info.default_device() in info.devices()
    assert xp.ones((1,)).to_device(info.default_device()).tolist() == [1.0]


def test_mixed_dtypes_are_joined_by_the_rules_of_promotion() -> None:
    out = xp.concat([xp.ones((1,), dtype=xp.float32), xp.ones((1,), dtype=xp.float64)])
    assert out.dtype == xp.float64
    assert xp.result_type(xp.ones(1), 2.0) == gg.get_default_dtype()
    assert xp.can_cast(xp.int8, xp.int16)
    assert xp.clip(xp.asarray([1, 5], dtype=xp.int8), 2, 3).dtype == xp.int8


def test_functions_keep_the_dtypes_of_integers() -> None:
    small = xp.asarray([2, 3], dtype=xp.uint8)
    assert xp.cumulative_prod(small, dtype=xp.uint8, include_initial=True).tolist() == [1, 2, 6]
    assert xp.cumulative_prod(small, dtype=xp.uint8).dtype == xp.uint8
    assert xp.round(small).dtype == xp.uint8
    assert xp.vecdot(small, small).dtype == xp.uint8
    with pytest.raises(ValueError, match=r"\[vecdot\] lengths 2 and 1"):
        xp.vecdot(small, xp.ones((1,)))


def test_a_deviation_over_fewer_than_no_elements_is_nan_as_in_numpy() -> None:
    with np.errstate(invalid="ignore"):
        assert np.isnan(xp.std(xp.asarray([0.0, 0.0]), correction=3.0).item())
