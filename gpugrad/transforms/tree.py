"""Nested structures of arrays: dict, list, tuple, named tuple and dataclass, taken apart and put together again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of `tree` in a fixed order, and the function that builds the same structure on other leaves."""
    leaves: list[Any] = []
    template = _walk(tree, leaves.append)

    def build(values: list[Any]) -> Any:
        it = iter(values)
        return _build(template, it.__next__)

    return leaves, build


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The structure of `tree` with `function` applied to each leaf."""
    leaves, build = flatten(tree)
    return build([function(leaf) for leaf in leaves])


class _Slot:
    """A leaf's place in a template."""


_SLOT = _Slot()


def _kind_of(of: type) -> str:
    """What the instances of a type are."""
    if issubclass(of, dict):
        return "dict"
    if issubclass(of, list | tuple):
        return "named" if issubclass(of, tuple) and hasattr(of, "_fields") else "sequence"
    return "dataclass" if dataclasses.is_dataclass(of) else "leaf"


# Told once for each type, since it is asked for each leaf of each call.
_kind: Callable[[type], str] = functools.lru_cache(maxsize=1024)(_kind_of)


def _walk(tree: Any, leaf: Callable[[Any], None]) -> Any:
    if tree is None:
        return None
    kind = _kind(type(tree))
    if kind == "leaf":
        leaf(tree)
        return _SLOT
    if kind == "dict":
        return {k: _walk(tree[k], leaf) for k in tree}
    if kind == "named":
        return type(tree)(*[_walk(v, leaf) for v in tree])
    if kind == "sequence":
        return type(tree)([_walk(v, leaf) for v in tree])
    return dataclasses.replace(tree, **{f.name: _walk(getattr(tree, f.name), leaf) for f in dataclasses.fields(tree)})


def _build(template: Any, take: Callable[[], Any]) -> Any:
    if template is _SLOT:
        return take()
    if template is None:
        return None
    kind = _kind(type(template))
    if kind == "dict":
        return {k: _build(v, take) for k, v in template.items()}
    if kind == "named":
        return type(template)(*[_build(v, take) for v in template])
    if kind == "sequence":
        return type(template)([_build(v, take) for v in template])
    fields = {f.name: _build(getattr(template, f.name), take) for f in dataclasses.fields(template)}
    return dataclasses.replace(template, **fields)
