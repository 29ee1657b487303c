"""Reading a recorded graph: each operation with its shape, what it holds, and where it was recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..anomaly import recorded_at
from ..backend import backend_of, is_array, memory
from ..nodes import FREED, Node, OutputNode, PrimitiveNode
from ..tensor import Tensor
from . import picture, texts


@dataclass(frozen=True)
class Step:
    """One node of the graph.

    Attributes:
        number: its place in the order of recording, from 0; leaves come first, as they are used.
        name: the operation; for a leaf the name given to `explain`, else "leaf".
        shape: of its output; of an operation with several outputs a tuple of shapes.
        dtype: of its output, as text.
        parents: numbers of the steps that its inputs come from; inputs that need no gradient are not among them.
        held_bytes: what it keeps for the way back and no earlier step keeps already.
        leaf: whether a gradient ends here.
        freed: whether a backward pass has been through and dropped what was kept.
        note: what the operation says of itself, as the chosen algorithm; "" for most.
        line: the user's source line, for what was recorded under `detect_anomaly`; else "".
    """

    number: int
    name: str
    shape: Any
    dtype: str
    parents: tuple[int, ...]
    held_bytes: int
    leaf: bool
    freed: bool
    note: str
    line: str


class Explanation:
    """A recorded graph; printed, it is a table.

    Attributes:
        steps: the nodes in the order of recording.
    """

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps

    @property
    def held_bytes(self) -> int:
        """What the whole graph keeps for the way back; memory that several operations keep is counted once."""
        return sum(step.held_bytes for step in self.steps)

    def text(self) -> str:
        """A table with a row for each step: number, operation, inputs, output, bytes held, note and source line."""
        return texts.table(self.steps)

    def dot(self) -> str:
        """The graph in Graphviz's language."""
        return texts.dot(self.steps)

    def mermaid(self) -> str:
        """The graph as a Mermaid flowchart, which Markdown pages show as a picture."""
        return texts.mermaid(self.steps)

    def svg(self) -> str:
        """The graph as an SVG picture: laid out by Graphviz where its program `dot` is installed, else by gpugrad."""
        return picture.graphviz(self.dot(), "svg") or picture.svg(self.steps)

    def save(self, path: str | Path) -> Path:
        """Write the graph to a file in the form that its ending names.

        Args:
            path: ending in .svg, .png, .dot, .mmd or .txt. A .png needs Graphviz's program `dot`, or matplotlib
                (`pip install "gpugrad[train]"`).

        Raises:
            ValueError: another ending.
            ImportError: a .png with neither at hand.
        """
        path = Path(path)
        forms = {".svg": self.svg, ".dot": self.dot, ".mmd": self.mermaid, ".txt": self.text}
        if path.suffix == ".png":
            path.write_bytes(picture.graphviz_png(self.dot()) or picture.png(self.steps))
        elif path.suffix in forms:
            path.write_text(forms[path.suffix](), encoding="utf-8")
        else:
            raise ValueError(f"[explain] path = {str(path)!r}; expected an ending of .svg, .png, .dot, .mmd or .txt")
        return path

    def _repr_svg_(self) -> str:
        return self.svg()

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()


def explain(t: Any, names: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> Explanation:
    """What was recorded on the way to a tensor, with what each operation keeps until the backward pass.

    Args:
        t: a tensor that requires a gradient, or a sequence of them.
        names: names of leaves, as `{"w": w}` or `model.named_parameters()`.

    Returns:
        An `Explanation`; print it, or use its `.text()`, `.dot()`, `.mermaid()`, `.svg()` and `.save(path)`.

    Raises:
        ValueError: a tensor has no graph.

    Example:
        >>> import gpugrad as gg
        >>> w = gg.tensor([1.0, 2.0], requires_grad=True)
        >>> print(gg.explain((w * 3.0).exp().sum(), {"w": w}))
         #  operation  inputs  output       holds
         0  w                  (2) float32      -
         1  multiply   0       (2) float32    4 B
         2  exp        1       (2) float32    8 B
         3  sum        2       () float32     0 B
        held for the way back: 12 B
    """
    tensors = [t] if isinstance(t, Tensor) else list(t)
    roots = []
    for root in tensors:
        if not isinstance(root, Tensor) or root._node is None:
            shown = f"shape {root.shape}" if isinstance(root, Tensor) else type(root).__name__
            raise ValueError(
                f"[explain] {shown}: nothing was recorded on the way to it; expected a tensor computed from one that "
                "requires a gradient, outside no_grad"
            )
        roots.append(root._node)
    pairs = names.items() if isinstance(names, Mapping) else names
    called = {id(tensor._node): name for name, tensor in pairs if tensor._node is not None}
    return Explanation(_read(roots, called))


def _read(roots: list[Node], called: dict[int, str]) -> tuple[Step, ...]:
    operations = sorted((n for n in _reached(roots) if not n.leaf), key=lambda n: n.seq)
    used = [n for n in roots if n.leaf] + [p for n in operations for p in _parents(n) if p.leaf]
    nodes = [*dict.fromkeys(used), *operations]
    number = {n: i for i, n in enumerate(nodes)}
    counted: set[int] = set()
    steps = []
    for n in nodes:
        parents = _parents(n)
        steps.append(
            Step(
                number[n],
                called.get(id(n), f"output {n.saved}" if isinstance(n, OutputNode) else n.name),
                n.shape,
                _dtype(n.dtype),
                tuple(number[p] for p in parents),
                _held(n, counted),
                n.leaf,
                n.saved is FREED,
                _note(n),
                recorded_at(n) or "",
            )
        )
    return tuple(steps)


def _parents(node: Node) -> list[Node]:
    if node.single:
        return [node.parents]
    return [p for p in node.parents or () if p is not None]


def _reached(roots: list[Node]) -> set[Node]:
    found: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(_parents(node))
    return found


def _dtype(dtype: Any) -> str:
    return ", ".join(map(str, dtype)) if isinstance(dtype, tuple) else str(dtype)


def _held(node: Node, counted: set[int]) -> int:
    total = 0
    for value in node.saved if isinstance(node.saved, tuple) else (node.saved,):
        if not is_array(value):
            continue
        array = memory(value)
        storage = backend_of(array).storage(array)
        if id(storage) not in counted:
            counted.add(id(storage))
            total += int(array.nbytes)
    return total


def _note(node: Node) -> str:
    if not isinstance(node, PrimitiveNode) or node.prim.describe is None or node.saved is FREED:
        return ""
    return node.prim.describe(node.saved, **node.static)
