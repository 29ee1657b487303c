"""What one does with a network's parameters as a whole: clip their gradients, view them as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .. import mutation
from ..backend import backend_of, capturing
from ..backend.placing import placed
from ..fusion import call, trace
from ..ops.joining import concatenate
from ..tensor import Tensor, new_tensor


def _gradients(parameters: Any) -> list[Any]:
    """The bare gradients of a tensor or of several; parameters without one are left out."""
    each = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    capturing.reads([p._node for p in each if p.grad is not None])
    return [p.grad.data for p in each if p.grad is not None]


def _by_device(grads: list[Any]) -> list[list[Any]]:
    """Arrays sorted by where they are."""
    groups: dict[str, list[Any]] = {}
    for g in grads:
        groups.setdefault(str(backend_of(g).device), []).append(g)
    return list(groups.values())


_ROOT = trace(lambda squares: call("sqrt", squares), "clip_norm")
_FACTOR = trace(lambda total, most: call("minimum", most / (total + 1e-6), 1.0), "clip_factor")


@placed
def _norm(grads: list[Any], norm_type: float) -> Any:
    """The norm of arrays on one device, as an array there."""
    backend = backend_of(grads[0])
    xp = backend.xp
    if norm_type == 2.0:
        total = backend.kernel(_ROOT)(xp.asarray(backend.optim.squared_norm(grads)))
    elif norm_type == math.inf:
        total = xp.stack([abs(g).max() for g in grads]).max()
    else:
        total = xp.stack([(abs(g) ** norm_type).sum() for g in grads]).sum() ** (1.0 / norm_type)
    return xp.asarray(total, dtype=grads[0].dtype) if total.dtype != grads[0].dtype else total


@placed
def _scale_to(grads: list[Any], max_norm: float, total: Any) -> None:
    """Multiply arrays on one device by what brings a norm of `total` down to `max_norm`."""
    backend = backend_of(grads[0])
    backend.optim.scale(grads, backend.kernel(_FACTOR)(backend.xp.asarray(total, grads[0].dtype), max_norm))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, by one factor that makes their common norm at most `max_norm`.

    Args:
        parameters: a tensor or several; those without a gradient are left out.
        max_norm: the largest norm allowed.
        norm_type: p of the norm; `math.inf` for the largest absolute value.
        error_if_nonfinite: refuse a norm that is nan or infinite (reads it, which waits for a GPU; so do gradients on
            the CPU beside those on a GPU).

    Returns:
        The norm of all gradients together before clipping, a single number. The factor is
        `max_norm / (norm + 1e-6)`, as in PyTorch, and never above 1.

    Raises:
        ValueError: `max_norm` is negative, or `norm_type` not positive.
        RuntimeError: the norm is not finite and `error_if_nonfinite` is set.
    """
    if max_norm < 0 or norm_type <= 0:
        raise ValueError(
            f"[clip_grad_norm_] max_norm = {max_norm}, norm_type = {norm_type}; expected 0 or more, and over 0"
        )
    grads = _gradients(parameters)
    if not grads:
        return Tensor(0.0)
    groups = _by_device(grads)
    if len(groups) == 1:
        total = _norm(grads, norm_type)
    else:  # their norms meet on the first device
        home: Any = backend_of(grads[0])
        norms = [home.receive(_norm(each, norm_type), backend_of(each[0])) for each in groups]
        total = _norm([home.xp.stack([n.astype(grads[0].dtype) for n in norms])], norm_type)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise RuntimeError(
            f"[clip_grad_norm_] the norm of the gradients is {float(total)}; nothing was clipped. Find the first bad "
            "gradient with gg.detect_anomaly()"
        )
    for each in groups:
        there = total if each is groups[0] else backend_of(each[0]).receive(total, backend_of(total))
        _scale_to(each, max_norm, there)
    for g in grads:
        mutation.changed(g, "clip_grad_norm_")
    return new_tensor(total, None)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Cut every element of the gradients to [-clip_value, clip_value], in place; on a GPU in one launch for a dtype.

    Raises:
        ValueError: `clip_value` is negative.
    """
    if clip_value < 0:
        raise ValueError(f"[clip_grad_value_] clip_value = {clip_value}; expected 0 or more")
    grads = _gradients(parameters)
    for each in _by_device(grads):
        _cut(each, clip_value)
    for g in grads:
        mutation.changed(g, "clip_grad_value_")


@placed
def _cut(grads: list[Any], most: float) -> None:
    """Clip arrays on one device by value."""
    backend_of(grads[0]).optim.clip(grads, most)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters one after the other, as one vector; differentiable.

    Raises:
        ValueError: there are none.
    """
    flat = [p.reshape(-1) for p in parameters]
    if not flat:
        raise ValueError("[parameters_to_vector] no parameters; expected one or more")
    return concatenate(flat)  # type: ignore[no-any-return]


@placed
def _overwrite(target: Any, values: Any) -> None:
    target[...] = values


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy a vector's parts into the parameters, in place; the inverse of `parameters_to_vector`.

    Raises:
        ValueError: the vector's length is not the number of all elements.
    """
    each = list(parameters)
    total = sum(p.data.size for p in each)
    if vec.shape != (total,):
        raise ValueError(f"[vector_to_parameters] vec has shape {vec.shape}; expected ({total},), all elements")
    start = 0
    for p in each:
        _overwrite(p.data, vec.data[start : start + p.data.size].reshape(p.shape))
        mutation.changed(p.data, "vector_to_parameters")
        start += p.data.size
