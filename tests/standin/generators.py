"""`cupy.random.Generator` of the stand-in: NumPy's numbers, CuPy's arguments."""

from typing import Any

import numpy as np

from .ndarray import own


class Philox4x3210:
    """A bit generator with a seed."""

    def __init__(self, seed: Any = None, *, size: int = 0) -> None:
        self.seed = seed


class Generator:
    """CuPy's generator, as far as gpugrad uses it."""

    def __init__(self, bit_generator: Philox4x3210) -> None:
        self._rng = np.random.default_rng(bit_generator.seed)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        self._check(dtype)
        return own(self._rng.random(size, dtype=np.dtype(dtype)))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        self._check(dtype)
        return own(self._rng.standard_normal(size, dtype=np.dtype(dtype)))

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> Any:
        return own(self._rng.integers(low, high, size, dtype=dtype, endpoint=endpoint))

    @staticmethod
    def _check(dtype: Any) -> None:
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise TypeError(f"Unsupported dtype {dtype}: cupy.random.Generator draws float32 and float64 only")
