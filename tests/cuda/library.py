"""Every elementwise kernel of the library as the CUDA tests see it: a formula, and how each input is passed.

Also the one command that rewrites `kernels/generated/`:  python -m tests.cuda.library --write
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

import gpugrad.ops.elementwise  # noqa: F401  (registers the operations)
from gpugrad.fusion import BOOL, Formula
from gpugrad.fusion.cuda_compiler import SCALAR, CudaSource, cuda_source
from gpugrad.fusion.expr import topological
from gpugrad.fusion.locate import kernel_dir
from gpugrad.primitive import ELEMENTWISE


@dataclass(frozen=True)
class Case:
    """A formula and its inputs: `passed` is one of "real", "bool" and "scalar" for each."""

    formula: Formula
    passed: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.formula.name

    def dtypes(self, real: str) -> tuple[str, ...]:
        return tuple({"real": real, "bool": "bool", SCALAR: SCALAR}[p] for p in self.passed)

    def out_dtypes(self, real: str) -> tuple[str, ...]:
        return tuple("bool" if o.kind == BOOL else real for o in self.formula.outputs)

    def source(self, real: str) -> CudaSource:
        return cuda_source(self.formula, self.dtypes(real), self.out_dtypes(real))


@functools.cache
def cases() -> tuple[Case, ...]:
    """Each operation's forward, then its gradient towards its array inputs."""
    found = []
    for operation in ELEMENTWISE.values():
        formula: Formula = operation.formula
        truths = {n.value for n in topological(formula.outputs) if n.op == "input" and n.kind == BOOL}
        passed = {n: "bool" if n in truths else "real" for n in formula.inputs}
        # What has a default is a number that nearly every caller leaves alone: a kernel argument by value.
        passed |= dict.fromkeys(operation._defaults, SCALAR)
        found.append(Case(formula, tuple(passed.values())))
        if not operation.differentiable:
            continue
        wrt = tuple(i for i, n in enumerate(formula.inputs) if passed[n] == "real")
        backward = formula.vjp(wrt).formula
        found.append(Case(backward, tuple(passed.get(n, "real") for n in backward.inputs)))
    return tuple(found)


def generated() -> dict[str, str]:
    """File name -> text of `kernels/generated/`: the float32 source of every case."""
    head = "// Generated from the formula below; do not edit. Rewrite: python -m tests.cuda.library --write\n"
    return {f"{case.name}.cu": head + case.source("float32").short for case in cases()}


def write(folder: Path) -> int:
    """Bring `folder` up to date and return how many files changed."""
    wanted, changed = generated(), 0
    folder.mkdir(exist_ok=True)
    for stale in folder.glob("*.cu"):
        if stale.name not in wanted:
            stale.unlink()
            changed += 1
    for name, text in wanted.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
            changed += 1
    return changed


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.cuda.library --write")
    print(f"{write(kernel_dir() / 'generated')} of {len(generated())} files changed")
