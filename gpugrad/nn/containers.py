"""Modules that hold modules, in a row, a list or a dictionary, and lists and dictionaries of parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from ..backend import backend_of, is_array
from ..ops.feed_forward import joined
from ..tensor import Tensor
from .activation import GELU, ReLU
from .convolution import Conv2d
from .layers import Identity, Linear
from .module import Module, Parameter
from .norms import BatchNorm2d

_CALL: Final = Module.__call__  # another one stands here while somebody watches each layer
# What does a layer's work with the relu of its result, by the layer's `forward`: a subclass may have another.
_RELU_INSIDE: Final[dict[Any, Callable[..., Any]]] = {
    Conv2d.forward: Conv2d.convolve,  # and Conv1d's and Conv3d's, likewise below
    BatchNorm2d.forward: BatchNorm2d.normalise,
}

C = TypeVar("C", bound="_Numbered")


class _Numbered(Module):
    """Modules, or what a subclass holds, under the names "0", "1", ... with the manners of a list."""

    _kind: type = Module

    def _put(self, name: str, value: Any) -> None:
        self.add_module(name, value)

    def _replace(self, values: Iterable[Any]) -> None:
        values = list(values)
        for name in [k for k, v in self.__dict__.items() if isinstance(v, self._kind)]:
            del self.__dict__[name]
        for i, value in enumerate(values):
            self._put(str(i), value)

    def _name(self, index: int) -> str:
        names = [k for k, v in self.__dict__.items() if isinstance(v, self._kind)]
        if not -len(names) <= index < len(names):
            kind = self._kind.__name__.lower()
            raise IndexError(f"[{type(self).__name__}] index = {index} of {len(names)} {kind}s")
        return names[index]

    def __iter__(self) -> Iterator[Any]:
        return iter([v for v in self.__dict__.values() if isinstance(v, self._kind)])

    def __len__(self) -> int:
        return sum(isinstance(v, self._kind) for v in self.__dict__.values())

    def __getitem__(self: C, index: Any) -> Any:
        if isinstance(index, slice):
            part = type(self)()
            part._replace(list(self)[index])
            return part
        return self.__dict__[self._name(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._name(index), value)

    def __delitem__(self, index: Any) -> None:
        values = list(self)
        del values[index]
        self._replace(values)

    def append(self: C, value: Any) -> C:
        """Add one at the end; returns the container."""
        self._put(str(len(self)), value)
        return self

    def extend(self: C, values: Iterable[Any]) -> C:
        """Add several at the end; returns the container."""
        for value in list(values):
            self.append(value)
        return self

    def insert(self: C, index: int, value: Any) -> C:
        """Put one in front of the one at `index`; the later ones are renumbered. Returns the container."""
        values = list(self)
        values.insert(index, value)
        self._replace(values)
        return self


class Sequential(_Numbered):
    """Modules one after the other: each takes what the one before gives.

    On a GPU a run of `Linear` and `ReLU` (or `GELU(approximate="tanh")`) layers is one call of
    `functional.feed_forward`, whose activations are part of the matrix products, and a convolution or batch
    normalisation with the `ReLU` behind it one of `functional.conv_relu` or `batch_norm_relu`, unless the layers have
    hooks (or, other than affine maps, are being profiled).
    A profile shows an activation inside a product in the row of its `Linear`.

    Args:
        *modules: the modules, or a single mapping of names to modules.

    Example:
        >>> import gpugrad as gg
        >>> net = gg.nn.Sequential(gg.nn.Linear(4, 8), gg.nn.ReLU(), gg.nn.Linear(8, 2))
        >>> net(gg.zeros(3, 4)).shape
        (3, 2)
        >>> net[-1]
        Linear(in_features=8, out_features=2, bias=True)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(modules):
                self.add_module(str(i), module)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        if backend_of(getattr(x, "data", x)).epilogues:
            return self._joined(x)
        for module in self.__dict__.values():
            if isinstance(module, Module):
                x = module(x)
        return x

    def _joined(self, x: Any) -> Any:
        """The same, with each run of affine maps and activations that products can have as one call."""
        epilogues = backend_of(getattr(x, "data", x)).epilogues
        modules = [m for m in self.__dict__.values() if isinstance(m, Module)]
        at = 0
        while at < len(modules):
            layers, doers, end = _run(modules, at, epilogues)
            rectified = _rectified(*modules[at : at + 2])
            if rectified is not None:
                x, at = rectified(modules[at], x, relu=True), at + 2
            elif any(activation for *_, activation in layers):
                x, at = joined(x, layers, doers), end
            else:
                x, at = modules[at](x), at + 1
        return x


def _rectified(first: Module, then: Module | None = None) -> Callable[..., Any] | None:
    """What does the work of two modules where they are one of `_RELU_INSIDE` and a relu, and nobody looks between."""
    if type(then) is not ReLU or first._hooks or then._hooks or Module.__call__ is not _CALL:
        return None
    return _RELU_INSIDE.get(getattr(first.forward, "__func__", None))


