"""The table of operations: one row for each, from which every test of values and gradients is made.

How to add rows: a file `rows_<family>.py` beside this one with a list `ROWS` of `Row`; it is found by its name.

    Row("cumsum", lambda x: op.cumsum(x, axis=1), (normal(2, 3),), numpy=lambda x: np.cumsum(x, axis=1))

- `call` takes the inputs as bare arrays or as tensors and returns one result (or a tuple of them). Use `op.<name>`, the
  public function of that name; what is static is written into the lambda.
- `inputs` are samplers: `sampler(rng) -> float64 array` (`normal`, `uniform`, `apart` and `fixed` are below), away from
  points where the operation has no derivative. `integers` and `truths` make inputs that have no gradient: pass them
  inside the lambda with `fixed`.
- `covers` names the primitives and elementwise operations that the row stands for (default: the part of `name` before a
  space). A test checks that the row records them, and another that each registered operation is covered.
- `order` = 2 checks first and second derivatives; 1 only the first; 0 says that the result has no gradient.
- `numpy` is the same function of bare float64 arrays in NumPy; `torch(torch, *tensors)` the same in PyTorch.
- `dtypes` are those that must come out as they went in, for the result and the gradients.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gpugrad.ops
from gpugrad.primitive import FUNCTIONS

for _module in pkgutil.iter_modules(gpugrad.ops.__path__, "gpugrad.ops."):
    importlib.import_module(_module.name)  # each registers its operations

Sampler = Callable[[np.random.Generator], Any]


@dataclass(frozen=True)
class Row:
    """One operation with one set of static arguments."""

    name: str
    call: Callable[..., Any]
    inputs: tuple[Sampler, ...]
    numpy: Callable[..., Any] | None = None
    torch: Callable[..., Any] | None = None
    covers: tuple[str, ...] | None = None
    order: int = 2
    dtypes: tuple[str, ...] = ("float32", "float16")
    exact: bool = False  # NumPy's result bit for bit
    layouts: bool = True  # strided, transposed and broadcast inputs give the same
    tolerance: float = 1.0  # factor on the tolerances of half and single precision

    @property
    def covered(self) -> tuple[str, ...]:
        """What the row stands for."""
        return (self.name.split(" ")[0],) if self.covers is None else self.covers

    def sample(self, seed: int = 0) -> tuple[Any, ...]:
        """The inputs, the same at every call."""
        rng = np.random.default_rng(seed)
        return tuple(np.asarray(s(rng), np.float64) for s in self.inputs)


class _Operations:
    """`op.sum` is the public function of that name."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in FUNCTIONS:
            raise AttributeError(f"no public operation {name}")
        return FUNCTIONS[name]


op = _Operations()


def normal(*shape: int, scale: float = 1.0) -> Sampler:
    """Normal numbers."""
    return lambda rng: rng.standard_normal(shape) * scale


def uniform(low: float, high: float, *shape: int) -> Sampler:
    """Numbers between two ends."""
    return lambda rng: rng.uniform(low, high, shape)


def apart(*shape: int) -> Sampler:
    """Numbers of which no two are closer than 0.1: no ties for max, min and sorting."""
    return lambda rng: (rng.permutation(int(np.prod(shape))).reshape(shape) - np.prod(shape) / 2) * 0.11 + 0.037


def fixed(*values: Any) -> Sampler:
    """Given numbers."""
    return lambda rng: np.asarray(values, np.float64)


def with_zeros(*shape: int) -> Sampler:
    """Normal numbers, some of them 0."""

    def sample(rng: np.random.Generator) -> Any:
        values = rng.standard_normal(shape)
        values.reshape(-1)[::3] = 0
        return values

    return sample


def rows() -> list[Row]:
    """Every row of every family."""
    found: list[Row] = []
    for path in sorted(Path(__file__).parent.glob("rows_*.py")):
        found.extend(importlib.import_module(f"tests.ops.{path.stem}").ROWS)
    names = [row.name for row in found]
    assert len(set(names)) == len(names), f"two rows of one name: {sorted({n for n in names if names.count(n) > 1})}"
    return found
