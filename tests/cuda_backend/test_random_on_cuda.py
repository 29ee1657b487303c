"""Random numbers of the GPU branch: their distributions, ranges, repetition, and that nothing is drawn twice."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.standin import State

scipy_stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda dtype: gg.rand(20000, dtype=dtype, device="cuda"), ("uniform",)),
        (lambda dtype: gg.uniform(-2.0, 3.0, 20000, dtype=dtype, device="cuda"), ("uniform", (-2, 5))),
        (lambda dtype: gg.randn(20000, dtype=dtype, device="cuda"), ("norm",)),
        (lambda dtype: gg.normal(1.0, 3.0, 20000, dtype=dtype, device="cuda"), (scipy_stats.norm(1, 3).cdf,)),
    ],
)
def test_distributions_are_what_they_are_called(gpu: State, draw: Any, law: Any, dtype: str) -> None:
    gg.manual_seed(1)
    values = draw(dtype).numpy()
    assert values.dtype == dtype
    assert scipy_stats.kstest(values, *law).pvalue > 0.01
    pairs = np.corrcoef(values[::2], values[1::2])[0, 1], np.corrcoef(values[:-1], values[1:])[0, 1]
    assert max(map(abs, pairs)) < 0.03


def test_integers_are_even_and_permutations_whole(gpu: State) -> None:
    gg.manual_seed(2)
    drawn = gg.randint(-3, 7, (20000,), device="cuda").numpy()
    assert scipy_stats.chisquare(np.bincount(drawn + 3, minlength=10)).pvalue > 0.01
    assert sorted(gg.randperm(500, device="cuda").tolist()) == list(range(500))
    firsts = [gg.randperm(4, device="cuda").tolist()[0] for _ in range(400)]
    assert scipy_stats.chisquare(np.bincount(firsts, minlength=4)).pvalue > 0.01


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_no_uniform_number_is_rounded_up_to_1(gpu: State, dtype: str) -> None:
    pytest.importorskip("ml_dtypes")  # gives NumPy bfloat16
    gg.manual_seed(3)
    values = gg.rand(30000, dtype=np.dtype(dtype), device="cuda")
    assert values.numpy().astype(np.float64).max() < 1


def test_a_seed_gives_its_numbers_again_and_calls_share_none(gpu: State) -> None:
    found = []
    for _ in range(2):
        gg.manual_seed(4)
        found.append([gg.rand(n, device="cuda").tolist() for n in (1, 3, 2, 8)])
    assert found[0] == found[1]
    drawn = [v for numbers in found[0] for v in numbers]
    assert len(set(drawn)) == len(drawn)
    gg.manual_seed(5)
    assert gg.rand(1, device="cuda").tolist() != found[0][0]


def test_drawing_neither_waits_nor_uploads_and_takes_one_launch(gpu: State) -> None:
    gg.rand(3, device="cuda")
    gpu.clear()
    gg.randn(1000, device="cuda")
    assert gpu.launches == ["gg_normal_f32"]
    assert gpu.syncs == gpu.uploads == []
    assert gg.rand(0, 3, device="cuda").shape == (0, 3)


def test_checkpoint_draws_the_same_numbers_again(gpu: State) -> None:
    x = gg.ones(50, device="cuda", requires_grad=True)
    gg.manual_seed(6)
    y = gg.checkpoint(lambda v: v * gg.randn(50, device="cuda"), x)
    between = gg.rand(3, device="cuda").tolist()
    y.backward(gg.ones_like(y))
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    after = gg.rand(3, device="cuda").tolist()
    gg.manual_seed(6)
    gg.randn(50, device="cuda")
    assert [gg.rand(3, device="cuda").tolist() for _ in range(2)] == [between, after]


def test_what_another_stream_uploaded_is_uploaded_anew(gpu: State) -> None:
    """Streams do not wait for each other: what one has brought to the device is not there for the other yet."""
    import cupy

    x, image = gg.ones(8, device="cuda"), gg.ones(1, 1, 4, 4, device="cuda")
    calls = (
        lambda: gg.rand(3, device="cuda"),
        lambda: gg.nn.functional.dropout(x),
        lambda: gg.nn.functional.interpolate(image, size=6, mode="bilinear"),
    )
    for call in calls:
        call()
        gpu.clear()
        call()
        assert not gpu.calls["array"]
        with cupy.cuda.Stream(non_blocking=True):
            call()
        assert gpu.calls["array"]
