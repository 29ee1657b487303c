"""Nested structures of arrays: dict, list, tuple, named tuple and dataclass, taken apart and put together again."""

from __future__ import annotations

import dataclasses
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


def _walk(tree: Any, leaf: Callable[[Any], None]) -> Any:
    if isinstance(tree, dict):
        return {k: _walk(tree[k], leaf) for k in tree}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(_walk(v, leaf) for v in tree))
    if isinstance(tree, list | tuple):
        return type(tree)(_walk(v, leaf) for v in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return dataclasses.replace(
            tree, **{f.name: _walk(getattr(tree, f.name), leaf) for f in dataclasses.fields(tree)}
        )
    if tree is None:
        return None
    leaf(tree)
    return _SLOT


def _build(template: Any, take: Callable[[], Any]) -> Any:
    if template is _SLOT:
        return take()
    if isinstance(template, dict):
        return {k: _build(v, take) for k, v in template.items()}
    if isinstance(template, tuple) and hasattr(template, "_fields"):
        return type(template)(*(_build(v, take) for v in template))
    if isinstance(template, list | tuple):
        return type(template)(_build(v, take) for v in template)
    if dataclasses.is_dataclass(template) and not isinstance(template, type):
        fields = {f.name: _build(getattr(template, f.name), take) for f in dataclasses.fields(template)}
        return dataclasses.replace(template, **fields)
    return template