def relu_of(first: Module, relu: Module, x: Any) -> Any:
    """`relu(first(x))`, on a GPU in one call where `Sequential` would make it one."""
    rectified = _rectified(first, relu) if backend_of(getattr(x, "data", x)).epilogues else None
    return relu(first(x)) if rectified is None else rectified(first, x, relu=True)


def _run(modules: list[Module], at: int, epilogues: frozenset[str]) -> tuple[list[Any], list[Any], int]:
    """The longest run of layers from `at` on as `joined` takes them, whose they are, and where the run ends."""
    layers: list[Any] = []
    doers: list[Any] = []
    last: Any = None
    end = at
    while end < len(modules):
        module = modules[end]
        if module._hooks:
            break
        if type(module) is Linear:
            layers.append((module.weight, module.bias, None))
            doers.append(module._forward_as)
        elif layers and layers[-1][2] is None and (name := _epilogue(module)) in epilogues:
            layers[-1] = (*layers[-1][:2], name)
            last = module._forward_as
        elif type(module) is not Identity:
            break
        end += 1
    return layers, [*doers, last], end


def _epilogue(module: Module) -> str:
    """What `feed_forward` calls an activation; "" for those that it has not."""
    if type(module) is ReLU:
        return "relu"
    return "gelu_tanh" if type(module) is GELU and module.approximate == "tanh" else ""


class ModuleList(_Numbered):
    """A list of modules that counts as the module's own; it has no forward.

    Args:
        modules: the modules.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())


class _Named(Module):
    """Modules, or what a subclass holds, under names, with the manners of a dictionary."""

    _kind: type = Module

    def _put(self, name: str, value: Any) -> None:
        self.add_module(name, value)

    def update(self, values: Any) -> None:
        """Set several by name: a dictionary, or pairs of names and values."""
        for name, value in values.items() if hasattr(values, "items") else values:
            self[name] = value

    def __getitem__(self, name: str) -> Any:
        value = self.__dict__.get(name)
        if not isinstance(value, self._kind):
            there, kind = ", ".join(self.keys()) or "none", self._kind.__name__.lower()
            raise KeyError(f"[{type(self).__name__}] no {kind} {name!r}; there are {there}")
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self._put(name, value)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return isinstance(self.__dict__.get(str(name)), self._kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """The names."""
        return [k for k, v in self.__dict__.items() if isinstance(v, self._kind)]

    def values(self) -> list[Any]:
        """What is held."""
        return [v for v in self.__dict__.values() if isinstance(v, self._kind)]

    def items(self) -> list[tuple[str, Any]]:
        """Names and what is held."""
        return [(k, v) for k, v in self.__dict__.items() if isinstance(v, self._kind)]

    def pop(self, name: str) -> Any:
        """Take one out, and return it."""
        value = self[name]
        del self[name]
        return value

    def clear(self) -> None:
        """Take all out."""
        for name in self.keys():
            del self[name]


class ModuleDict(_Named):
    """A dictionary of modules that counts as the module's own; it has no forward.

    Args:
        modules: names and modules.
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})


def _parameter(who: str, value: Any) -> Parameter:
    """A parameter as it is, a tensor or array as the memory of a new one.

    Raises:
        TypeError: something else.
    """
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor) or is_array(value):
        return Parameter(value.detach() if isinstance(value, Tensor) else value)
    raise TypeError(f"[{who}] got a {type(value).__name__}; expected a Parameter, a tensor or an array")


def _lines(items: Iterable[tuple[str, Parameter]]) -> str:
    """A line for each parameter."""
    lines = [f"\n  ({name}): Parameter {p.shape} {p.dtype}" for name, p in items]
    return "".join([*lines, "\n"]) if lines else ""


class ParameterList(_Numbered):
    """A list of parameters that counts as the module's own: "0", "1", ... in `state_dict`.

    Args:
        values: parameters; tensors and arrays become parameters on the same memory.

    Raises:
        TypeError: something else.

    Example:
        >>> import gpugrad as gg
        >>> scales = gg.nn.ParameterList([gg.ones(2), gg.zeros(3)])
        >>> [name for name, _ in scales.named_parameters()]
        ['0', '1']
    """

    _kind = Parameter

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def _put(self, name: str, value: Any) -> None:
        self.register_parameter(name, _parameter("ParameterList", value))

    def extra_repr(self) -> str:
        """The shapes."""
        return _lines((str(i), p) for i, p in enumerate(self))


class ParameterDict(_Named):
    """A dictionary of parameters that counts as the module's own, under its names.

    Args:
        parameters: names and parameters; tensors and arrays become parameters on the same memory.

    Raises:
        TypeError: something else.
    """

    _kind = Parameter

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def _put(self, name: str, value: Any) -> None:
        self.register_parameter(name, _parameter("ParameterDict", value))

    def extra_repr(self) -> str:
        """The names and shapes."""
        return _lines(self.items())
