"""Modules as functions of their parameters: what transforms differentiate, map, and nest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..backend import is_array
from ..tensor import Tensor, new_tensor
from .module import Module


def functional_call(
    module: Module,
    parameters_and_buffers: Mapping[str, Any],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters (and buffers) than its own, as `torch.func.functional_call`.

    Args:
        module: the module; it is as it was afterwards. Not for two threads at a time.
        parameters_and_buffers: tensors or arrays by the names of `named_parameters` and `named_buffers`, each of the
            shape of what it stands in for; those left out are the module's own. A parameter that the module has under
            several names is replaced under all of them.
        args: the positional arguments, a tuple; anything else is the only one.
        kwargs: the keyword arguments.
        strict: require all names.

    Returns:
        What `module(*args, **kwargs)` returns.

    Raises:
        KeyError: the module has no such name; with `strict`, one of its names is missing.
        ValueError: a value has another shape.

    Example, per-example gradients:
        >>> import gpugrad as gg
        >>> model = gg.nn.Linear(3, 1)
        >>> def loss(parameters, x, y):
        ...     return (gg.nn.functional_call(model, parameters, x) - y).square().sum()
        >>> gradients = gg.vmap(gg.grad(loss), in_axes=(None, 0, 0))
        >>> found = gradients(dict(model.named_parameters()), gg.randn(5, 3), gg.randn(5, 1))
        >>> found["weight"].shape
        (5, 1, 3)
    """
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    _check(module, own, parameters_and_buffers, strict)
    by_tensor = {
        id(own[name]): value if isinstance(value, Tensor) else new_tensor(value, None)
        for name, value in parameters_and_buffers.items()
    }
    swapped: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for part in module.modules():
            attributes = vars(part)
            for key, value in attributes.items():
                if isinstance(value, Tensor) and id(value) in by_tensor:
                    swapped.append((attributes, key, value))
        for attributes, key, value in swapped:
            attributes[key] = by_tensor[id(value)]
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for attributes, key, value in swapped:
            attributes[key] = value


def _check(module: Module, own: Mapping[str, Tensor], given: Mapping[str, Any], strict: bool) -> None:
    for name, value in given.items():
        if name not in own:
            raise KeyError(f"[functional_call] {type(module).__name__} has no {name!r}; it has {', '.join(own)}")
        if not isinstance(value, Tensor) and not is_array(value):
            raise TypeError(f"[functional_call] {name} = {type(value).__name__}; expected a tensor or an array")
        if value.shape != own[name].shape:
            raise ValueError(
                f"[functional_call] {name} has shape {tuple(value.shape)}; expected that of the module's, "
                f"{tuple(own[name].shape)}: inside vmap an argument shows the shape of one example"
            )
    missing = [name for name in own if name not in given] if strict else []
    if missing:
        raise KeyError(f"[functional_call] strict=True, but {', '.join(missing)} of {type(module).__name__} is missing")
