"""Plain NumPy, written by hand for one fixed program: about the limit for a library over NumPy.

Buffers are made once and reused, activations run in place, gradients are derived on paper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.data import (
    ADAM_RATE,
    SGD_RATE,
    Float32,
    adam_data,
    digest,
    elementwise_data,
    gemm_data,
    layer_data,
    mlp_data,
)
from benchmarks.libs.base import Library, Program
from benchmarks.machine import openblas_core
from benchmarks.operations import array_functions, convolutions, operation_data

_BLOCK = 128 * 1024
_ZERO, _HALF, _ONE, _INFINITY = (np.array(value, np.float32) for value in (0, 0.5, 1, np.inf))
_ROOT_HALF = np.array(0.5**0.5, np.float32)
_DENSITY = np.array((2 * np.pi) ** -0.5, np.float32)


def make(name: str, device: str) -> NumpyLibrary:
    """NumPy.

    Raises:
        RuntimeError: `device` is not "cpu".
    """
    if device != "cpu":
        raise RuntimeError("NumPy runs on the CPU only")
    return NumpyLibrary(name, device)


def _erf(x: Float32) -> Float32:
    # t * P(t^2) inside a tanh, P fitted for float32: within 1.4e-7 of erf everywhere.
    square = np.minimum(x * x, np.float32(15.21))
    poly = np.full_like(x, 1.5895069793714356e-07)
    for coefficient in (
        -5.985559710097732e-06,
        8.971194620244205e-05,
        -6.257182103581727e-04,
        -1.8436496044936838e-04,
        0.10276547819375992,
        1.1283797025680542,
    ):
        np.multiply(poly, square, out=poly)
        np.add(poly, np.float32(coefficient), out=poly)
    return np.tanh(np.multiply(poly, np.clip(x, -3.9, 3.9), out=poly), out=poly)


def _relu(z: Float32) -> tuple[Float32, Callable[[Float32], Float32]]:
    y = np.clip(z, _ZERO, _INFINITY, out=z)
    return y, lambda g: np.multiply(g, y > 0, out=g)


def _tanh(z: Float32) -> tuple[Float32, Callable[[Float32], Float32]]:
    y = np.tanh(z, out=z)
    return y, lambda g: np.multiply(g, _ONE - y * y, out=g)


def _gelu(z: Float32) -> tuple[Float32, Callable[[Float32], Float32]]:
    normal = _HALF * (_ONE + _erf(z * _ROOT_HALF))

    def pull(g: Float32) -> Float32:
        slope = np.exp(z * z * -_HALF)
        slope *= z * _DENSITY
        slope += normal
        return np.multiply(g, slope, out=g)

    return z * normal, pull


_ACTIVATIONS = {"relu": _relu, "tanh": _tanh, "gelu": _gelu}


class AdamState:
    """Adam over a list of float32 arrays, updated in place in blocks that stay in the cache."""

    def __init__(self, parameters: list[Float32], rate: float) -> None:
        self.parameters = parameters
        self.rate = rate
        self.count = 0
        self.first = [np.zeros_like(array) for array in parameters]
        self.second = [np.zeros_like(array) for array in parameters]
        self.scratch = np.empty((2, _BLOCK), np.float32)

    def update(self, gradients: list[Float32]) -> None:
        """One step."""
        self.count += 1
        root = np.float32((1 - 0.999**self.count) ** 0.5)
        rate = np.float32(self.rate / (1 - 0.9**self.count))
        for arrays in zip(self.parameters, gradients, self.first, self.second, strict=True):
            flats = [array.reshape(-1) for array in arrays]
            for start in range(0, flats[0].size, _BLOCK):
                p, g, m, v = (flat[start : start + _BLOCK] for flat in flats)
                one, two = self.scratch[:, : p.size]
                m *= np.float32(0.9)
                m += np.multiply(g, np.float32(0.1), out=one)
                np.multiply(g, g, out=one)
                one *= np.float32(0.001)
                v *= np.float32(0.999)
                v += one
                np.sqrt(v, out=one)
                one /= root
                one += np.float32(1e-8)
                np.divide(m, one, out=two)
                two *= rate
                p -= two


class NumpyLibrary(Library):
    """NumPy by hand."""

    def facts(self) -> dict[str, str]:
        return {"openblas": openblas_core()}

    def operation(self, params: dict[str, Any]) -> dict[str, Program]:
        """The forward on bare arrays; NumPy has no gradients."""
        if params["phase"] != "forward":
            return {}
        function = {**array_functions(np), **convolutions(np)}[params["function"]]
        inputs = operation_data(params)
        run = lambda: function(*inputs)  # noqa: E731
        return {"arrays": Program(run, check=lambda: digest(run()))}

    def mlp(self, params: dict[str, Any]) -> dict[str, Program]:
        """The training step with its backward pass written out."""
        data = mlp_data(params)
        step = _HandWrittenStep(data.x, data.labels, data.layers, params)
        return {"by hand": Program(step, check=lambda: [step(), step()])}

    def gemm(self, params: dict[str, Any]) -> dict[str, Program]:
        """The matrix products of the step into arrays that are there already."""
        products = [(a, b, np.empty((a.shape[0], b.shape[1]), np.float32)) for a, b in gemm_data(params)]

        def multiply() -> None:
            for a, b, out in products:
                np.matmul(a, b, out=out)

        return {"matmul": Program(multiply)}

    def jacobian(self, params: dict[str, Any]) -> dict[str, Program]:
        """The Jacobian of tanh(weight @ x) by hand, as a matrix of cotangents times the weight."""
        weight, x, _ = layer_data(params)

        def run() -> Float32:
            y = np.tanh(weight @ x)
            rows: Float32 = np.diag(_ONE - y * y) @ weight
            return rows

        return {"by hand": Program(run, check=lambda: digest(run()))}

    def jacobian_products(self, params: dict[str, Any]) -> dict[str, Program]:
        """One product for the value and one for all rows."""
        weight, x, g = layer_data(params)
        return {"matmul": Program(lambda: (weight @ x, g @ weight))}

    def tape(self, params: dict[str, Any]) -> dict[str, Program]:
        """The bare operations: what is left when there is no tape at all."""
        x = np.ones(params["width"], np.float32)
        pairs = params["ops"] // 2
        scale, shift = (np.array(params[name], np.float32) for name in ("scale", "shift"))

        def forward() -> Float32:
            y = x
            for _ in range(pairs):
                y = y * scale
                y = y + shift
            return y

        def backward() -> Float32:
            g = x
            for _ in range(pairs):
                g = g * scale
            return g

        run = forward if params["phase"] == "forward" else backward
        return {"bare": Program(run, check=lambda: digest(forward()) + digest(backward()))}

    def adam(self, params: dict[str, Any]) -> dict[str, Program]:
        """Adam in cache-sized blocks, one thread."""
        values, gradients = adam_data(params)
        state = AdamState(values, ADAM_RATE)

        def check() -> list[float]:
            state.update(gradients)
            state.update(gradients)
            return digest(values[0]) + digest(values[-1])

        return {"blocked": Program(lambda: state.update(gradients), check=check)}

    def copy(self, params: dict[str, Any]) -> dict[str, Program]:
        """One array copied into another."""
        source = elementwise_data(params)[0]
        target = source.copy()
        return {"copyto": Program(lambda: np.copyto(target, source))}


class _HandWrittenStep:
    """One training step of a multilayer perceptron; calling it trains and gives the loss."""

    def __init__(self, x: Float32, labels: Any, layers: list[tuple[Float32, Float32]], params: dict[str, Any]):
        self.x, self.labels, self.layers = x, labels, layers
        self.rows = np.arange(len(labels))
        self.activation = _ACTIVATIONS[params["activation"]]
        self.flat = [array for layer in layers for array in layer]
        self.gradients = [np.empty_like(array) for array in self.flat]
        self.outputs = [np.empty((len(x), weight.shape[0]), np.float32) for weight, _ in layers]
        self.cotangents = [np.empty_like(output) for output in self.outputs]
        self.adam = AdamState(self.flat, ADAM_RATE) if params["optimizer"] == "adam" else None

    def __call__(self) -> float:
        inputs: list[Float32] = []
        pulls: list[Callable[[Float32], Float32]] = []
        h = self.x
        for index, (weight, bias) in enumerate(self.layers):
            inputs.append(h)
            h = np.matmul(h, weight.T, out=self.outputs[index])
            h += bias
            if index + 1 < len(self.layers):
                h, pull = self.activation(h)
                pulls.append(pull)
        loss, g = self._loss(h)
        for index in reversed(range(len(self.layers))):
            np.matmul(g.T, inputs[index], out=self.gradients[2 * index])
            np.add.reduce(g, 0, out=self.gradients[2 * index + 1])
            if index:
                g = pulls[index - 1](np.matmul(g, self.layers[index][0], out=self.cotangents[index - 1]))
        self._update()
        return loss

    def _loss(self, logits: Float32) -> tuple[float, Float32]:
        logits -= np.maximum.reduce(logits, 1, keepdims=True)
        picked = logits[self.rows, self.labels]
        g = np.exp(logits, out=self.cotangents[-1])
        total = np.add.reduce(g, 1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - picked))
        g /= total
        g[self.rows, self.labels] -= _ONE
        g /= np.float32(len(g))
        return loss, g

    def _update(self) -> None:
        if self.adam is not None:
            self.adam.update(self.gradients)
            return
        for array, gradient in zip(self.flat, self.gradients, strict=True):
            array -= np.multiply(gradient, np.float32(SGD_RATE), out=gradient)
