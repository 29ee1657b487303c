"""What the array API's namespace says of itself: capabilities, devices, dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import default_device
from ..backend.cuda_probe import device_count
from ..backend.device import CPU, Device
from ..ops.creation import get_default_dtype

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": ("complex64", "complex128"),
}
_UNIONS = {
    "integral": ("signed integer", "unsigned integer"),
    "numeric": ("signed integer", "unsigned integer", "real floating", "complex floating"),
}


class Info:
    """The functions of the standard's inspection API."""

    def capabilities(self) -> dict[str, Any]:
        """What is supported beyond shapes that are known beforehand."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        """Where new tensors go."""
        return default_device()

    def devices(self) -> list[Device]:
        """Every device that a tensor can live on."""
        return [CPU, *(Device("cuda", i) for i in range(device_count()))]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        """The dtypes of tensors made from Python numbers."""
        real = np.dtype(get_default_dtype())
        return {
            "real floating": real,
            "complex floating": np.dtype(np.complex128 if real == np.float64 else np.complex64),
            "integral": np.dtype(np.int64),
            "indexing": np.dtype(np.int64),
        }

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, Any]:
        """The standard's dtypes by name, all or of one kind or several.

        Raises:
            ValueError: there is no such kind.
        """
        kinds = tuple(_KINDS) if kind is None else (kind,) if isinstance(kind, str) else kind
        names: list[str] = []
        for asked in kinds:
            for one in _UNIONS.get(asked, (asked,)):
                if one not in _KINDS:
                    raise ValueError(
                        f"[dtypes] kind = {asked!r}; expected one of {', '.join([*_KINDS, *_UNIONS])}, or several"
                    )
                names += _KINDS[one]
        return {name: np.dtype(name) for name in names}


def __array_namespace_info__() -> Info:  # noqa: N807 - the standard's name
    """The standard's inspection API of this namespace."""
    return Info()
