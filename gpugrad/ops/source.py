"""The source of a formula's kernel, for people to read."""

from __future__ import annotations

from typing import Any

from ..fusion import Formula


def kernel_source(formula: Formula, device: str, dtype: Any) -> str:
    """The source that `formula` compiles to on a kind of device, as text."""
    if device == "numba":
        from ..fusion.numba_compiler import numba_source

        return numba_source(formula, dtype)
    if device.partition(":")[0] == "cuda":
        from ..fusion.cuda_compiler import cuda_source

        names = (dtype.name,) * len(formula.inputs)
        return str(cuda_source(formula, names, (dtype.name,) * len(formula.outputs)).text)
    from ..backend import cpu

    return cpu().source(formula, dtype)
