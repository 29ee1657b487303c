"""Operations that change how values are held, not what they are: dtype, device, copies, parts of complex numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import backend_for, backend_of, device, is_array
from ..primitive import FUNCTIONS, Needs, Primitive, public
from ..tensor import Tensor, apply
from .arguments import operand
from .costs import no_flops, vjp_per_input


def _astype_forward(needs: Needs, x: Any, *, dtype: Any) -> tuple[Any, tuple[Any, ...]]:
    return (x.astype(dtype) if type(x) is np.ndarray else backend_of(x).cast(x, dtype)), ()


# The engine casts a cotangent to its input's dtype, so the rule has nothing to do.
ASTYPE = Primitive("astype", _astype_forward, lambda g, needs, *, dtype: (g,), fresh=False, flops=no_flops, linear=True)


@public
def astype(x: Any, dtype: Any, copy: bool = True) -> Any:
    """`x` with another dtype. The gradient is cast back; towards integers and booleans there is none."""
    x = x if isinstance(x, Tensor) or is_array(x) else np.asarray(x)
    dtype = np.dtype(dtype)
    if x.dtype == dtype and not copy:
        return x
    out = apply(ASTYPE, (x,), {"dtype": dtype})
    return out.detach() if isinstance(out, Tensor) and dtype.kind in "iub" else out


def _clone_forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
    backend = backend_of(x)
    out = backend.empty(x.shape, x.dtype)
    backend.put(out, ..., x)
    return out, ()


CLONE = Primitive("clone", _clone_forward, lambda g, needs: (g,), fresh=False, flops=no_flops, linear=True)


@public
def clone(x: Any) -> Any:
    """A copy of `x` on memory of its own (C order); the gradient passes through."""
    return apply(CLONE, (x if isinstance(x, Tensor) or is_array(x) else np.asarray(x),), {})


FUNCTIONS["copy"] = clone


def _to_device_forward(needs: Needs, x: Any, *, where: Any) -> tuple[Any, tuple[Any, ...]]:
    source = backend_of(x)
    # In C order: the memory order that is best on one device (see Backend.weight_order) is not on the other.
    return backend_for(where).receive(x, source), (source.device,)


TO_DEVICE = Primitive(
    "to_device",
    _to_device_forward,
    lambda g, needs, source, *, where: (to_device(g, source),),
    flops=no_flops,
    linear=True,
)


@public
def to_device(x: Any, where: Any) -> Any:
    """`x` on another device ("cpu", "cuda:1"). The gradient travels back.

    Copies to and from the CPU wait for the device; from one GPU to another they do not.
    """
    return apply(TO_DEVICE, (x,), {"where": device(where)})


def _real_forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
    return x.real.copy(), ()


REAL_PART = Primitive("real", _real_forward, lambda g, needs: (g,), fresh=False, flops=no_flops, linear=True)
IMAG_PART = Primitive(
    "imag",
    lambda needs, x: (x.imag.copy(), ()),
    lambda g, needs: (g * -1j,),
    flops=no_flops,
    vjp_flops=vjp_per_input(1),
    linear=True,
)


def _conj_forward(needs: Needs, x: Any) -> tuple[Any, tuple[Any, ...]]:
    found = x.conj()
    return (found if is_array(found) else backend_of(x).xp.asarray(found)), ()  # of a 0-d array NumPy makes a scalar


CONJUGATE = Primitive("conj", _conj_forward, lambda g, needs: (conj(g),), flops=no_flops, linear=True)


def _is_complex(x: Any) -> bool:
    return bool(x.dtype.kind == "c")


@public
def real(x: Any) -> Any:
    """The real part; a real `x` itself."""
    x = operand(x)
    return apply(REAL_PART, (x,), {}) if _is_complex(x) else x


@public
def imag(x: Any) -> Any:
    """The imaginary part; zeros for a real `x`. Gradients follow df/dx - i df/dy, JAX's and autograd's convention."""
    x = operand(x)
    return apply(IMAG_PART, (x,), {}) if _is_complex(x) else x * 0


@public
def conj(x: Any) -> Any:
    """The complex conjugate; a real `x` itself."""
    x = operand(x)
    return apply(CONJUGATE, (x,), {}) if _is_complex(x) else x
