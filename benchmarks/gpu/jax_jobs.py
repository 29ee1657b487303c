"""How JAX does the jobs of `jobs`: everything of a step in one `jax.jit`; nothing where it is not installed.

Convolutions and ResNet-50 are left to PyTorch beside us.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.jobs import Job, Side, kernel_data

_RATE = 1e-4


def available(device: str) -> bool:
    """Whether JAX is installed and has the device. It must not take the GPU's memory for itself."""
    if importlib.util.find_spec("jax") is None:
        return False
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        return bool(_devices(device))
    except Exception:  # JAX raises what its plugins raise
        return False


def ways(job: Job) -> tuple[str, ...]:
    """Compiled; of a training step and of a kernel."""
    return ("jit",) if job.kind in ("mlp", "kernel") else ()


def theirs(job: Job, device: str, tiny: bool) -> Side:
    """The job in JAX. What it allocates at most is not told apart by step."""
    import jax

    rng = np.random.default_rng(0)
    step = {"mlp": _mlp, "kernel": _kernel}[job.kind](job, job.chosen(tiny), device, rng)
    last: list[Any] = [None]

    def run() -> Any:
        last[0] = step()
        return last[0]

    return Side(run, lambda: jax.block_until_ready(last[0]), lambda: None)


def _devices(device: str) -> Any:
    import jax

    return jax.devices("cpu" if device == "cpu" else "gpu")


def _mlp(job: Job, sizes: tuple[int, ...], device: str, rng: Any) -> Callable[[], Any]:
    import jax

    batch, *widths = sizes
    where = _devices(device)[0]
    weights = [
        tuple(rng.uniform(-1, 1, shape).astype(np.float32) / np.sqrt(m) for shape in ((m, n), (n,)))
        for m, n in itertools.pairwise(widths)
    ]
    x = rng.standard_normal((batch, widths[0])).astype(np.float32)
    y = rng.integers(0, widths[-1], batch)
    zeros = jax.tree.map(np.zeros_like, weights)
    held = [jax.device_put((weights, zeros, zeros, np.float32(0)), where)]
    x, y = jax.device_put((x, y.astype(np.int32)), where)
    compiled = training(job)

    def step() -> Any:
        held[0], loss = compiled(held[0], x, y)
        return loss

    return step


def training(job: Job) -> Callable[..., Any]:
    """`(state, x, y) -> (state, loss)`: forward, backward and Adam; the old state's memory is the new one's.

    The state is (weights, means, squares, count), weights a list of (in, out) and (out,).
    """
    import jax
    import jax.numpy as jnp

    half = job.precision == "bfloat16"
    precision = {"tf32": "default", "float32": "highest"}.get(job.precision)  # on Hopper the default is TF32

    def loss_of(weights: Any, x: Any, y: Any) -> Any:
        for i, (w, b) in enumerate(weights):
            if half:
                x, w, b = (a.astype(jnp.bfloat16) for a in (x, w, b))
            x = jnp.matmul(x, w, precision=precision) + b
            x = jax.nn.relu(x) if i + 1 < len(weights) else x
        logits = jax.nn.log_softmax(x.astype(jnp.float32))
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def step(state: Any, x: Any, y: Any) -> Any:
        weights, means, squares, count = state
        loss, grads = jax.value_and_grad(loss_of)(weights, x, y)
        count = count + 1
        means = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, means, grads)
        squares = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, squares, grads)
        rate, root = _RATE / (1 - 0.9**count), jnp.sqrt(1 - 0.999**count)
        weights = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), weights, means, squares)
        return (weights, means, squares, count), loss

    return jax.jit(step, donate_argnums=0)  # type: ignore[no-any-return]


def _kernel(job: Job, sizes: tuple[int, ...], device: str, rng: Any) -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    functions: dict[str, Callable[..., Any]] = {
        "silu": lambda x, w, b, y: jax.nn.silu(x),
        "gelu": lambda x, w, b, y: jax.nn.gelu(x, approximate=False),
        "softmax": lambda x, w, b, y: jax.nn.softmax(x),
        "layer_norm": lambda x, w, b, y: (
            (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * w + b
        ),
        "cross_entropy": lambda x, w, b, y: -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], 1).mean(),
    }
    function = functions[job.part]
    x, g, w, b, y = jax.device_put(kernel_data(job, sizes), _devices(device)[0])

    def both(x: Any, g: Any, w: Any, b: Any) -> Any:
        out, pullback = jax.vjp(lambda *inputs: function(*inputs, y), x, w, b)
        gx, gw, gb = pullback(g)
        return (out, gx, gw, gb) if job.part == "layer_norm" else (out, gx)

    compiled = jax.jit(both)
    return lambda: compiled(x, g, w, b)
