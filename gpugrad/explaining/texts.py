"""A recorded graph as text: a table, Graphviz's language, and Mermaid's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .graph import Step

LEAF, OPERATION = "#d8ecd2", "#dbe6f4"  # fills of leaves and of operations


def size(nbytes: int) -> str:
    """Bytes for people."""
    if nbytes < 1024:
        return f"{nbytes} B"
    for unit in ("KiB", "MiB"):
        nbytes /= 1024  # type: ignore[assignment]
        if nbytes < 1024:
            return f"{nbytes:.1f} {unit}"
    return f"{nbytes / 1024:.2f} GiB"


def shape(found: Any) -> str:
    """`(2, 3)`, or the shapes of several outputs."""
    if found and isinstance(found[0], tuple):
        return ", ".join(map(shape, found))
    return f"({', '.join(map(str, found))})"


def holds(step: Step) -> str:
    """What a step keeps, in words."""
    return "-" if step.leaf else "freed" if step.freed else size(step.held_bytes)


def table(steps: tuple[Step, ...]) -> str:
    """A row for each step; notes and source lines where there are any."""
    rows = [["#", "operation", "inputs", "output", "holds", "note", "recorded at"]]
    for s in steps:
        inputs = " ".join(map(str, s.parents))
        rows.append([str(s.number), s.name, inputs, f"{shape(s.shape)} {s.dtype}", holds(s), s.note, s.line])
    kept = [c for c in range(len(rows[0])) if c < 5 or any(row[c] for row in rows[1:])]
    widths = {c: max(len(row[c]) for row in rows) for c in kept}
    right = {0, 4}
    lines = [
        "  ".join(row[c].rjust(widths[c]) if c in right else row[c].ljust(widths[c]) for c in kept).rstrip()
        for row in rows
    ]
    indent = " " if widths[0] == 1 else ""
    total = sum(s.held_bytes for s in steps)
    return "\n".join([*(indent + line for line in lines), f"held for the way back: {size(total)}"])


def lines_of(step: Step) -> list[str]:
    """What stands in a step's box."""
    found = [step.name, f"{shape(step.shape)} {step.dtype}"]
    if step.freed:
        found.append("freed")
    elif step.held_bytes:
        found.append(f"holds {size(step.held_bytes)}")
    if step.note:
        found.append(step.note)
    if step.line:
        place = step.line.split(": ", 1)[0].replace("\\", "/").rsplit("/", 1)[-1]
        found.append(place)
    return found


def dot(steps: tuple[Step, ...]) -> str:
    """Graphviz's language."""
    lines = ["digraph {", '  rankdir="TB"', '  node [shape="box" style="rounded,filled" fontname="Helvetica"]']
    for s in steps:
        label = "\\n".join(_quoted(part) for part in lines_of(s))
        lines.append(f'  n{s.number} [label="{label}" fillcolor="{LEAF if s.leaf else OPERATION}"]')
    lines += [f"  n{p} -> n{s.number}" for s in steps for p in s.parents]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def mermaid(steps: tuple[Step, ...]) -> str:
    """Mermaid's language."""
    lines = ["flowchart TD"]
    for s in steps:
        label = "<br/>".join(part.replace('"', "#quot;") for part in lines_of(s))
        left, right = ("([", "])") if s.leaf else ("[", "]")
        lines.append(f'  n{s.number}{left}"{label}"{right}')
    lines += [f"  n{p} --> n{s.number}" for s in steps for p in s.parents]
    leaves = ",".join(f"n{s.number}" for s in steps if s.leaf)
    if leaves:
        lines += [f"  classDef leaf fill:{LEAF},stroke:#666;", f"  class {leaves} leaf;"]
    return "\n".join(lines)
