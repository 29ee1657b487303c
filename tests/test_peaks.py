"""Peak memory of GPU steps, counted on CuPy's own arrays without a driver, against arithmetic and against PyTorch."""

import json
from pathlib import Path

import pytest

import gpugrad as gg
from benchmarks.gpu import peaks
from benchmarks.gpu.jobs import JOBS
from benchmarks.gpu.undriven import undriven, why_not
from gpugrad.backend import cuda_launch

MIB = 1 << 20


@pytest.fixture(autouse=True)
def _cupy() -> None:
    pytest.importorskip("cupy")
    if reason := why_not():
        pytest.skip(reason)


def test_memory_is_counted_while_somebody_has_it() -> None:
    with undriven(counting=True) as counts:
        x = gg.zeros((256, 1024), device="cuda")
        y = x + 1.0
        del y
        assert (counts.held, counts.most) == (MIB, 2 * MIB)
        view = x[3]
        del x
        assert counts.held == MIB
        del view
        assert counts.held == 0
        counts.clear()
        assert counts.most == 0


@pytest.mark.parametrize(
    ("name", "arrays"), [("silu 10^7", 4), ("softmax 10^7", 4), ("layer_norm 10^7", 4.21), ("cross_entropy 10^7", 2.01)]
)
def test_kernels_take_what_they_are_given_and_give(name: str, arrays: float) -> None:
    """x and its gradient, and where the result is one such array, that one and its cotangent."""
    job = next(j for j in JOBS if j.name == name)
    rows, columns = job.sizes
    taken = peaks.of_ours(job, tiny=False) / (4 * rows * columns)
    assert arrays - 0.01 <= taken <= arrays


def test_a_small_network_takes_no_more_than_in_pytorch() -> None:
    pytest.importorskip("torch")
    job = next(j for j in JOBS if j.name == "mlp small")
    assert peaks.of_ours(job, tiny=False) <= peaks.of_torch(job, tiny=False) + 512, "but for a single number"


def test_every_step_runs_without_kernels_of_cupys_own(tmp_path: Path) -> None:
    assert peaks.main(["--tiny", "--out", str(tmp_path)]) == 0
    assert set(json.loads((tmp_path / "gpu-peaks.json").read_text())["bytes"]) == {j.name for j in peaks.COUNTED}
    assert "| mlp large bf16 |" in (tmp_path / "gpu-peaks.md").read_text()


def test_units_of_rows_fill_every_multiprocessor_alike() -> None:
    with undriven():  # 132 of them
        # As many side by side as registers allow, where there are rows enough: 132 of 256 threads, 3 x 132 of 128.
        assert cuda_launch.rows_a_unit("block256", 24576, 8, 0) == -(-24576 // 132)
        assert cuda_launch.rows_a_unit("block128", 24576, 8, 0) == -(-24576 // 396)
        assert cuda_launch.rows_a_unit("block128", 2560, 8, 0) == 10, "two on each; three would have 6 rows"
        assert cuda_launch.rows_a_unit("block128", 100, 8, 0) == 8, "fewer rows are not worth a line of sums"
        assert cuda_launch.rows_a_unit("four", 1 << 20, 64, 0) == -(-(1 << 20) // (132 * 2 * 8)), "a warp is a unit"
