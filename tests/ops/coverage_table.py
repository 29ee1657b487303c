"""`docs/coverage.md`: which functions have derivatives, by which means, and how far that is tested.

Made from the code: what a function computes with is what its rows in the table of operations record. Rewrite it with
`python -m tests.ops.coverage_table --write`; a test holds the file to this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

import gpugrad as gg
import gpugrad.numpy as gnp
import gpugrad.scipy as gsp
from gpugrad import signatures
from gpugrad.nn import torch_calls
from gpugrad.primitive import ELEMENTWISE, FUNCTIONS, REGISTRY
from tests.cuda_backend.test_ops_table import ELSEWHERE
from tests.ops import table
from tests.ops.audit import NOT_PROVIDED, WITHOUT_DERIVATIVE, public
from tests.ops.harness import recorded
from tests.transforms.test_vmap_of_every_operation import BY_VALUE

FILE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"

FACES: dict[str, Any] = {
    "gpugrad.numpy": gnp, "gpugrad.numpy.linalg": gnp.linalg, "gpugrad.numpy.fft": gnp.fft,
    "gpugrad.scipy.special": gsp.special, "gpugrad.scipy.linalg": gsp.linalg, "gpugrad.scipy.signal": gsp.signal,
    **{f"gpugrad.scipy.stats.{name}": getattr(gsp.stats, name) for name in gsp.stats.__all__},
    "gpugrad.nn.functional": gg.nn.functional, "gpugrad": gg,
}  # fmt: skip
NUMPYS = {"gpugrad.numpy": np, "gpugrad.numpy.linalg": np.linalg, "gpugrad.numpy.fft": np.fft}

# Rows that cannot run on a device or in a map, as their tests say; `where` has a test of its own there.
NOT_ON_A_DEVICE = set(ELSEWHERE) - {"where"}
NOT_IN_A_MAP = set(BY_VALUE)


@dataclass
class Coverage:
    """What the rows of one function show."""

    rows: list[table.Row] = field(default_factory=list)
    primitives: list[set[str]] = field(default_factory=list)  # what each row records

    @property
    def order(self) -> int:
        """The highest order of derivative that is compared with differences; 0 for a function without one."""
        return max((row.order for row in self.rows), default=0)

    def forward_mode(self) -> str:
        """How tangents go through: by a formula or rule, or as the transpose of the way back.

        A row may call other functions besides; what all rows record is the function's own.
        """
        own = set.intersection(*self.primitives) if self.primitives else set()
        return "transposed" if any(_transposed(name) for name in own) else "yes"

    def places(self) -> str:
        """The backends that the rows run on."""
        return "NumPy" if all(row.name in NOT_ON_A_DEVICE for row in self.rows) else "NumPy, CuPy"

    def mapped(self) -> str:
        """Whether it runs under `vmap`."""
        return "no" if all(row.name in NOT_IN_A_MAP for row in self.rows) else "yes"


def _transposed(name: str) -> bool:
    p = REGISTRY.get(name)
    return p is not None and not (p.linear or p.bilinear or p.jvp or p.reference)


def coverage() -> dict[int, Coverage]:
    """The coverage of every function that a row calls or stands for, by the function's identity."""
    found: dict[int, Coverage] = {}
    for row, functions in _calls():
        names = recorded(row) if row.order else set()
        for function in functions:
            entry = found.setdefault(id(function), Coverage())
            entry.rows.append(row)
            if row.order:
                entry.primitives.append(names)
    return found


def _calls() -> Iterator[tuple[table.Row, list[Callable[..., Any]]]]:
    """Each row with the public functions that it calls by name, covers, or is named for."""
    lookup, called = type(table.op).__getattr__, []

    def noted(self: Any, name: str) -> Callable[..., Any]:
        called.append(lookup(self, name))
        return called[-1]

    type(table.op).__getattr__ = noted  # type: ignore[method-assign]
    try:
        for row in table.rows():
            called.clear()
            row.call(*row.sample())
            names = (*row.covered, row.name.split(" ")[0], ".".join(row.name.split(" ")[:2]))
            named = [ELEMENTWISE.get(n) or FUNCTIONS.get(n) for n in names]
            yield row, [own(f) for f in (*called, *named, _of_a_face(row.name)) if f is not None]
    finally:
        type(table.op).__getattr__ = lookup  # type: ignore[method-assign]


