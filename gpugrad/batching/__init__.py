"""Arrays of examples: what `vmap` runs on in place of NumPy's and CuPy's arrays.

`BatchArray` shows the shape of one example and holds all of them; `BatchBackend` is its backend. Since everything above
asks arrays and backends only, recording, rules and walks work on examples without knowing of them.
"""

from .array import BatchArray, BatchError, agreed, device_backend, levels_of
from .backend import USED, BatchBackend, active, innermost, running, within
from .levels import Levels, alike, examples, lifted, raised, total, union, whole

__all__ = [
    "USED", "BatchArray", "BatchBackend", "BatchError", "Levels", "active", "agreed", "alike", "device_backend",
    "examples", "innermost", "levels_of", "lifted", "raised", "running", "total", "union", "whole", "within",
]  # fmt: skip
