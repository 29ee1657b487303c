"""HIPS/autograd's side: the training step and the tape; it has no activations or optimizers of its own."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
from autograd import make_vjp, value_and_grad

from benchmarks.data import ADAM_RATE, SGD_RATE, digest, mlp_data
from benchmarks.libs.base import Library, Program
from benchmarks.libs.numpy_lib import AdamState
from benchmarks.machine import openblas_core
from benchmarks.operations import array_functions, cotangent_like, operation_data


def _gelu(x: Any) -> Any:
    from autograd.scipy.special import erf

    return 0.5 * x * (1 + erf(x * anp.float32(0.5**0.5)))


_FUNCTIONS = {"relu": lambda x: anp.maximum(x, anp.float32(0)), "gelu": _gelu, "tanh": anp.tanh}


def make(name: str, device: str) -> AutogradLibrary:
    """autograd, which knows the CPU only.

    Raises:
        RuntimeError: `device` is not "cpu".
    """
    if device != "cpu":
        raise RuntimeError("autograd runs on the CPU only")
    return AutogradLibrary(name, device)


class AutogradLibrary(Library):
    """autograd over NumPy."""

    def facts(self) -> dict[str, str]:
        return {"openblas": openblas_core()}

    def operation(self, params: dict[str, Any]) -> dict[str, Program]:
        """The forward on bare arrays, or the function that `make_vjp` gave; it has no convolutions of images."""
        function = array_functions(anp).get(params["function"])
        if function is None:
            return {}
        inputs = operation_data(params)
        if params["phase"] == "forward":
            run = lambda: function(*inputs)  # noqa: E731
            return {"eager": Program(run, check=lambda: digest(run()))}
        pullback, y = make_vjp(lambda arrays: function(*arrays))(tuple(inputs))
        g = cotangent_like(y)
        return {"vjp": Program(lambda: pullback(g), check=lambda: [v for grad in pullback(g) for v in digest(grad)])}

    def mlp(self, params: dict[str, Any]) -> dict[str, Program]:
        """The training step with `value_and_grad` and an update in place."""
        data = mlp_data(params)
        function = _FUNCTIONS[params["activation"]]
        rows = anp.arange(len(data.labels))

        def loss_of(layers: Any) -> Any:
            h = data.x
            for weight, bias in layers[:-1]:
                h = function(anp.dot(h, weight.T) + bias)
            logits = anp.dot(h, layers[-1][0].T) + layers[-1][1]
            shifted = logits - anp.max(logits, axis=1, keepdims=True)
            norm = anp.log(anp.sum(anp.exp(shifted), axis=1))
            return anp.mean(norm - shifted[rows, data.labels])

        gradient = value_and_grad(loss_of)
        flat = [array for layer in data.layers for array in layer]
        adam = AdamState(flat, ADAM_RATE)

        def step() -> Any:
            loss, slopes = gradient(data.layers)
            steps = [slope for layer in slopes for slope in layer]
            if params["optimizer"] == "adam":
                adam.update(steps)
            else:
                for array, slope in zip(flat, steps, strict=True):
                    array -= anp.float32(SGD_RATE) * slope
            return loss

        return {"step": Program(step, check=lambda: [float(step()), float(step())])}

    def tape(self, params: dict[str, Any]) -> dict[str, Program]:
        """A chain of `y * scale` and `y + shift` under `make_vjp`."""
        x = anp.ones(params["width"], anp.float32)
        pairs, scale, shift = params["ops"] // 2, params["scale"], params["shift"]
        kept: list[Any] = []

        def chain(y: Any) -> Any:
            for _ in range(pairs):
                y = y * scale
                y = y + shift
            return y

        trace = make_vjp(chain)

        def forward() -> None:
            kept.append(trace(x))

        def backward() -> Any:
            return kept.pop()[0](x)

        def ready() -> None:
            kept.clear()
            forward()

        def check() -> list[float]:
            ready()
            return digest(kept[0][1]) + digest(backward())

        if params["phase"] == "forward":
            return {"make_vjp": Program(forward, kept.clear, check)}
        return {"make_vjp": Program(backward, ready, check)}
