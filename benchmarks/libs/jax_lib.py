"""JAX's side: everything under `jax.jit`, but for the tape, where eager mode is what is compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.data import ADAM_RATE, SGD_RATE, adam_data, digest, elementwise_data, layer_data, mlp_data
from benchmarks.libs.base import Library, Program
from benchmarks.operations import cotangent_like, jax_functions, operation_data

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "selu": jax.nn.selu,
    "celu": jax.nn.celu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "softplus": jax.nn.softplus,
    "sigmoid": jax.nn.sigmoid,
    "logsigmoid": jax.nn.log_sigmoid,
    "tanh": jnp.tanh,
    "hardtanh": jax.nn.hard_tanh,
    "hardsigmoid": jax.nn.hard_sigmoid,
    "hardswish": jax.nn.hard_swish,
    "softsign": jax.nn.soft_sign,
    "relu6": jax.nn.relu6,
    "step": lambda x: (x > 0).astype(x.dtype),
    "sin": jnp.sin,
}


def make(name: str, device: str) -> JaxLibrary:
    """JAX on a device.

    Raises:
        RuntimeError: JAX has no such device.
    """
    jax.devices("gpu" if device == "cuda" else "cpu")
    return JaxLibrary(name, device)


def _adam(state: tuple[Any, Any, Any, Any], gradients: Any) -> tuple[Any, Any, Any, Any]:
    parameters, first, second, count = state
    count = count + 1
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
    root = jnp.sqrt(1 - 0.999**count)
    rate = ADAM_RATE / (1 - 0.9**count)
    parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), parameters, first, second)
    return parameters, first, second, count


class JaxLibrary(Library):
    """JAX, compiled."""

    def __init__(self, name: str, device: str) -> None:
        super().__init__(name, device)
        self.where = jax.devices("gpu" if device == "cuda" else "cpu")[0]

    def facts(self) -> dict[str, str]:
        return {"device": str(self.where)}

    def _array(self, value: Any) -> Any:
        return jax.device_put(value, self.where)

    def mlp(self, params: dict[str, Any]) -> dict[str, Program]:
        """The training step as one compiled function with donated parameters."""
        data = mlp_data(params)
        x, labels = self._array(data.x), self._array(data.labels.astype("int32"))
        function = _FUNCTIONS[params["activation"]]

        def loss_of(layers: Any) -> Any:
            h = x
            for weight, bias in layers[:-1]:
                h = function(h @ weight.T + bias)
            logits = h @ layers[-1][0].T + layers[-1][1]
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1))

        def step(state: Any) -> Any:
            loss, gradients = jax.value_and_grad(loss_of)(state[0])
            if params["optimizer"] == "adam":
                return loss, _adam(state, gradients)
            return loss, (jax.tree.map(lambda p, g: p - SGD_RATE * g, state[0], gradients), *state[1:])

        compiled = jax.jit(step, donate_argnums=0)
        layers = [(self._array(weight), self._array(bias)) for weight, bias in data.layers]
        adam = params["optimizer"] == "adam"
        moments = [jax.tree.map(jnp.zeros_like, layers) if adam else None for _ in range(2)]
        state = [(layers, *moments, jnp.zeros((), jnp.int32))]

        def run() -> Any:
            loss, state[0] = compiled(state[0])
            return jax.block_until_ready((loss, state[0]))[0]

        return {"jit": Program(run, check=lambda: [float(run()), float(run())])}

    def per_example(self, params: dict[str, Any]) -> dict[str, Program]:
        """`jit(vmap(grad(loss)))` with the parameters shared."""
        data = mlp_data(params)
        x, labels = self._array(data.x), self._array(data.labels.astype("int32"))
        function = _FUNCTIONS[params["activation"]]
        layers = [(self._array(weight), self._array(bias)) for weight, bias in data.layers]

        def loss_of(layers: Any, x: Any, label: Any) -> Any:
            for weight, bias in layers[:-1]:
                x = function(weight @ x + bias)
            return -jax.nn.log_softmax(layers[-1][0] @ x + layers[-1][1])[label]

        gradients = jax.jit(jax.vmap(jax.grad(loss_of), in_axes=(None, 0, 0)))

        def run() -> Any:
            return jax.block_until_ready(gradients(layers, x, labels))

        return {"jit": Program(run, check=lambda: digest(run()[0][0][-1]) + digest(run()[1][1]))}

    def jacobian(self, params: dict[str, Any]) -> dict[str, Program]:
        """The compiled `jacrev` of tanh(weight @ x) at one x."""
        weight, x, _ = map(self._array, layer_data(params))
        jacobian = jax.jit(jax.jacrev(lambda x, weight: jnp.tanh(weight @ x)))

        def run() -> Any:
            return jax.block_until_ready(jacobian(x, weight))

        return {"jit": Program(run, check=lambda: digest(run()))}

    def tape(self, params: dict[str, Any]) -> dict[str, Program]:
        """A chain of `y * scale` and `y + shift` under an eager `jax.vjp`."""
        x = self._array(jnp.ones(params["width"], jnp.float32))
        pairs, scale, shift = params["ops"] // 2, params["scale"], params["shift"]
        kept: list[Any] = []

        def chain(y: Any) -> Any:
            for _ in range(pairs):
                y = y * scale
                y = y + shift
            return y

        def forward() -> None:
            kept.append(jax.block_until_ready(jax.vjp(chain, x)))

        def backward() -> Any:
            return jax.block_until_ready(kept.pop()[1](x))

        def ready() -> None:
            kept.clear()
            forward()

        def check() -> list[float]:
            ready()
            return digest(kept[0][0]) + digest(backward()[0])

        if params["phase"] == "forward":
            return {"eager vjp": Program(forward, kept.clear, check)}
        return {"eager vjp": Program(backward, ready, check)}

    def elementwise(self, params: dict[str, Any]) -> dict[str, Program]:
        """A compiled forward, or a compiled call of the function that `jax.vjp` gave."""
        if params["function"] not in _FUNCTIONS:
            return {}
        array, cotangent = elementwise_data(params)
        x, g = self._array(array), self._array(cotangent)
        if params["phase"] == "forward":
            function = jax.jit(_FUNCTIONS[params["function"]])
            run = lambda: jax.block_until_ready(function(x))  # noqa: E731
            return {"jit": Program(run, check=lambda: digest(run()))}
        rule = jax.jit(lambda v: jax.vjp(_FUNCTIONS[params["function"]], v)[1])(x)
        apply = jax.jit(lambda f, v: f(v)[0])
        pull = lambda: jax.block_until_ready(apply(rule, g))  # noqa: E731
        return {"jit": Program(pull, check=lambda: digest(pull()))}

    def operation(self, params: dict[str, Any]) -> dict[str, Program]:
        """A compiled forward, or a compiled call of the function that `jax.vjp` gave."""
        function = jax_functions()[params["function"]]
        inputs = [self._array(array) for array in operation_data(params)]
        forward = jax.jit(function)
        if params["phase"] == "forward":
            run = lambda: jax.block_until_ready(forward(*inputs))  # noqa: E731
            return {"jit": Program(run, check=lambda: digest(run()))}
        g = self._array(cotangent_like(forward(*inputs)))
        rule = jax.jit(lambda *v: jax.vjp(function, *v)[1])(*inputs)
        apply = jax.jit(lambda f, v: f(v))
        pull = lambda: jax.block_until_ready(apply(rule, g))  # noqa: E731
        return {"jit": Program(pull, check=lambda: [v for grad in pull() for v in digest(grad)])}

    def adam(self, params: dict[str, Any]) -> dict[str, Program]:
        """A compiled update with donated state."""
        values, gradients = adam_data(params)
        layers = [self._array(value) for value in values]
        slopes = [self._array(value) for value in gradients]
        zeros = [[jnp.zeros_like(layer) for layer in layers] for _ in range(2)]
        state = [(layers, *zeros, jnp.zeros((), jnp.int32))]
        compiled = jax.jit(_adam, donate_argnums=0)

        def run() -> None:
            state[0] = jax.block_until_ready(compiled(state[0], slopes))

        def check() -> list[float]:
            run()
            run()
            return digest(state[0][0][0]) + digest(state[0][0][-1])

        return {"jit": Program(run, check=check)}
