"""Which layer an operation belongs to: the path of the module whose forward is running, or the operation's own name.

Only names live here; what a layer costs is in `recorder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn.module import Module

BETWEEN = "(between operations)"  # Python, and whatever else runs while no operation does
BEFORE = "(recorded before)"  # nodes of a graph that was recorded before anybody watched


@dataclass(frozen=True)
class Layer:
    """A row of the report.

    Attributes:
        name: the module's path in its model (the class's name for a model without parts), or for an operation in the
            forward of a container or outside of modules its name, behind the container's path.
        kind: the class of the module, or "operation".
    """

    name: str
    kind: str


class LayerNames:
    """The layers met so far, numbered, and the stack of modules whose forward is running."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self._numbers: dict[Layer, int] = {}
        self._paths: dict[int, str] = {}  # id of a module -> its path
        self._roots: list[Module] = []  # kept, so that ids stay theirs
        self._stack: list[tuple[Module, str, bool]] = []  # the module, its path, whether it has parts

    def number(self, layer: Layer) -> int:
        """The number of a layer, a new one at its first sight."""
        found = self._numbers.get(layer)
        if found is None:
            found = self._numbers[layer] = len(self.layers)
            self.layers.append(layer)
        return found

    def enter(self, module: Module) -> None:
        """The forward of `module` begins."""
        path = self._paths.get(id(module))
        if path is None:
            path = self._new_root(module)
        self._stack.append((module, path, next(module.children(), None) is not None))

    def leave(self) -> None:
        """The innermost forward has ended."""
        self._stack.pop()

    def of(self, operation: str) -> int:
        """The layer of an operation that runs now."""
        if not self._stack:
            return self.number(Layer(operation, "operation"))
        module, path, has_parts = self._stack[-1]
        if has_parts:
            return self.number(Layer(f"{path}.{operation}" if path else operation, "operation"))
        return self.number(Layer(path or type(module).__name__, type(module).__name__))

    def _new_root(self, module: Module) -> str:
        """A module that is no part of one seen before: its parts get their paths in it.

        The parts of the first model have bare paths; those of further ones have the model's class in front.
        """
        parents = [root for root in self._roots if next(root.children(), None) is not None]
        prefix = ""
        if parents and next(module.children(), None) is not None:
            same = sum(type(root) is type(module) for root in parents)
            prefix = type(module).__name__ + (f"#{same + 1}" if same else "")
        self._roots.append(module)
        for path, part in module.named_modules(prefix=prefix):
            self._paths.setdefault(id(part), path)
        return self._paths[id(module)]


def described(layer: Layer) -> str:
    """The layer as a table shows it: `0 Linear`, `cross_entropy`."""
    return layer.name if layer.kind in ("operation", layer.name) else f"{layer.name} {layer.kind}"


def storage_bytes(storage: Any, array: Any) -> int:
    """Bytes of the memory behind `array`; of a foreign owner that does not tell, those of the array."""
    return int(getattr(storage, "nbytes", array.nbytes))
