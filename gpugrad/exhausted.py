"""Out of memory in an operation: what the tape holds, for the error that says it with what can be done.

Nothing here runs before an allocation has failed; the operations and the walk hand over what they know then. What fails
elsewhere, and what an allocator says, is `backend.out_of_memory`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .backend import backend_of, is_array, memory
from .backend.out_of_memory import OutOfMemoryError, holding, mib
from .nodes import Node

__all__ = ["OutOfMemoryError", "exhausted", "held_by"]

_SHOWN = 8  # operations listed in an error


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
    if isinstance(error, OutOfMemoryError) and error.plain is None:  # an operation of this one has said so
        if not held or error.held:
            return error
        text = str(error).split("\nThe tape holds", 1)[0]
    else:
        given = [a for a in arrays if is_array(a)]
        shapes = ", ".join(f"{tuple(a.shape)} {a.dtype}" for a in given)
        where, plain = _told(given, error)
        text = f"[{name}] out of memory{where}{f' ({shapes})' if shapes else ''}: {plain}"
    total = sum(nbytes for nbytes, _ in held.values())
    lines = [text, f"The tape holds {mib(total)}{' by operation:' if total else ''}"]
    for operation, (nbytes, count) in list(held.items())[:_SHOWN]:
        if nbytes:
            lines.append(f"  {mib(nbytes):>12}  {operation} ({count} node{'s' if count > 1 else ''})")
    lines.append(
        "Try a smaller batch; gg.checkpoint around blocks of the model (computed again instead of kept); "
        'gg.autocast("bfloat16"); gg.no_grad() where no gradient is wanted; keep loss.item() instead of losses, which '
        "hold their graphs. gg.tape_memory(fn, *args) says beforehand what a step takes"
    )
    return OutOfMemoryError("\n".join(lines), {operation: nbytes for operation, (nbytes, _) in held.items()})


def _told(arrays: list[Any], error: MemoryError) -> tuple[str, str]:
    """Where there was no memory, and what the allocator says of it."""
    if isinstance(error, OutOfMemoryError) and error.plain is not None:
        return f" on {error.where}" if error.where else "", error.plain
    plain = str(error).rstrip(".")
    if not arrays:
        return "", plain
    backend = backend_of(memory(arrays[0]))
    return f" on {backend.device}", plain + (holding(backend) if backend.name == "cuda" else "")
