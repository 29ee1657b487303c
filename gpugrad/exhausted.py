"""Out of memory: what the tape holds, by operation, and the error that says it with what can be done.

Nothing here runs before an allocation has failed; the operations and the walk hand over what they know then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .backend import backend_of, is_array, memory
from .nodes import Node

_SHOWN = 8  # operations listed in an error


class OutOfMemoryError(MemoryError):
    """An operation or a backward pass found no memory; the message says what the tape holds and what to try.

    Attributes:
        held: bytes that the graph behind the operation keeps, by operation, largest first.
    """

    def __init__(self, message: str, held: dict[str, int]) -> None:
        super().__init__(message)
        self.held = held


def held_by(nodes: Iterable[Node | None]) -> dict[str, tuple[int, int]]:
    """What the graph behind some nodes keeps for the way back: by operation (bytes, nodes), largest first.

    Memory that several nodes keep is counted once, for the one found first; parameters and inputs that a node keeps are
    counted too, because the graph keeps them alive.
    """
    found: dict[str, tuple[int, int]] = {}
    counted: set[int] = set()
    stack = [n for n in nodes if n is not None]
    seen = set(stack)
    while stack:
        node = stack.pop()
        nbytes = 0
        for value in node.saved if isinstance(node.saved, tuple) else (node.saved,):
            if not is_array(value):
                continue
            array = memory(value)
            owner: Any = backend_of(array).storage(array)
            if id(owner) not in counted:
                counted.add(id(owner))
                nbytes += int(getattr(owner, "nbytes", array.nbytes))
        if not node.leaf:
            before = found.get(node.name, (0, 0))
            found[node.name] = before[0] + nbytes, before[1] + 1
        parents = (node.parents,) if node.single else node.parents or ()
        for p in parents:
            if p is not None and p not in seen:
                seen.add(p)
                stack.append(p)
    return dict(sorted(found.items(), key=lambda entry: -entry[1][0]))


def exhausted(name: str, arrays: Iterable[Any], nodes: Iterable[Node | None], error: MemoryError) -> MemoryError:
    """The error to raise where the operation `name` on `arrays`, recorded behind `nodes`, found no memory."""
    held = held_by(nodes)
    if isinstance(error, OutOfMemoryError):  # an operation of a backward pass has said so: here is the tape
        if not held or error.held:
            return error
        text = str(error).split("\nThe tape holds", 1)[0]
    else:
        given = [a for a in arrays if is_array(a)]
        shapes = ", ".join(f"{tuple(a.shape)} {a.dtype}" for a in given)
        where = f" on {backend_of(given[0]).device}" if given else ""
        text = f"[{name}] out of memory{where} ({shapes}): {str(error).rstrip('.')}{_pool(given)}"
    total = sum(nbytes for nbytes, _ in held.values())
    lines = [text, f"The tape holds {_mib(total)}{' by operation:' if total else ''}"]
    for operation, (nbytes, count) in list(held.items())[:_SHOWN]:
        if nbytes:
            lines.append(f"  {_mib(nbytes):>12}  {operation} ({count} node{'s' if count > 1 else ''})")
    lines.append(
        "Try a smaller batch; gg.checkpoint around blocks of the model (computed again instead of kept); "
        'gg.autocast("bfloat16"); gg.no_grad() where no gradient is wanted; keep loss.item() instead of losses, which '
        "hold their graphs. gg.tape_memory(fn, *args) says beforehand what a step takes"
    )
    return OutOfMemoryError("\n".join(lines), {operation: nbytes for operation, (nbytes, _) in held.items()})


def _pool(arrays: list[Any]) -> str:
    """What the device's allocator holds, as part of a sentence; nothing for the CPU."""
    backend = backend_of(memory(arrays[0])) if arrays else None
    if backend is None or backend.name != "cuda":
        return ""
    s = backend.memory_stats()
    graphs = f"{_mib(s.graph_bytes)} taken by compiled steps, " if s.graph_bytes else ""
    limit = f"{_mib(s.limit_bytes)} allowed for all of it, " if s.limit_bytes else ""
    return (
        f"; {_mib(s.in_use_bytes)} are in arrays, {_mib(s.held_bytes)} held by the pool, {graphs}{limit}"
        f"{_mib(s.free_bytes)} of {_mib(s.total_bytes)} free for all programs"
    )


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f} MiB"
