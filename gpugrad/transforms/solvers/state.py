"""What solvers share: states as lists of tensors, and a function run once on a state to see its derivatives.

The derivative goes to all tensors that the function reads, also past its arguments (a network's parameters): they are
found in the record of one run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ... import mutation
from ...backend import memory
from ...batching import device_backend
from ...gradmode import enable_grad, recording
from ...lifting import here
from ...nodes import Alias, GradientError, Node
from ...ops.cast import astype
from ...tape import walk
from ...tensor import Tensor, new_leaf, new_tensor
from ..push import push
from ..region import frontier, recorded_since
from ..tree import flatten

State = list[Tensor]
Function = Callable[[State], State]


class SolverError(ArithmeticError):
    """A solver did not arrive: no convergence, a step that is too small, or values that are no numbers."""


def state_of(tree: Any, who: str) -> tuple[State, Callable[[Sequence[Any]], Any]]:
    """The arrays of a structure as tensors of the map that runs, and what builds the structure again.

    Raises:
        TypeError: something in it is neither floating point nor complex.
    """
    leaves, build = flatten(tree)
    state = [here(leaf if isinstance(leaf, Tensor) else Tensor(leaf)) for leaf in leaves]
    for leaf, t in zip(leaves, state, strict=True):
        if t.dtype.kind not in "fcV":
            raise TypeError(
                f"[{who}] the state holds a {type(leaf).__name__} of dtype {t.dtype}; expected floating point or "
                "complex: write 3.0 for 3, or convert with .astype(float)"
            )
    return state, lambda values: build(list(values))


def like_state(result: Any, state: State, who: str) -> State:
    """What the user's function gave as tensors of the state's dtypes.

    Raises:
        ValueError: its structure or a shape is another one.
        TypeError: it is complex where the state is real.
    """
    leaves, _ = flatten(result)
    if len(leaves) != len(state):
        raise ValueError(
            f"[{who}] the function returned {len(leaves)} arrays for a state of {len(state)}; expected its structure"
        )
    found = []
    for leaf, x in zip(leaves, state, strict=True):
        t = leaf if isinstance(leaf, Tensor) else Tensor(leaf)
        if tuple(t.shape) != tuple(x.shape):
            raise ValueError(
                f"[{who}] the function returned shape {tuple(t.shape)} for a state of shape {tuple(x.shape)}; expected "
                "the same"
            )
        if t.dtype.kind == "c" and x.dtype.kind != "c":
            raise TypeError(f"[{who}] the function returned {t.dtype} for a state of {x.dtype}; start with a complex")
        found.append(t if t.dtype == x.dtype else astype(t, x.dtype))
    return found


def precision(state: State) -> int:
    """The bytes of a real number of the least precise array."""
    return min((t.dtype.itemsize // (2 if t.dtype.kind == "c" else 1) for t in state), default=8)


def largest(values: Sequence[Any]) -> float:
    """The largest number in arrays that may have examples, as Python's; waits for the device."""
    return max((float(memory(v.data).max()) for v in values if memory(v.data).size), default=0.0)


def detached(state: State) -> State:
    """The same values, leading nowhere."""
    return [new_tensor(t.data, None) for t in state]


class Run:
    """A function of a state, run once and recorded: tangents are pushed through it, cotangents pulled back.

    What it gives is recorded in its turn where the caller records.
    """

    def __init__(self, function: Function, state: State) -> None:
        self.before = mutation.tick()
        graph = recording()
        stand_ins = [
            new_tensor(t.data, Alias.of(t._node) if graph and t._node is not None else new_leaf(t.data)) for t in state
        ]
        self.starts: list[Node] = [t._node for t in stand_ins if t._node is not None]
        with enable_grad():
            self.outputs = function(stand_ins)

    def values(self) -> State:
        """What the function gave, leading back to the state where the caller records."""
        return self.outputs if recording() else detached(self.outputs)

    def reads(self) -> list[Node]:
        """The nodes that the outputs lead to by other ways than the state."""
        return frontier([o._node for o in self.outputs if o._node is not None], set(self.starts), self.before)

    def pull(self, cotangents: State, ends: Collection[Node]) -> list[Tensor | None]:
        """The cotangents at `ends` (None: zero) from those of the outputs; the walk also ends at the state."""
        graph = recording()
        roots = [
            (o._node, g if graph else g.data)
            for o, g in zip(self.outputs, cotangents, strict=True)
            if o._node is not None
        ]
        found = walk(roots, targets={*ends, *self.starts}, retain=True, graph=graph, beyond=False) if roots else {}
        return [_tensor(found.get(end)) for end in ends]

    def push(self, tangents: Mapping[Node, Tensor]) -> list[Tensor | None]:
        """The outputs' tangents (None: zero) from those at some nodes, the state among them."""
        graph = recording()
        sources = {node: t if graph else t.data for node, t in tangents.items()}
        return [_tensor(t) for t in push(sources, [o._node for o in self.outputs], graph)]

    def require_unchanged(self, since: int, who: str) -> None:
        """What the function reads now it must have read when the solution was found.

        Raises:
            GradientError: something was changed in place since.
        """
        if not mutation.changes:
            return
        for node in recorded_since([o._node for o in self.outputs if o._node is not None], self.before):
            what = mutation.stale(node.saved, since, self.before)
            if what is not None:
                raise GradientError(
                    f"[{who}] a tensor that {node.name} reads was changed in place by {what} after the solution was "
                    "found; change it after backward"
                )


def _tensor(value: Any) -> Tensor | None:
    return value if value is None or isinstance(value, Tensor) else new_tensor(value, None)


def zeros(node: Node, like: Tensor) -> Tensor:
    """A cotangent of nothing for a node."""
    return new_tensor(device_backend(like.data).xp.zeros(node.shape, np.dtype(node.dtype)), None)


def finish(values: Sequence[Tensor], given: Sequence[Any]) -> list[Any]:
    """Results as the caller gets them: bare arrays where nothing was a tensor and nothing is recorded."""
    bare = not any(isinstance(leaf, Tensor) for leaf in given)
    return [v.data if bare and v._node is None else v for v in values]
