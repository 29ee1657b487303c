"""The part of the CUDA backend for images and attention: the GPU is made current, and `cuda_images` chooses."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from . import cuda_images
from .base import Array, Backend, Running

if TYPE_CHECKING:
    from .conv import Geometry


class ImagesBackend(Backend):
    """Convolutions, pooling, batch normalisation and attention on one GPU.

    Attributes:
        without_dnn: why our own kernels convolve; "" where cuDNN does, or nobody has asked yet.
        told_of_dnn: whether the first use was told in the log.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dnn: Any = ...  # not looked for yet
        self.without_dnn = ""
        self.told_of_dnn = False

    @abstractmethod
    def place(self) -> Any:
        """A context in which this GPU is the current one."""

    @property
    def dnn(self) -> Any:
        """cuDNN: `cudnn.Library`, or None for our own kernels; `without_dnn` says why then."""
        if self._dnn is ...:
            from .cudnn import Library

            self._dnn = None
            try:
                self._dnn = Library(self)
            except ImportError as error:
                self.without_dnn = f"nvidia-cudnn-frontend is missing ({error})"
            except Exception as error:  # front end and library may not fit each other in any way
                self.without_dnn = f"cuDNN cannot be loaded ({error})"
        return self._dnn

    def conv(self, x: Array, w: Array, at: Geometry, bias: Array | None = None) -> Array:
        with self.place():
            found = cuda_images.conv(self, x, w, at, bias)
            return super().conv(x, w, at, bias) if found is None else found

    def conv_way(self, work: int, w: Array, at: Geometry, x: Array, back: bool = False) -> str:
        return cuda_images.latest_way()

    def conv_relu(self, x: Array, w: Array, at: Geometry, bias: Array | None = None) -> Array | None:
        with self.place():
            return cuda_images.conv(self, x, w, at, bias, relu=True)

    def conv_input(self, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array:
        with self.place():
            return cuda_images.conv_input(self, g, w, size, at)

    def conv_weight(self, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array:
        with self.place():
            return cuda_images.conv_weight(self, x, g, kernel, at)

    def max_pool(self, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Any:
        with self.place():
            return cuda_images.max_pool(x, kernel, size, at)

    def window_put(
        self, g: Array, won: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry
    ) -> Array | None:
        with self.place():
            return cuda_images.window_put(g, won, inner, kernel, at)

    def window_sum(self, x: Array, kernel: tuple[int, ...], size: tuple[int, ...], at: Geometry) -> Array | None:
        with self.place():
            return cuda_images.window_sum(x, kernel, size, at)

    def window_spread(self, g: Array, inner: tuple[int, ...], kernel: tuple[int, ...], at: Geometry) -> Array | None:
        with self.place():
            return cuda_images.window_spread(g, inner, kernel, at)

    def batch_norm(
        self, x: Array, weight: Array, bias: Array, eps: float, running: Running, momentum: float, relu: bool = False
    ) -> tuple[Array, ...] | None:
        with self.place():
            return cuda_images.batch_norm(self, x, weight, bias, eps, running, momentum, relu)

    def batch_norm_vjp(
        self, g: Array, x: Array, weight: Array, mean: Array, rate: Array, bias: Array | None = None
    ) -> tuple[Array, ...] | None:
        with self.place():
            return cuda_images.batch_norm_vjp(self, g, x, weight, mean, rate, bias)

    def attention(self, q: Array, k: Array, v: Array, scale: float, causal: bool) -> tuple[Array, Array] | None:
        with self.place():
            dnn = cuda_images.library(self)
            return None if dnn is None else dnn.attention(q, k, v, scale, causal)

    def attention_vjp(
        self, g: Array, q: Array, k: Array, v: Array, out: Array, sums: Array, scale: float, causal: bool
    ) -> tuple[Array, ...] | None:
        with self.place():
            dnn = cuda_images.library(self)
            return None if dnn is None else dnn.attention_vjp(g, q, k, v, out, sums, scale, causal)
