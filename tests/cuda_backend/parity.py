"""The same computation on the CPU and on a GPU: values, dtypes, gradients, error classes.

Used with the stand-in here and with a real device in tests/gpu.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.primitive import FUNCTIONS

# Rows that hold a host array inside the operation itself, or for which the devices differ by design, and why.
ELSEWHERE = {
    "where": "its mask lives on the host; tests/cuda_backend/test_ops_table.py has one on the device",
    "linalg eig": "CuPy's eigenvalues are complex also where all of them are real",
    "linalg eigvals": "likewise",
    "real_if_close": "its dtype depends on the values: it has to wait for them",
    **dict.fromkeys(
        [f"nn.functional.{loss}" for loss in ("nll_loss", "hinge_loss", "perceptron_loss")], "targets on the host"
    ),
    **dict.fromkeys(
        [f"{n} where" for n in "sum prod mean var nansum nanmean std max min nanmax".split()], "masks on the host"
    ),
    **dict.fromkeys(
        ["jv 0", "jv 1.5", "jv orders", "iv 0", "iv 1.5", "kv 0", "kv 1.5", "yv -2.3", "ive 3.0", "kve 0.5"],
        "cupyx.scipy.special has no Bessel functions of real order",
    ),
    "scipy.special.erf complex": "CuPy's is of real numbers",
    "scipy.linalg.sqrtm": "CuPy has none",
    "roots": "as eigvals",
    "poly of a matrix": "likewise",
}

TOLERANCE = {"float64": 1e-11, "float32": 2e-5, "float16": 2e-3, "bfloat16": 2e-2}


def tolerance(*dtypes: Any) -> float:
    """The relative tolerance for results that went through these dtypes."""
    return max((TOLERANCE.get(str(np.dtype(d)), 0.0) for d in dtypes), default=0.0)


def on(device: str, array: np.ndarray, requires_grad: bool = True) -> gg.Tensor:
    """A tensor with a copy of `array`; floating point ones require a gradient."""
    floating = array.dtype.kind in "fcV"
    return gg.tensor(array, device=device, requires_grad=requires_grad and floating)


def run(function: Callable[..., Any], arrays: Sequence[np.ndarray], device: str) -> tuple[list[Any], list[Any]]:
    """Outputs and, where there are any, gradients of a fixed functional of the outputs, as NumPy arrays."""
    tensors = [on(device, a) for a in arrays]
    found = function(*tensors)
    outputs = list(found) if isinstance(found, tuple | list) else [found]
    assert all(str(o.device).startswith(device) for o in outputs), [o.device for o in outputs]
    differentiable = [o for o in outputs if o.requires_grad]
    for k, o in enumerate(differentiable):
        weights = np.cos(np.arange(o.data.size) + k).reshape(o.shape).astype(o.dtype)
        o.backward(on(device, weights, requires_grad=False), retain_graph=k + 1 < len(differentiable))
    values = [o.detach().numpy() for o in outputs]
    return values, [None if t.grad is None else t.grad.numpy() for t in tensors]


def check(function: Callable[..., Any], *arrays: np.ndarray, device: str = "cuda", rtol: float | None = None) -> None:
    """Assert that `function` of tensors gives the same values, dtypes, shapes and gradients on both devices."""
    want, want_grads = run(function, arrays, "cpu")
    have, have_grads = run(function, arrays, device)
    same("value", have, want, rtol)
    same("gradient", have_grads, want_grads, rtol)


def same(what: str, have: Sequence[Any], want: Sequence[Any], rtol: float | None = None) -> None:
    """Assert that two lists of arrays (or None) agree in shape, dtype and value."""
    assert len(have) == len(want), what
    for k, (h, w) in enumerate(zip(have, want, strict=True)):
        assert (h is None) == (w is None), f"{what} {k}: one is missing"
        if h is None:
            continue
        assert (h.shape, h.dtype) == (w.shape, w.dtype), (
            f"{what} {k}: {h.shape} {h.dtype}, expected {w.shape} {w.dtype}"
        )
        limit = tolerance(h.dtype) if rtol is None else rtol
        wide = np.complex128 if h.dtype.kind == "c" else np.float64
        if h.dtype.kind == "c" and rtol is None:
            limit = 2e-5 if h.dtype == np.complex64 else 1e-11
        np.testing.assert_allclose(
            h.astype(wide), w.astype(wide), rtol=limit, atol=limit, equal_nan=True, err_msg=f"{what} {k}"
        )


def _moved(value: Any, where: Any) -> Any:
    """Host arrays that a row writes into its call, such as labels and masks, as tensors on the device."""
    if isinstance(value, np.ndarray):
        return gg.tensor(value, device=where)
    return type(value)([_moved(v, where) for v in value]) if isinstance(value, list | tuple) else value


def on_device(self: Any, name: str) -> Any:
    """`op.<name>` of the table of operations, for operands on the GPU; takes the place of its `__getattr__`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        tensors = [a for x in args for a in (x if isinstance(x, list | tuple) else (x,)) if isinstance(a, gg.Tensor)]
        if any(t.device != "cpu" for t in tensors):
            where = next(t.device for t in tensors if t.device != "cpu")
            args, kwargs = _moved(args, where), {k: _moved(v, where) for k, v in kwargs.items()}
        return FUNCTIONS[name](*args, **kwargs)

    return call
