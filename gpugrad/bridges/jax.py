"""Arrays and functions that cross to JAX and back.

JAX has no tape that a tensor could be on, so it is functions that carry gradients across: each is one operation of the
other library, whose derivative is a function that crosses in its turn, and so on at every order.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import numpy as np

from ..backend import WrappedArray, backend_for
from ..backend.device import Device
from ..gradmode import recording
from ..nodes import GradientError, new_tensor
from ..tensor import Tensor
from ..transforms.custom import custom_vjp, stop_gradient
from ..transforms.reverse import vjp
from ..transforms.tree import flatten, tree_map


def from_jax(x: Any) -> Any:
    """A tensor on the memory of a JAX array, or a function of our tensors that computes in JAX.

    Args:
        x: a JAX array; or a function of JAX arrays, jitted or not.

    Returns:
        For an array: a tensor on the same memory and device, read-only, since JAX's arrays never change.
        For a function: one of our tensors or arrays (in lists, tuples, dicts), differentiable at every order in reverse
        mode. Its results are tensors.

    Raises:
        ImportError: JAX is not installed.
        TypeError: `x` is neither, or float64 meets a JAX without `jax_enable_x64`.

    Example, with JAX installed: `gg.grad(gg.from_jax(jax.numpy.sinc))(0.5)`.
    """
    jax = _jax("from_jax")
    if isinstance(x, jax.core.Tracer):
        raise TypeError("[from_jax] an array that JAX is tracing has no values; cross with a function: gg.to_jax(f)")
    if isinstance(x, jax.Array):
        return _tensor_of(x)
    if not callable(x):
        raise TypeError(f"[from_jax] {type(x).__name__}; expected a JAX array, or a function of them")

    @custom_vjp
    def function(*args: Any) -> Any:
        return tree_map(_tensor_of, x(*tree_map(to_jax, args)))

    def forward(*args: Any) -> Any:
        # For higher orders this runs again on recorded arguments: JAX gets their values, the rule gets themselves.
        out, pull = jax.vjp(x, *tree_map(to_jax, stop_gradient(args)))
        return tree_map(_tensor_of, out), (args, pull)

    def backward(residuals: Any, g: Any) -> Any:
        args, pull = residuals
        leaves = [t for t in flatten((args, g))[0] if isinstance(t, Tensor)]
        if recording() and any(t._node is not None for t in leaves):
            return from_jax(lambda given, h: _real(jax, jax.vjp(x, *given)[1](h)))(args, g)
        return tree_map(_tensor_of, _real(jax, pull(tree_map(to_jax, g))))

    function.defvjp(forward, backward)
    return function


def to_jax(x: Any) -> Any:
    """A JAX array on the memory of a tensor or array, or a function of JAX arrays that computes here.

    Args:
        x: a tensor that needs no gradient, an array or a number; or a function of tensors.

    Returns:
        For a tensor: a JAX array, on the same memory where JAX takes it (alignment), which must not be written to as
        long as the JAX array is used.
        For a function: one of JAX's arrays (in lists, tuples, dicts), for `jax.grad` at every order, `jax.jit` and
        `jax.vmap` (one example at a time). Under them it is a callback to the host; its results' shapes are found by
        calling it once with ones.

    Raises:
        ImportError: JAX is not installed.
        GradientError: the tensor requires a gradient, which only a function can carry across.
        TypeError: float64 meets a JAX without `jax_enable_x64`, or a tensor inside a vmap.
    """
    jax = _jax("to_jax")
    if isinstance(x, Tensor):
        if x._node is not None:
            raise GradientError(
                "[to_jax] the tensor requires a gradient, and JAX has no tape that it could be on; wrap what JAX is to "
                "compute, gg.from_jax(f)(x), or take x.detach()"
            )
        return _array_of(jax, x.data)
    if callable(x):
        return _function_for_jax(jax, x)
    return _array_of(jax, x) if hasattr(x, "dtype") else x


def _jax(who: str) -> Any:
    try:
        return importlib.import_module("jax")
    except ImportError:
        raise ImportError(f"[{who}] needs JAX; pip install jax") from None


def _tensor_of(x: Any) -> Any:
    """A tensor on the memory of a JAX array."""
    device = next(iter(x.devices()))
    if device.platform in ("gpu", "cuda"):
        return new_tensor(backend_for(Device("cuda", device.id)).xp.from_dlpack(x), None)
    return new_tensor(np.asarray(x), None)  # shares the memory of an array on the CPU, read-only


def _array_of(jax: Any, array: Any) -> Any:
    if isinstance(array, WrappedArray):
        raise TypeError("[to_jax] inside a vmap a tensor stands for all examples; convert outside the mapped function")
    if array.dtype in (np.float64, np.complex128) and not jax.config.jax_enable_x64:
        raise TypeError(
            f"[to_jax] dtype = {array.dtype}, which JAX would round to 32 bits; "
            "call jax.config.update('jax_enable_x64', True), or convert first, x.astype(gg.float32)"
        )
    writeable = not isinstance(array, np.generic) and (not isinstance(array, np.ndarray) or array.flags.writeable)
    if not writeable or array.dtype.kind in "bV":  # what NumPy cannot put into a capsule
        return jax.numpy.asarray(array)
    return jax.numpy.from_dlpack(array)


def _real(jax: Any, cotangents: Any) -> Any:
    """Cotangents with zeros in place of JAX's for integers, whose dtype nobody else knows."""

    def real(value: Any) -> Any:
        return jax.numpy.zeros(value.shape) if value.dtype == jax.dtypes.float0 else value

    return jax.tree_util.tree_map(real, cotangents)


def _function_for_jax(jax: Any, function: Any) -> Any:
    """`function` as one operation of JAX's, whose pullback is another one."""

    def compute(*args: Any) -> Any:
        out = function(*tree_map(lambda a: new_tensor(np.asarray(a), None), args))
        return tree_map(lambda t: np.asarray(t.detach() if isinstance(t, Tensor) else t), out)

    def pullback(args: Any, g: Any) -> Any:
        return vjp(function, *args)[1](g)

    def primal(*args: Any) -> Any:
        if not any(isinstance(a, jax.core.Tracer) for a in jax.tree_util.tree_leaves(args)):
            return jax.tree_util.tree_map(jax.numpy.asarray, compute(*args))
        ones = jax.tree_util.tree_map(lambda a: np.ones(np.shape(a), jax.numpy.result_type(a)), args)
        like = jax.tree_util.tree_map(lambda o: jax.ShapeDtypeStruct(o.shape, o.dtype), compute(*ones))
        return jax.pure_callback(compute, like, *args, vmap_method="sequential")

    crossed = jax.custom_vjp(primal)
    crossed.defvjp(
        lambda *args: (crossed(*args), args),
        lambda args, g: tuple(_function_for_jax(jax, pullback)(args, g)),
    )
    return functools.wraps(function)(crossed) if hasattr(function, "__name__") else crossed