def _of_a_face(name: str) -> Callable[..., Any] | None:
    """The function of a row that is named for one: "nn.functional.mse_loss"."""
    found: Any = gg
    for part in name.split(" ")[0].split("."):
        found = getattr(found, part, None) if isinstance(found, ModuleType) else None
    return found if callable(found) else None


# Where the thin functions are written that take calls under another signature.
_THIN = (signatures.__file__, torch_calls.__file__, gsp.linalg.__file__)


def own(function: Any) -> Any:
    """The function behind one that takes calls under NumPy's, SciPy's or PyTorch's signature."""
    thin = isinstance(function, FunctionType) and function.__code__.co_filename in _THIN
    return getattr(function, "__wrapped__", function) if thin else function


def functions_of(face: str) -> Iterator[tuple[str, Any]]:
    """The functions of gpugrad's own that a face shows, by name."""
    for name in sorted(FACES[face].__all__):
        function = own(getattr(FACES[face], name))
        module = getattr(function, "__module__", None) or type(function).__module__
        if callable(function) and not isinstance(function, type) and module.startswith("gpugrad"):
            yield name, function


def untested(face: str, known: dict[int, Coverage] | None = None) -> list[str]:
    """The functions of a face that no row tests and that are not listed as having no derivative."""
    known = coverage() if known is None else known
    return [n for n, f in functions_of(face) if id(f) not in known and n not in WITHOUT_DERIVATIVE]


def unaccounted(face: str) -> list[str]:
    """The public names of NumPy's that a face neither has nor gives a reason for not having."""
    return [n for n in public(NUMPYS[face]) if n not in FACES[face].__all__ and n not in NOT_PROVIDED]


def text() -> str:
    """The page."""
    known = coverage()
    parts = [HEAD]
    for face in FACES:
        parts.append(f"\n## {face}\n\n{TITLES}")
        parts.extend(_line(name, known.get(id(f))) for name, f in functions_of(face))
        if face in NUMPYS:
            theirs = [n for n in FACES[face].__all__ if n not in dict(functions_of(face))]
            if theirs:
                parts.append("\nNumPy's own, on bare arrays: " + ", ".join(f"`{n}`" for n in sorted(theirs)) + ".")
            missing = [n for n in public(NUMPYS[face]) if n not in FACES[face].__all__]
            if missing:
                parts.append("\nNot provided:\n\n| name | why |\n|---|---|")
                parts.extend(f"| `{n}` | {NOT_PROVIDED[n]} |" for n in missing)
    return "\n".join(parts) + "\n"


def _line(name: str, entry: Coverage | None) -> str:
    if entry is None:
        return f"| `{name}` | none: {WITHOUT_DERIVATIVE.get(name, 'not tested')} | | | | |"
    order = entry.order
    back, forth = ("yes", entry.forward_mode()) if order else ("zero", "zero")
    return f"| `{name}` | {back} | {forth} | {order or ''} | {entry.places()} | {entry.mapped()} |"


TITLES = "| function | reverse | forward | order tested | backends | vmap |\n|---|---|---|---|---|---|"
HEAD = """# Coverage

Which functions have derivatives, and how far that is tested. Made from the code by
`python -m tests.ops.coverage_table --write`; a test holds it to the code.

- *reverse*: "yes" for a rule, compared with central differences (and PyTorch where it has the function); "zero" where
  the result is constant between steps, or integers and truth values; "none" for what computes nothing from a tensor.
- *forward*: "yes" for a formula, a linear map or a rule; "transposed" where the tangent is the reverse mode of the
  reverse rule, at about the cost of a second backward pass.
- *order tested*: derivatives up to this order are compared with differences. Every function can be differentiated
  further: the rules are made of functions of these tables.
- *backends*: "CuPy" means run through a strict stand-in for CuPy with the kernels executed on the CPU; what has run on
  a device is in [gpu-status.md](gpu-status.md).
- *vmap*: compared with a loop over the examples, values and gradients."""


def main(arguments: list[str]) -> str:
    """Write the page, and say whether it changed."""
    if arguments != ["--write"]:
        sys.exit("usage: python -m tests.ops.coverage_table --write")
    new = text()
    changed = not FILE.is_file() or FILE.read_text("utf-8") != new
    FILE.write_text(new, "utf-8")
    return f"{FILE.name}: {'rewritten' if changed else 'as it was'}"


if __name__ == "__main__":
    print(main(sys.argv[1:]))
