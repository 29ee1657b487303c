"""`gg.tape_memory`: the memory of a step from shapes alone, before it runs.

The function itself runs, forward and backward, on arrays without data (`ghost`), so that every temporary of every
operation is taken and given back where the real run does so. What is there anyway (parameters, the batch) is left out;
gradients are counted.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .. import mutation
from ..backend import backend_for, is_array
from ..backend.pool import THRESHOLD, size_class
from ..gradmode import recording
from ..nn.module import Module
from ..nodes import Leaf, Node
from ..tensor import Tensor, new_tensor
from .errors import CostError
from .ghost import Ghost, Record
from .ghost_backend import GhostBackend
from .instruments import Operation, observed_by
from .layers import BETWEEN, Layer, LayerNames, described
from .measure import closed_over, leaves_of
from .recorder import first_backend
from .table import columns, scaled
from .traffic import Calls, work_backward, work_forward

GRADIENTS = "(gradients)"


@dataclass(frozen=True)
class TapeMemory:
    """The memory that a step will take, above what is there before it.

    What arrays take, and what NumPy takes for a moment within its functions; the objects of Python, on the CPU about
    5 kB for a step and 0.6 kB for each of its operations, are not counted.

    Attributes:
        peak_bytes: the most that is in use at one time.
        forward_bytes: in use when the backward pass begins: what the tape holds.
        gradient_bytes: in use when the step is over: the parameters' gradients.
        reserved_bytes: the most that the process takes when large buffers are recycled (as `gg.cpu` does).
        at_peak: what is in use at the peak, by operation, largest first: (layer, "forward" or "backward", bytes).
        timeline: bytes in use after each time that memory came or went.
        forward_flops: arithmetic of the forward, counted on the way; `backward_flops` of the rules, and of what is
            computed again.
        nbytes: bytes that all of it reads and writes.
    """

    peak_bytes: int
    forward_bytes: int
    gradient_bytes: int
    reserved_bytes: int
    at_peak: tuple[tuple[str, str, int], ...]
    timeline: tuple[int, ...]
    forward_flops: int
    backward_flops: int
    nbytes: int

    def table(self) -> str:
        """What makes up the peak, as text."""
        rows = [["at the peak", "from", "bytes", "share"]]
        for layer, direction, nbytes in self.at_peak:
            rows.append([layer, direction, scaled(nbytes, "B"), f"{nbytes / max(self.peak_bytes, 1):.1%}"])
        return (
            f"{columns(rows)}\n\npeak {scaled(self.peak_bytes, 'B')}; when the backward pass begins "
            f"{scaled(self.forward_bytes, 'B')}; gradients {scaled(self.gradient_bytes, 'B')}; with recycled buffers "
            f"the process takes {scaled(self.reserved_bytes, 'B')}"
        )

    def __str__(self) -> str:
        return self.table()


def tape_memory(fn: Callable[..., Any], *args: Any, backward: bool = True) -> TapeMemory:
    """The peak of a step's memory, predicted from shapes alone; nothing of its arithmetic is computed.

    Args:
        fn: called as `fn(*args)`; returns a scalar tensor, whose backward pass is then followed too. Its values must
            not decide what it does. Models may be arguments, or what the function finds around it.
        *args: tensors and arrays, of which shape, dtype and memory order count (integers keep their values: labels
            and indices); anything else is passed on.
        backward: False to follow the forward alone.

    Returns:
        A `TapeMemory`: above what is there before the step, parameters and arguments, and by operation.

    Raises:
        CostError: the function decides by values, updates parameters, or returns no scalar.

    Example:
        >>> import gpugrad as gg
        >>> model = gg.nn.Sequential(gg.nn.Linear(1000, 500), gg.nn.Tanh(), gg.nn.Linear(500, 1))
        >>> memory = gg.tape_memory(lambda x: model(x).mean(), gg.zeros(64, 1000))
        >>> memory.gradient_bytes == 4 * (1000 * 500 + 500 + 500 + 1)
        True
    """
    root = first_backend([*args, fn, *closed_over(fn)]) or backend_for(None)
    backend = GhostBackend(root)
    ledger = _Ledger(backend)
    around = closed_over(fn)
    tensors = [v for v in around if isinstance(v, Tensor)]
    with _without_data(_modules([fn, *args, *around]), tensors, backend), ledger.keeping_gradients():
        given = [_hollowed(a, backend) for a in args]
        with observed_by(ledger):
            out = fn(*given)
            if backward and not ledger.walked:
                _require_loss(out)
                out.backward()
            del out, given
        ledger.end = len(backend.events)
    return ledger.result()


def _require_loss(out: Any) -> None:
    if not isinstance(out, Tensor) or out.data.size != 1 or out._node is None:
        what = f"a tensor of shape {out.shape}" if isinstance(out, Tensor) else type(out).__name__
        raise CostError(
            f"[tape_memory] the function returns {what}; expected a scalar tensor (the loss) that needs a gradient, or "
            "pass backward=False"
        )


def _hollowed(value: Any, backend: GhostBackend) -> Any:
    """The value with arrays without data in the place of its arrays."""
    if isinstance(value, Ghost) or (isinstance(value, Tensor) and isinstance(value.data, Ghost)):
        return value
    if isinstance(value, Tensor):
        return new_tensor(backend.there(value.data), value._node)
    if is_array(value):
        return backend.there(value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_hollowed(v, backend) for v in value)
    if isinstance(value, dict):
        return {k: _hollowed(v, backend) for k, v in value.items()}
    return value


def _modules(values: Sequence[Any]) -> list[Module]:
    found = []
    for value in values:
        if isinstance(value, Module):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _modules(value)
        elif isinstance(value, dict):
            found += _modules(list(value.values()))
    return found


@contextlib.contextmanager
def _without_data(modules: Sequence[Module], tensors: Sequence[Tensor], backend: GhostBackend) -> Iterator[None]:
    """Parameters, buffers and tensors without data for a while; running statistics and the like stay as they are."""
    named = (value for module in modules for _, value in module._named_tensors())
    held: list[tuple[Tensor, Any]] = []
    seen: set[int] = set()
    for value in (*named, *tensors):
        if id(value) not in seen:
            seen.add(id(value))
            held.append((value, value.data))
    try:
        for value, data in held:
            value.data = backend.there(data)
        yield
    finally:
        for value, data in held:
            value.data = data


class _Ledger:
    """The observer of a prediction: puts arrays without data in, and says who takes memory."""

    def __init__(self, backend: GhostBackend) -> None:
        self.backend = backend
        self.names = LayerNames()
        self.walked = False
        self.begins = 0  # event at which the backward pass began
        self.end = 0
        self.flops = [0, 0]
        self.nbytes = 0
        self._depth = 0
        self._walks = 0
        self._seqs: list[int] = []
        self._seen: list[tuple[int, Operation, Calls | None]] = []
        self._last: Node | None = None
        self._gradients: dict[Leaf, Any] = {}
        backend.tag = (self.names.number(Layer(BETWEEN, "operation")), "forward")

    @contextlib.contextmanager
    def keeping_gradients(self) -> Iterator[None]:
        """Leaves have the gradients afterwards that they had before."""
        try:
            yield
        finally:
            for leaf, gradient in self._gradients.items():
                leaf.grad = gradient

    def module(self, module: Module, call: Callable[[], Any]) -> Any:
        """A module's forward."""
        self.names.enter(module)
        try:
            return call()
        finally:
            self.names.leave()

    def operation(self, op: Operation, args: tuple[Any, ...], call: Callable[..., Any], static: dict[str, Any]) -> Any:
        """Run an operation on arrays without data; what it takes is its layer's."""
        given = tuple([_hollowed(a, self.backend) for a in args])
        again = bool(self._walks)
        if self._depth or (again and not recording()):
            return call(*given)
        before = self.backend.tag
        layer = self.names.of(op.name)
        if not again:
            self.backend.tag = (layer, "forward")
        self._depth += 1
        seq = mutation.tick()  # the node is recorded after this moment and before the next operation's
        try:
            out = call(*given)
        finally:
            self._depth -= 1
            self.backend.tag = before
        calls = Calls.of(op, given, out, static)
        self._seqs.append(seq)
        self._seen.append((layer, op, calls))
        if calls is not None:
            flops, nbytes = work_forward(op, calls)
            self.flops[again] += flops
            self.nbytes += nbytes
        return out

    def walk(self, roots: Sequence[tuple[Node, Any]], run: Callable[[], None]) -> None:
        """A backward pass: memory that it takes belongs to the node that is passed next."""
        if not self._walks:
            self.walked = True
            self.begins = len(self.backend.events)
            self.backend.new.clear()
            for root, _ in roots:
                for leaf in leaves_of(root):
                    if leaf not in self._gradients:
                        self._gradients[leaf] = leaf.grad
                        leaf.grad = None
        self._walks += 1
        depth, self._depth = self._depth, 0
        try:
            run()
        finally:
            self._walks -= 1
            self._depth = depth

    def passed(self, node: Node) -> None:
        """What was taken since the last node was taken for this one."""
        place = bisect_right(self._seqs, node.seq) - 1
        layer, op, calls = self._seen[place] if place >= 0 else (0, None, None)
        for record in self.backend.new:
            record.tag = (layer, "backward")
        self.backend.new.clear()
        if node is not self._last and op is not None and calls is not None:
            flops, nbytes = work_backward(op, calls, node)
            self.flops[1] += flops
            self.nbytes += nbytes
        self._last = node

    def result(self) -> TapeMemory:
        """Play the ledger through."""
        held, peak, top = 0, 0, 0
        timeline = []
        for number, (change, _) in enumerate(self.backend.events[: self.end]):
            held += change
            timeline.append(held)
            if held > peak:
                peak, top = held, number
        live: dict[Record, int] = {}
        for change, record in self.backend.events[: top + 1]:
            if change > 0:
                live[record] = change
            else:
                live.pop(record, None)
        shares: dict[tuple[str, str], int] = {}
        for record, nbytes in live.items():
            key = (described(self.names.layers[record.tag[0]]), record.tag[1])
            shares[key] = shares.get(key, 0) + nbytes
        ordered = sorted(shares.items(), key=lambda entry: -entry[1])
        return TapeMemory(
            peak,
            timeline[self.begins - 1] if self.walked and self.begins else peak,
            held,
            reserved(self.backend.events[: self.end]),
            tuple((layer, direction, nbytes) for (layer, direction), nbytes in ordered),
            tuple(timeline),
            self.flops[0],
            self.flops[1],
            self.nbytes,
        )


def reserved(events: Sequence[tuple[int, Record]], threshold: int = THRESHOLD) -> int:
    """The most that a process holds when buffers from `threshold` on are recycled by size and not given back."""
    idle: dict[int, int] = {}
    held = small = most = scratch = 0
    for change, record in events:
        nbytes = abs(change)
        if nbytes < threshold:
            small += change
        elif record.scratch:
            held += max(0, nbytes - scratch)
            scratch = max(nbytes, scratch)
        else:
            size = size_class(nbytes)
            if change < 0:
                idle[size] = idle.get(size, 0) + 1
            elif idle.get(size):
                idle[size] -= 1
            else:
                held += size
        most = max(most, held + small)
    return most
