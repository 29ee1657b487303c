"""The switches of `torch.backends` that programs set; what they choose elsewhere is fixed here, or set by one function.

Sums on a GPU have one order, so every algorithm is deterministic, and none is chosen by trying unless
`gg.cuda.tune_matmul` asks for it.
"""

from __future__ import annotations

from typing import Any

from . import cuda as _cuda
from .backend.precision import get_float32_matmul_precision, set_float32_matmul_precision


class _Matmul:
    """`torch.backends.cuda.matmul`."""

    __slots__ = ()

    @property
    def allow_tf32(self) -> bool:
        """Whether products of float32 matrices may be rounded; the same as `gg.set_float32_matmul_precision`."""
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        set_float32_matmul_precision("high" if allowed else "highest")


class _Cuda:
    """`torch.backends.cuda`."""

    __slots__ = ()
    matmul = _Matmul()

    def is_built(self) -> bool:
        """Whether GPUs can be used at all: `gg.cuda.is_available`."""
        return _cuda.is_available()


class _Cudnn:
    """`torch.backends.cudnn`; who convolves is chosen by `gg.cuda.convolution`."""

    __slots__ = ("benchmark",)

    def __init__(self) -> None:
        self.benchmark = False  # passed over

    @property
    def deterministic(self) -> bool:
        """True, whatever it is set to."""
        return True

    @deterministic.setter
    def deterministic(self, wanted: bool) -> None:
        pass

    @property
    def allow_tf32(self) -> bool:
        """Whether convolutions may round as products of float32 matrices do: `cuda.matmul.allow_tf32` sets both."""
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        if not allowed and self.allow_tf32:
            raise ValueError(
                "[backends.cudnn] allow_tf32 = False: convolutions round as matrix products do; set "
                "backends.cuda.matmul.allow_tf32"
            )

    def is_available(self) -> bool:
        """Whether convolutions on the current GPU are cuDNN's."""
        return _cuda.is_available() and _cuda.convolution_library().startswith("cuDNN")


cuda, cudnn = _Cuda(), _Cudnn()


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Taken for PyTorch's sake: all algorithms are deterministic."""


def are_deterministic_algorithms_enabled() -> bool:
    """True."""
    return True


def __getattr__(name: str) -> Any:
    raise AttributeError(f"module 'gpugrad.backends' has no attribute {name!r}; it has cuda.matmul and cudnn")
