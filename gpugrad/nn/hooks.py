"""Functions that watch a module's calls and their way back, or change what goes in and comes out; PyTorch's names.

`Module.__call__` hands a call with hooks over to `call`. What is to be seen on the way back passes two nodes of the
tape, one around all arguments and one around all results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..gradmode import recording
from ..tensor import Tensor
from ..transforms.region import Region, as_node
from ..transforms.tree import flatten

ForwardHook = Callable[..., Any]


class HookHandle:
    """A hook of a module, for taking it away again; `kind` is when it runs, as "forward"."""

    def __init__(self, module: Any, kind: str, hook: Callable[..., Any], with_kwargs: bool = False) -> None:
        self.module, self.kind, self.hook, self.with_kwargs = module, kind, hook, with_kwargs

    def remove(self) -> None:
        """Take the hook away; a second time does nothing."""
        self.module._hooks = tuple(h for h in self.module._hooks if h is not self)

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooked:
    """The hooks of a module. They run in the order of registration, or (`prepend`) before those that are there.

    Each `register_...` returns a handle whose `remove()` takes the hook away; it is also a context manager that does so
    at its end.
    """

    _hooks: tuple[HookHandle, ...] = ()

    def _register(self, kind: str, hook: Callable[..., Any], prepend: bool, with_kwargs: bool = False) -> HookHandle:
        handle = HookHandle(self, kind, hook, with_kwargs)
        self._hooks = (handle, *self._hooks) if prepend else (*self._hooks, handle)
        return handle

    def register_forward_hook(
        self, hook: ForwardHook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook(module, args, output)` after each forward; what it returns, if not None, is the output instead.

        With `with_kwargs` it is `hook(module, args, kwargs, output)`.
        """
        return self._register("forward", hook, prepend, with_kwargs)

    def register_forward_pre_hook(
        self, hook: ForwardHook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> HookHandle:
        """Call `hook(module, args)` before each forward; what it returns, if not None, are the arguments instead.

        A single value stands for a tuple of it. With `with_kwargs` it is `hook(module, args, kwargs)`, which returns
        None or both.
        """
        return self._register("before", hook, prepend, with_kwargs)

    def register_full_backward_hook(self, hook: Callable[[Any, Any, Any], Any], prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of a call's arguments are there.

        Both are tuples: a gradient for each positional argument (None for what needs none) and for each tensor of the
        output. What it returns, if not None, takes the place of `grad_input`. Where no argument needs a gradient the
        hook runs when those of the output are there.
        """
        return self._register("backward", hook, prepend)

    def register_full_backward_pre_hook(self, hook: Callable[[Any, Any], Any], prepend: bool = False) -> HookHandle:
        """Call `hook(module, grad_output)` when the gradients of a call's output are there, before they go through it.

        What it returns, if not None, takes their place.
        """
        return self._register("before backward", hook, prepend)


def call(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What `module.forward` gives, as the module's hooks leave it."""
    hooks: tuple[HookHandle, ...] = module._hooks
    for handle in hooks:
        if handle.kind != "before":
            continue
        changed = handle.hook(module, args, kwargs) if handle.with_kwargs else handle.hook(module, args)
        if changed is not None and handle.with_kwargs:
            args, kwargs = changed
        elif changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    back = _WayBack(module, hooks) if recording() and any("backward" in h.kind for h in hooks) else None
    out = module.forward(*(args if back is None else back.arguments(args)), **kwargs)
    for handle in hooks:
        if handle.kind == "forward":
            changed = handle.hook(module, args, *([kwargs] if handle.with_kwargs else []), out)
            out = out if changed is None else changed
    return out if back is None else back.results(out)


class _WayBack:
    """The hooks that one call meets on its way back."""

    def __init__(self, module: Any, hooks: Sequence[HookHandle]) -> None:
        self.module = module
        self.grad_output: tuple[Any, ...] | None = None  # until the arguments' come too
        self.first = [h.hook for h in hooks if h.kind == "before backward"]
        self.last = [h.hook for h in hooks if h.kind == "backward"]
        self.places: list[int] = []  # of the arguments that need gradients
        self.count = 0

    def arguments(self, args: tuple[Any, ...]) -> list[Any]:
        """The arguments, behind a node that sees their gradients."""
        passed, self.places = _through(self._at_arguments, args)
        self.count = len(args)
        return passed

    def results(self, out: Any) -> Any:
        """The output, before a node that sees its gradients."""
        leaves, build = flatten(out)
        passed, places = _through(lambda found: self._at_results(found, places, len(leaves)), leaves)
        return build(passed)

    def _at_results(self, found: Sequence[Any], places: list[int], count: int) -> list[Any]:
        given = _spread(found, places, count)
        for hook in self.first:
            given = _or_else(hook(self.module, given), given)
        self.grad_output = given
        if not self.places:
            self._at_arguments(())
        return [given[i] for i in places]

    def _at_arguments(self, found: Sequence[Any]) -> list[Any]:
        if self.grad_output is None:  # they came by another way than through the output: a gradient's own gradient
            return list(found)
        given = _spread(found, self.places, self.count)
        for hook in self.last:
            given = _or_else(hook(self.module, given, self.grad_output), given)
        self.grad_output = None
        return [given[i] for i in self.places]


def _spread(found: Sequence[Any], places: Sequence[int], count: int) -> tuple[Any, ...]:
    """What was found in its places, None in all others."""
    at = dict(zip(places, found, strict=True))
    return tuple(at.get(i) for i in range(count))


def _or_else(changed: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a hook gave in place of gradients, if anything.

    Raises:
        RuntimeError: another number of gradients.
    """
    if changed is None:
        return given
    found = tuple(changed) if isinstance(changed, tuple | list) else (changed,)
    if len(found) != len(given):
        raise RuntimeError(f"[backward hook] it returned {len(found)} gradients in place of {len(given)}")
    return found


def _through(then: Callable[[Sequence[Any]], list[Any]], values: Sequence[Any]) -> tuple[list[Any], list[int]]:
    """Values whose tensors that need gradients have passed one node, and where those are."""
    passed = list(values)
    places = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v._node is not None]
    if places:
        given = [values[i] for i in places]
        for i, out in zip(places, as_node(_Passage(then), given, (), (), [t.data for t in given]), strict=True):
            passed[i] = out
    return passed, places


class _Passage(Region):
    """The identity of several tensors, told of their gradients, which it may change."""

    name = "hook"
    watches = True

    def __init__(self, then: Callable[[Sequence[Any]], list[Any]]) -> None:
        self.then = then

    def back(self, node: Any, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """The cotangents as the hooks leave them."""
        return self.then(cotangents)

    def forth(self, node: Any, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """The tangents."""
        return list(tangents)
