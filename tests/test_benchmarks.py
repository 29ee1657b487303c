"""The benchmarks run and their figures are put together right; no test here looks at a time.

The paired runner, the pytest-benchmark files and the memory probes are run once at tiny sizes, so that they
cannot rot; statistics, verdicts and tables are checked on figures written by hand.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu, jobs, machine, memory, paired, report, table
from benchmarks.jobs import Job
from benchmarks.libs import LIBRARIES

ROOT = Path(__file__).resolve().parent.parent


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=ROOT,
        # Not as one of several processes of tests, in which pytest-benchmark measures nothing.
        env={name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def smoke(tmp_path: Path, *options: str, **environment: str) -> dict[str, Any]:
    path = tmp_path / "figures.json"
    done = run_python("-m", "benchmarks.paired", "--smoke", "--json", str(path), *options, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    record: dict[str, Any] = json.loads(path.read_text())
    record["printed"] = done.stdout
    return record


def turn(minimum: float, median: float, variant: str = "only", others: float = 0.0) -> dict[str, Any]:
    return {"times": {variant: {"min": minimum, "median": median, "calls": 3.0}}, "others": others}


def played(*rounds: dict[str, Any], checks: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"rounds": list(rounds), "checks": checks or {}, "failed": {}}


class TestRunner:
    def test_every_suite_runs_with_both_variants_of_gpugrad_and_numpy_agreeing(self, tmp_path: Path) -> None:
        names = ["numpy", "gpugrad-numpy"]
        names += ["gpugrad"] if importlib.util.find_spec("numba") else []
        record = smoke(tmp_path, "--libs", ",".join(names), "--only", "^(?!.*(elu|soft|hard|relu6|mish|memory))")
        assert record["left_out"] == {}
        for suite in ("mlp", "tape", "elementwise", "operations", "convolution", "adam", "transforms", "loops"):
            assert record["suites"][suite], suite
            for entry in record["suites"][suite]:
                assert entry["failed"] == {}
                assert entry["disagree"] == []
                products = entry["job"]["kind"] in ("gemm", "jacobian_products")
                assert products or set(names) - {"numpy"} <= set(entry["libraries"])
        assert set(record["workers"]) == set(names)
        assert record["machine"]["cores"] >= 1
        assert "numpy" in record["machine"]["versions"]
        assert "| tape 40 ops forward |" in record["printed"]

    def test_preset_blas_kernels_are_removed_from_workers_and_recorded(self, tmp_path: Path) -> None:
        preset = {"OPENBLAS_CORETYPE": "Nehalem"}
        record = smoke(tmp_path, "--suite", "tape", "--libs", "numpy", **preset)
        assert record["machine"]["preset_and_removed"] == preset
        assert record["workers"]["numpy"]["openblas"] != "Nehalem"

    def test_a_library_that_is_not_there_is_left_out_with_its_reason(self, tmp_path: Path) -> None:
        hidden = tmp_path / "autograd"
        hidden.mkdir()
        (hidden / "__init__.py").write_text("raise ImportError('autograd is hidden')")
        where = {"PYTHONPATH": str(tmp_path)}
        record = smoke(tmp_path, "--suite", "tape", "--libs", "numpy,autograd", **where)
        assert record["left_out"] == {"autograd": "ImportError: autograd is hidden"}
        assert list(record["suites"]["tape"][0]["libraries"]) == ["numpy"]

    def test_an_unknown_library_or_suite_is_refused_with_the_known_ones(self) -> None:
        done = run_python("-m", "benchmarks.paired", "--libs", "tensorflow")
        assert done.returncode == 2
        assert "tensorflow; libraries: gpugrad," in done.stderr

    @pytest.mark.peers
    @pytest.mark.slow  # each recorded run compares them too, before anything is timed
    @pytest.mark.parametrize("name", ["torch", "jax", "autograd"])
    def test_peers_compute_the_same_as_gpugrad(self, tmp_path: Path, name: str) -> None:
        pytest.importorskip(name)
        # All of them are compared in tests of their own.
        some = "mlp|tape|adam|gelu|prelu|softplus|step|matmul|norm|max|conv2d"
        # One thread: those of PyTorch stall for milliseconds a call when the other processor is taken.
        record = smoke(
            tmp_path, "--libs", f"{name},gpugrad-numpy", "--only", some, "--rounds", "1", OMP_NUM_THREADS="1"
        )
        assert record["left_out"] == {}
        for suite in record["suites"].values():
            for entry in suite:
                assert entry["disagree"] == []
                assert entry["failed"] == {}

    def test_the_pytest_benchmark_files_run(self) -> None:
        pytest.importorskip("pytest_benchmark")
        done = run_python(
            "-m", "pytest", "benchmarks", "-q", "--smoke", "--lib", "gpugrad-numpy", "-p", "no:cacheprovider"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "bench_control[control:-an-empty-call]" in done.stdout
        assert "bench_convolution[conv2d-3x3-vjp]" in done.stdout
        assert "bench_memory" in done.stdout

    def test_without_a_device_the_gpu_benchmarks_end_with_one_clear_line(self) -> None:
        import gpugrad as gg

        if gg.cuda.is_available():
            pytest.skip("a CUDA device answers here")
        done = run_python("-m", "benchmarks.gpu.run")
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("benchmarks.gpu.run: no CUDA device answers: ")


class TestMemory:
    @pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the memory suite reads Linux's /proc")
    def test_every_probe_runs_in_its_own_process_and_is_judged(self) -> None:
        records = memory.run(["gpugrad-numpy", "numpy"], "cpu", "smoke", lambda name: True)
        assert [record["probe"] for record in records] == ["growth", "peak", "chain", "conv 3x3 smoke"]
        rows = {record["probe"]: record["libraries"] for record in records}
        assert all(list(libraries) == ["gpugrad-numpy"] for libraries in rows.values())
        assert all("failed" not in libraries["gpugrad-numpy"] for libraries in rows.values())
        assert rows["growth"]["gpugrad-numpy"]["steps"] == 20
        assert rows["chain"]["gpugrad-numpy"]["met"] is True
        assert "chain of 2,000 operations | gpugrad-numpy | right" in memory.markdown(records)

    def test_a_probe_that_breaks_is_reported_with_its_last_line(self) -> None:
        found = memory.probe("gpugrad-numpy", "cpu", "growth", "no-such-scale")
        assert found == {"failed": "code 1: KeyError: 'no-such-scale'"}


class TestFigures:
    job = Job("a job", "mlp", "mlp", {}, {"gpugrad": 0.65})

    def test_the_goal_is_held_against_the_minima_and_the_paired_ratio_is_of_each_round(self) -> None:
        found = report.figures(
            self.job,
            played(
                {"torch": turn(2.0, 4.0), "gpugrad": turn(1.5, 2.0)},
                {"torch": turn(3.0, 3.0), "gpugrad": turn(1.2, 2.4)},
                {"torch": turn(2.5, 2.5), "gpugrad": turn(1.4, 5.0)},
            ),
        )["libraries"]["gpugrad"]
        assert found["ratio_min"] == pytest.approx(1.2 / 2.0)
        assert found["ratio_paired"] == pytest.approx(2.4 / 3.0)
        assert found["met"] is True

    def test_a_missed_goal_is_shown_as_missed(self) -> None:
        record = report.figures(self.job, played({"torch": turn(1.0, 1.0), "gpugrad": turn(0.9, 0.8)}))
        assert record["libraries"]["gpugrad"]["met"] is False
        assert "| a job | 1000.000 (1000.000) only | 0.90 (0.80) **misses** 0.65 | 0 % |" in report.markdown([record])

    def test_pytorch_counts_with_its_fastest_variant(self) -> None:
        fused = {
            "times": {**turn(3.0, 3.0, "default")["times"], **turn(1.0, 1.0, "fused")["times"]},
            "others": 0.0,
        }
        found = report.figures(self.job, played({"torch": fused, "gpugrad": turn(1.0, 1.0)}))
        assert found["libraries"]["torch"]["variant"] == "fused"
        assert found["libraries"]["gpugrad"]["ratio_min"] == 1.0

    def test_the_tape_is_judged_in_microseconds_an_operation_without_pytorch(self) -> None:
        job = next(job for job in jobs.tape_jobs("full") if job.params["phase"] == "forward")
        row = report.figures(job, played({"gpugrad": turn(1.3e-3, 1.4e-3)}))["libraries"]["gpugrad"]
        assert row["us_per_op"] == pytest.approx(1.3)
        assert (row["goal"], row["met"]) == (1.2, False)

    def test_turns_in_which_others_ran_are_counted(self) -> None:
        record = report.figures(self.job, played({"torch": turn(1, 1, others=0.5), "gpugrad": turn(1, 1)}))
        assert record["noisy_turns"] == 0.5

    @pytest.mark.parametrize(("value", "agrees"), [(2.0, True), (2.1, False), (float("nan"), False)])
    def test_libraries_that_compute_something_else_are_named(self, value: float, agrees: bool) -> None:
        checks = {"gpugrad": {"step": [value, 1.0]}, "torch": {"default": [2.0, 1.0]}}
        record = report.figures(self.job, played({"torch": turn(1, 1)}, checks=checks))
        assert (record["disagree"] == []) is agrees
        assert paired.succeeded({"suites": {"mlp": [record]}}) is agrees

    def test_elementwise_goals_are_a_geometric_mean_and_a_worst_case(self) -> None:
        def record(function: str, n: int, ratio: float) -> dict[str, Any]:
            job = Job(f"{function} {n}", "elementwise", "elementwise", {"function": function, "n": n})
            return report.figures(job, played({"torch": turn(1.0, 1.0), "gpugrad": turn(ratio, ratio)}))

        rows = report.elementwise_summary(
            [record("relu", 10**6, 0.5), record("gelu", 10**6, 1.7), record("relu", 10**7, 0.3)]
        )
        small, large = sorted(rows, key=lambda row: row["n"])
        assert small["geometric_mean"] == pytest.approx((0.5 * 1.7) ** 0.5)
        assert (small["worst"], small["met"]) == (1.7, False)
        assert (large["goal_mean"], large["goal_worst"], large["met"]) == (None, 0.4, True)

    def test_bandwidth_is_a_fraction_of_the_copy_with_three_arrays_moved_in_a_vjp(self) -> None:
        records = [
            report.figures(job, played({"gpugrad": turn(1e-3, 1e-3)}))
            for job in jobs.bandwidth_jobs("smoke")
            if job.kind == "copy" or job.params["function"] == "tanh"
        ]
        fractions = {row["job"]: row["fraction"] for row in report.bandwidth_summary(records)}
        assert fractions == {
            "copy 1e5": 1.0,
            "bandwidth tanh forward 1e5": 1.0,
            "bandwidth tanh vjp 1e5": 1.5,
        }
        assert "| bandwidth tanh forward 1e5 | 0.8 | 1.00 meets 0.85 |" in report.markdown(records)

    def test_memory_goals_are_one_megabyte_and_a_tenth_or_a_fifth_above_pytorch(self) -> None:
        rows = {"torch": {"bytes": 100.0}, "gpugrad": {"bytes": 111.0}, "gpugrad-numpy": {"bytes": 109.0}}
        memory._judge("peak", rows)
        assert (rows["gpugrad"]["met"], rows["gpugrad-numpy"]["met"]) == (False, True)
        rows = {"torch": {"bytes": 100.0}, "gpugrad": {"bytes": 121.0}, "gpugrad-numpy": {"bytes": 119.0}}
        memory._judge("conv 3x3 smoke", rows)
        assert (rows["gpugrad"]["met"], rows["gpugrad-numpy"]["met"]) == (False, True)
        grown: dict[str, dict[str, Any]] = {"gpugrad": {"bytes": 1_000_001}}
        memory._judge("growth", grown)
        assert grown["gpugrad"]["met"] is False


class TestTables:
    def test_the_page_keeps_what_is_around_the_results(self) -> None:
        page = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
        assert table.rewritten(page, "new") == f"before\n{table.BEGIN}\n\nnew\n\n{table.END}\nafter\n"
        with pytest.raises(ValueError, match="needs the lines"):
            table.rewritten("no markers", "new")

    def test_the_published_page_is_what_the_records_give(self) -> None:
        assert table.main(["--check"]) == 0

    def test_a_recorded_suite_appears_with_its_machine(self, tmp_path: Path) -> None:
        record = {
            "device": "cpu",
            "scale": "full",
            "machine": machine.describe(),
            "workers": {"gpugrad": {"openblas": "SkylakeX"}},
            "suites": {"mlp": [report.figures(TestFigures.job, played({"torch": turn(1.0, 1.0)}))]},
        }
        (tmp_path / "cpu-mlp.json").write_text(json.dumps(record))
        text = table.sections(tmp_path)
        assert text.startswith("### mlp, CPU")
        assert "OpenBLAS core type SkylakeX" in text
        assert "| a job | 1000.000 (1000.000) only |" in text


class TestJobs:
    def test_full_suites_have_every_job_that_the_goals_name(self) -> None:
        mlp = jobs.timed_jobs("mlp", "full")
        assert len(mlp) == 20
        assert [job.name for job in mlp if job.kind == "gemm"][1] == "mlp 784-512-512-10 B128 matrix products alone"
        goals = {job.name: job.goals for job in mlp}
        assert goals["mlp 784-512-512-10 B128 gelu sgd"] == {"gpugrad": 0.65, "gpugrad-numpy": 0.80}
        assert goals["mlp 784-512-512-10 B128 relu adam"] == {"gpugrad": 0.65, "gpugrad-numpy": 0.95}
        assert goals["mlp 784-128-10 B32 tanh sgd"] == {"gpugrad": 0.80, "gpugrad-numpy": 0.90}
        elementwise = {job.name for job in jobs.timed_jobs("elementwise", "full")}
        assert len(elementwise) == 2 * (2 * len(jobs.ACTIVATIONS) - 1)
        assert {"relu forward 1e6", "gelu vjp 1e7"} <= elementwise

    def test_names_are_unique_and_jobs_survive_json(self) -> None:
        found = [job for suite in (*jobs.SUITES[:-1], "bandwidth") for job in jobs.timed_jobs(suite, "full")]
        assert len({job.name for job in found}) == len(found)
        assert [Job(**json.loads(json.dumps(job.to_json()))) for job in found] == found

    def test_every_library_has_a_module(self) -> None:
        folder = Path(gpu.__file__).parent.parent / "libs"
        assert all((folder / f"{module}.py").exists() for module, _ in LIBRARIES.values())
