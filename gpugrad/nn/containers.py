"""Modules that hold modules: `Sequential`, `ModuleList`, `ModuleDict`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from ..backend import backend_of
from ..ops.feed_forward import joined
from .activation import GELU, ReLU
from .convolution import Conv1d, Conv2d, Conv3d
from .layers import Identity, Linear
from .module import Module

_CALL: Final = Module.__call__  # another one stands here while somebody watches each layer

C = TypeVar("C", bound="_Numbered")


class _Numbered(Module):
    """Modules under the names "0", "1", ... with the manners of a list."""

    def _replace(self, modules: Iterable[Module]) -> None:
        for name in [k for k, v in self.__dict__.items() if isinstance(v, Module)]:
            del self.__dict__[name]
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def _name(self, index: int) -> str:
        names = [k for k, v in self.__dict__.items() if isinstance(v, Module)]
        if not -len(names) <= index < len(names):
            raise IndexError(f"[{type(self).__name__}] index = {index} of {len(names)} modules")
        return names[index]

    def __iter__(self) -> Iterator[Module]:
        return iter([v for v in self.__dict__.values() if isinstance(v, Module)])

    def __len__(self) -> int:
        return sum(isinstance(v, Module) for v in self.__dict__.values())

    def __getitem__(self: C, index: Any) -> Any:
        if isinstance(index, slice):
            part = type(self)()
            part._replace(list(self)[index])
            return part
        return self.__dict__[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name(index), module)

    def __delitem__(self, index: Any) -> None:
        modules = list(self)
        del modules[index]
        self._replace(modules)

    def append(self: C, module: Module) -> C:
        """Add a module at the end; returns the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: C, modules: Iterable[Module]) -> C:
        """Add modules at the end; returns the container."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: C, index: int, module: Module) -> C:
        """Put a module in front of the one at `index`; the later ones are renumbered. Returns the container."""
        modules = list(self)
        modules.insert(index, module)
        self._replace(modules)
        return self


class Sequential(_Numbered):
    """Modules one after the other: each takes what the one before gives.

    On a GPU a run of `Linear` and `ReLU` (or `GELU(approximate="tanh")`) layers is one call of
    `functional.feed_forward`, whose activations are part of the matrix products, and a convolution with the `ReLU`
    behind it one of `functional.conv_relu`, unless the layers have hooks (or, with a convolution, are being profiled).
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
            convolution = _rectified(modules[at : at + 2]) if Module.__call__ is _CALL else None
            if convolution is not None:
                x, at = convolution.convolve(x, relu=True), at + 2
            elif any(activation for *_, activation in layers):
                x, at = joined(x, layers, doers), end
            else:
                x, at = modules[at](x), at + 1
        return x


def _rectified(pair: list[Module]) -> Conv1d | Conv2d | Conv3d | None:
    """The first of two modules where they are a convolution and the relu of its result."""
    first = pair[0]
    if type(pair[-1]) is not ReLU or any(module._forward_hooks for module in pair):
        return None
    return first if isinstance(first, Conv1d | Conv2d | Conv3d) else None


def _run(modules: list[Module], at: int, epilogues: frozenset[str]) -> tuple[list[Any], list[Any], int]:
    """The longest run of layers from `at` on as `joined` takes them, whose they are, and where the run ends."""
    layers: list[Any] = []
    doers: list[Any] = []
    last: Any = None
    end = at
    while end < len(modules):
        module = modules[end]
        if module._forward_hooks:
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


class ModuleDict(Module):
    """A dictionary of modules that counts as the module's own; it has no forward.

    Args:
        modules: names and modules.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        """Set several modules by name."""
        for name, module in modules.items():
            self[name] = module

    def __getitem__(self, name: str) -> Any:
        value = self.__dict__.get(name)
        if not isinstance(value, Module):
            raise KeyError(f"[ModuleDict] no module {name!r}; there are {', '.join(self.keys()) or 'none'}")
        return value

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return isinstance(self.__dict__.get(str(name)), Module)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """The names."""
        return [k for k, v in self.__dict__.items() if isinstance(v, Module)]

    def values(self) -> list[Module]:
        """The modules."""
        return [v for v in self.__dict__.values() if isinstance(v, Module)]

    def items(self) -> list[tuple[str, Module]]:
        """Names and modules."""
        return [(k, v) for k, v in self.__dict__.items() if isinstance(v, Module)]
