"""docs/benchmarking.md is a program: its Python runs in order, and the options that it names are there."""

import re
from pathlib import Path

import pytest

from gpugrad.cli import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "benchmarking.md").read_text("utf-8")


def test_python_of_the_page_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL), start=1):
        exec(compile(block, f"docs/benchmarking.md, block {number}", "exec"), namespace)
    assert (tmp_path / "report.json").exists()


def test_options_of_the_page_are_those_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE))
    assert named <= known
