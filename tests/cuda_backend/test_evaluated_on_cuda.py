"""Special functions and distributions on the GPU branch: numbers as parameters, and what CuPy does not have."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.scipy import linalg, special, stats
from tests.cuda_backend.parity import check
from tests.standin import State

pytest.importorskip("scipy.special", reason="SciPy is not installed: the stand-in computes with it")
X = np.array([0.3, 0.7, 0.9], np.float32)


def test_numbers_beside_tensors_are_made_on_the_device(gpu: State) -> None:
    for function in (
        lambda x: special.gammainc(2, x),
        lambda x: special.yn(1, x),
        lambda x: stats.beta.cdf(x, 2.5, 3),
        lambda x: stats.chi2.logpdf(x, 3),
        lambda x: stats.norm.logpdf(x, 0.1, 2.0),
        lambda x: stats.poisson.logpmf(2, x),
        lambda x: stats.t.sf(x, 4, 0.5),
    ):
        check(function, X, rtol=1e-4)
    assert not gpu.uploads
    assert set(gpu.syncs) <= {"get"}


def test_what_cupy_does_not_have_says_where_to_compute_it(gpu: State) -> None:
    x = gg.tensor(X, device="cuda")
    with pytest.raises(NotImplementedError, match=r"\[jv\] cupyx.scipy.special has no jv of float32; .*x.to\('cpu'\)"):
        special.jv(0, x)
    with pytest.raises(NotImplementedError, match=r"\[erf\] .* of complex64"):
        special.erf(x + 1j * x)
    with pytest.raises(NotImplementedError, match=r"\[sqrtm\] no library on cuda:0 has it"):
        linalg.sqrtm(gg.tensor(np.eye(2), device="cuda"))
