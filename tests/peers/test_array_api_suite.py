"""The array API standard's own tests against `gpugrad.array_api`; docs/array-api.md says how to run them.

The suite is no part of this repository: `ARRAY_API_TESTS` names a checkout of it. What is known to fail is in
array_api_xfails.txt, each with its reason, and counts as failed.
"""

import importlib.util
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NEEDED = ("hypothesis", "ndindex", "pytest_jsonreport")


def checkout() -> Path:
    folder = os.environ.get("ARRAY_API_TESTS")
    if not folder:
        pytest.skip("ARRAY_API_TESTS names no checkout of data-apis/array-api-tests (docs/array-api.md)")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the suite needs {', '.join(missing)} (docs/array-api.md)")
    return Path(folder)


@pytest.mark.peers
@pytest.mark.slow
def test_95_percent_of_the_standards_own_tests_pass() -> None:
    suite = checkout()
    examples = os.environ.get("ARRAY_API_TESTS_EXAMPLES", "20")
    run = subprocess.run(
        [
            sys.executable, "-m", "pytest", "array_api_tests", "-q", "-rfX", "--tb=no", "-p", "no:cacheprovider",
            "-p", "no:warnings", "--disable-deadline", "--hypothesis-derandomize", "--max-examples", examples,
            "--xfails-file", str(HERE / "array_api_xfails.txt"),
        ],
        check=False,
        cwd=suite,
        env=os.environ
        | {
            "ARRAY_API_TESTS_MODULE": "gpugrad.array_api",
            "ARRAY_API_TESTS_VERSION": "2024.12",
            "GPUGRAD_DEVICE": "cpu",
            "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
    )  # fmt: skip
    summary = run.stdout.strip().splitlines()[-1]
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|xfailed|xpassed|error)", summary)}
    print(summary)
    assert counts.get("failed", 0) + counts.get("error", 0) == 0, run.stdout[-3000:] + run.stderr[-1000:]
    ran = counts["passed"] + counts.get("xfailed", 0) + counts.get("xpassed", 0)
    assert ran > 1300, summary
    assert counts["passed"] / ran >= 0.95, summary


def test_every_known_failure_has_its_reason() -> None:
    lines = (HERE / "array_api_xfails.txt").read_text().splitlines()
    assert lines
    assert lines[0].startswith("#")
    for before, line in itertools.pairwise(lines):
        assert line == "" or line.startswith(("#", "array_api_tests/")), line
        assert not (before == "" and line.startswith("array")), f"no reason before {line}"
