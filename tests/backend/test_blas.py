"""The threads of matrix products: one for those that a second thread would save next to nothing."""

from __future__ import annotations

import numpy as np
import pytest

from gpugrad.backend import backend_for, blas


@pytest.mark.skipif(not blas.controlled(), reason="NumPy has another library for products")
def test_small_products_take_one_thread_of_openblas(monkeypatch):
    backend, rng = backend_for("cpu"), np.random.default_rng(0)
    entered = []
    monkeypatch.setattr(blas._blocks, "enter", lambda *controls: entered.append(1))
    monkeypatch.setattr(blas._blocks, "leave", lambda *controls: None)
    small, large, tiny = (rng.standard_normal((n, n), dtype=np.float32) for n in (100, 256, 32))
    for a, taken in ((small, True), (large, False), (tiny, False)):
        out = np.empty_like(a)
        for result in (backend.matmul(a, a), backend.matmul(a, a, out)):
            np.testing.assert_allclose(result, a.astype(np.float64) @ a, rtol=1e-3, atol=1e-3)
        assert result is out
        assert len(entered) == (2 if taken else 0)
        entered.clear()


@pytest.mark.skipif(not blas.controlled(), reason="NumPy has another library for products")
def test_the_number_of_threads_comes_back_after_the_last_block_and_after_an_error():
    tell, put = blas._controls()
    before = tell()
    put(2)
    inside = tell()
    try:
        with blas.one_thread():
            with blas.one_thread():
                assert tell() == 1
            assert tell() == 1
        assert tell() == inside
        with pytest.raises(ZeroDivisionError), blas.one_thread():
            1 / 0  # noqa: B018
        assert tell() == inside
    finally:
        put(before)
