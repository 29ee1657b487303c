"""Writes the tables of `benchmarks/README.md` from the records in `benchmarks/results/`.

`python -m benchmarks.table` does it. Only what was measured and recorded is shown, each suite with its
machine, versions and date.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.jobs import SUITES
from benchmarks.paired import RESULTS, document

README = Path(__file__).resolve().parent / "README.md"
BEGIN = "<!-- results: written by `python -m benchmarks.table`, do not edit -->"
END = "<!-- end of results -->"


def sections(results: Path) -> str:
    """The tables of all records in a folder, the CPU's first, in the order of the suites."""
    parts = []
    for device in ("cpu", "cuda"):
        for suite in (*SUITES, "bandwidth"):
            path = results / f"{device}-{suite}.json"
            if path.exists():
                parts.append(_section(json.loads(path.read_text()), suite, path))
    return "\n\n".join(parts) if parts else "No results are recorded yet."


def _section(record: dict[str, Any], suite: str, path: Path) -> str:
    text = document(record, tables=suite != "elementwise").strip()
    if suite == "elementwise":
        # One row a function and phase would be eighty rows: they are in the file beside the record.
        text += "\n\n" + report.summary_table(report.elementwise_summary(record["suites"][suite]))
        text += f"\n\nEvery function: [results/{path.stem}.md](results/{path.stem}.md)."
    device = "CPU" if record["device"] == "cpu" else "GPU"
    return f"### {suite}, {device}\n\n{text}"


def rewritten(readme: str, tables: str) -> str:
    """The page with the tables between its two markers.

    Raises:
        ValueError: the page lacks a marker.
    """
    if BEGIN not in readme or END not in readme:
        raise ValueError(f"[benchmarks.table] README.md needs the lines {BEGIN!r} and {END!r}")
    before, rest = readme.split(BEGIN, 1)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.split(END, 1)[1]}"


def main(arguments: list[str] | None = None) -> int:
    """Rewrites the page, or with `--check` only says whether it is current (code 1 where it is not)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.table", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; code 1 where the page is stale")
    options = parser.parse_args(arguments)
    page = README.read_text()
    current = rewritten(page, sections(RESULTS))
    if options.check:
        return int(page != current)
    README.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main())
