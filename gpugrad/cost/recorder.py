"""`Recorder`: an observer that writes down one run, its operations, what took how long, and what the tape held.

While the run goes on it only takes marks of time and notes; what they add up to is worked out afterwards (`Run`), when
the device has come past all marks. What is made of several runs is in `report`.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import mutation
from ..backend import Backend, backend_of, is_array
from ..gradmode import recording
from ..nn.module import Module
from ..nodes import Node
from ..tensor import Tensor
from .instruments import Operation
from .layers import BEFORE, BETWEEN, Layer, LayerNames, storage_bytes
from .traffic import Calls, arrays_of, work_backward, work_forward

FORWARD, BACKWARD = 0, 1
OWN = -1  # in the place of a layer: what the recorder itself took, which is left out of all sums


@dataclass(slots=True)
class Seen:
    """One call of an operation."""

    seq: int
    op: Operation
    layer: int
    calls: Calls
    event: int  # number of the event that ended it
    kept: int = 0  # bytes that the tape held for it when the walk began


@dataclass(slots=True)
class Sums:
    """What a layer added up to in one run; pairs are (forward, backward)."""

    calls: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0])
    host: list[float] = field(default_factory=lambda: [0.0, 0.0])  # seconds between operations
    flops: list[int] = field(default_factory=lambda: [0, 0])
    nbytes: list[int] = field(default_factory=lambda: [0, 0])
    launches: list[int] = field(default_factory=lambda: [0, 0])
    kept: int = 0


@dataclass
class Run:
    """One run, added up: layers with their sums, the seconds of the whole, and the tape's memory over time.

    Attributes:
        seconds: of the run without what the recorder took; `raw_seconds` with it.
        host_seconds: what the host took for all of it, which on a GPU may be less than the device.
        timeline: (seconds since the start, bytes that the tape holds, layer that they came or went with).
    """

    layers: list[Layer]
    sums: list[Sums]
    seconds: float
    timeline: list[tuple[float, int, int]]
    raw_seconds: float
    host_seconds: float


class Recorder:
    """Watches one run on the device of `backend`; `finish` says what it came to."""

    def __init__(self, backend: Backend) -> None:
        self.names = LayerNames()
        self._backend = backend
        self._between = self.names.number(Layer(BETWEEN, "operation"))
        self._asynchronous = backend.name != "cpu"
        self._events: list[tuple[float, Any, int, int, bool]] = []
        self._seen: list[Seen] = []
        self._seqs: list[int] = []
        self._pending: list[int] = []  # events of a walk whose node is not known yet
        self._depth = 0  # operations inside operations
        self._leaf = True
        self._launches = 0  # of the walk, since the last node was passed
        self._walks = 0
        self.walked = False
        self._last: Any = None
        self._sums: dict[int, Sums] = {}
        self._external: set[int] = set()  # memory that no operation of this run made: parameters, the batch
        self._produced: set[int] = set()
        self._holders: dict[int, list[int]] = {}  # sequence number of a node -> memory that it keeps
        self._held: dict[int, tuple[int, int, int]] = {}  # memory -> nodes that keep it, bytes, layer
        self._changes: list[tuple[int, int, int]] = []  # event, bytes, layer
        self._event(self._between, FORWARD, False)

    @property
    def records(self) -> Sequence[Seen]:
        """The operations seen so far, those of a backward pass left out."""
        return self._seen

    def record_of(self, seq: int) -> Seen | None:
        """The operation that recorded the node with this sequence number; None for one before anybody watched."""
        place = bisect_right(self._seqs, seq) - 1
        return self._seen[place] if place >= 0 else None

    # What the instruments tell ----------------------------------------------------------------------------------

    def module(self, module: Module, call: Callable[[], Any]) -> Any:
        """A module's forward: what runs in it is the module's."""
        self.names.enter(module)
        try:
            return call()
        finally:
            self.names.leave()

    def operation(self, op: Operation, args: tuple[Any, ...], call: Callable[..., Any], static: dict[str, Any]) -> Any:
        """Take the time of an operation that is not part of another one."""
        outermost = self._depth == 0
        if outermost:
            settled = not self._walks or recording()
            layer = self.names.of(op.name) if settled else self._between
            self._event(layer, BACKWARD if self._walks else FORWARD, False, settled)
        self._depth += 1
        self._leaf = True
        seq = mutation.tick()  # the node is recorded after this moment and before the next operation's
        try:
            out = call()
        finally:
            self._depth -= 1
        self._launches += self._leaf
        self._leaf = False
        if outermost:
            self._event(layer, BACKWARD if self._walks else FORWARD, True, settled)
            if settled:
                self._note(seq, layer, op, args, out, static)
                self._event(OWN, FORWARD, True, settled=True)
        return out

    def walk(self, roots: Sequence[tuple[Node, Any]], run: Callable[[], None]) -> None:
        """A walk begins: until it ends, time and work belong to the nodes that it passes."""
        if not self._walks:
            self._event(self._between, FORWARD, False)
            self._pending.clear()
            self._launches = 0
            self._take_stock([node for node, _ in roots])
            self._event(OWN, FORWARD, True, settled=True)
        depth, self._depth = self._depth, 0
        self._walks += 1
        self.walked = True
        try:
            run()
        finally:
            self._walks -= 1
            self._depth = depth
            self._last = None
        if not self._walks:
            self._event(self._between, BACKWARD, False)

    def passed(self, node: Node) -> None:
        """The time and the launches since the last node are this one's."""
        seen = self.record_of(node.seq)
        layer = self.names.number(Layer(BEFORE, "graph")) if seen is None else seen.layer
        # A rule without operations of its own is one kernel; else the rest is the host's bookkeeping.
        inside = any(self._events[number][4] for number in self._pending)
        self._event(layer, BACKWARD, not inside and node is not self._last, settled=True)
        for number in self._pending:
            host, mark, _, phase, inside = self._events[number]
            self._events[number] = (host, mark, layer, phase, inside)
        self._pending.clear()
        if node is not self._last:
            self._last = node
            self._count_backward(node, seen, layer)
        self._event(OWN, BACKWARD, True, settled=True)

    def _count_backward(self, node: Node, seen: Seen | None, layer: int) -> None:
        if seen is not None:
            sums = self._of_layer(layer)
            flops, nbytes = work_backward(seen.op, seen.calls, node)
            sums.flops[BACKWARD] += flops
            sums.nbytes[BACKWARD] += nbytes
            sums.launches[BACKWARD] += max(self._launches, nbytes > 0)
        self._launches = 0
        self._let_go(node.seq, layer)

    # Notes ------------------------------------------------------------------------------------------------------

    def _event(self, layer: int, phase: int, inside: bool, settled: bool = False) -> None:
        """All since the last event belongs to `layer`, or in a walk (not `settled`) to the node that comes next."""
        if self._walks and not settled:
            self._pending.append(len(self._events))
        mark = self._backend.mark() if self._asynchronous else None
        self._events.append((time.perf_counter(), mark, layer, phase, inside))

    def _note(
        self, seq: int, layer: int, op: Operation, args: tuple[Any, ...], out: Any, static: dict[str, Any]
    ) -> None:
        event = len(self._events) - 1
        calls = Calls.of(op, args, out, static)
        phase = BACKWARD if self._walks else FORWARD
        if calls is None:  # a formula inside another formula: nothing has run
            return
        sums = self._of_layer(layer)
        sums.calls += 1
        flops, nbytes = work_forward(op, calls)
        sums.flops[phase] += flops
        sums.nbytes[phase] += nbytes
        if phase == FORWARD:
            sums.launches[FORWARD] += self._launches
            self._launches = 0
        self._seqs.append(seq)
        self._seen.append(Seen(seq, op, layer, calls, event))
        given = {id(backend_of(a).storage(a)) for a in arrays_of(args)}
        self._external |= given - self._produced
        made = {id(backend_of(a).storage(a)) for a in arrays_of(out)} - given
        self._produced |= made
        self._external -= made

    def _of_layer(self, layer: int) -> Sums:
        found = self._sums.get(layer)
        if found is None:
            found = self._sums[layer] = Sums()
        return found

    def _take_stock(self, roots: list[Node]) -> None:
        """What the nodes behind `roots` keep, each piece of memory once, and not what the caller holds anyway."""
        self._held = {}
        stack, met = list(roots), set(roots)
        while stack:
            node = stack.pop()
            parents = (node.parents,) if node.single else (node.parents or ())
            new = [p for p in parents if p is not None and p not in met]
            met.update(new)
            stack.extend(new)
        for node in sorted(met, key=lambda n: n.seq):
            seen = self.record_of(node.seq)
            if seen is None or node.leaf:
                continue
            for value in arrays_of(node.saved):
                storage = backend_of(value).storage(value)
                if id(storage) in self._external:
                    continue
                keepers, nbytes, layer = self._held.get(id(storage), (0, storage_bytes(storage, value), seen.layer))
                if not keepers:
                    seen.kept += nbytes
                    self._of_layer(layer).kept += nbytes
                    self._changes.append((seen.event, nbytes, layer))
                self._held[id(storage)] = (keepers + 1, nbytes, layer)
                self._holders.setdefault(node.seq, []).append(id(storage))

    def _let_go(self, seq: int, layer: int) -> None:
        for storage in self._holders.pop(seq, ()):
            keepers, nbytes, owner = self._held[storage]
            self._held[storage] = (keepers - 1, nbytes, owner)
            if keepers == 1:
                self._changes.append((len(self._events) - 1, -nbytes, owner))

    # Adding up --------------------------------------------------------------------------------------------------

    def finish(self) -> Run:
        """Wait for the device and add up."""
        self._event(self._between, FORWARD, False)
        self._backend.synchronize()
        times, raw = [0.0], 0.0
        for before, (host, mark, layer, phase, inside) in zip(self._events, self._events[1:], strict=False):
            took = self._backend.elapsed(before[1], mark) if self._asynchronous else host - before[0]
            raw += took
            times.append(times[-1] + (took if layer != OWN else 0.0))
            if layer == OWN:
                continue
            sums = self._of_layer(layer)
            sums.seconds[phase] += took
            if not inside:
                sums.host[phase] += host - before[0]
        held, timeline = 0, [(0.0, 0, self._between)]
        for event, change, layer in sorted(self._changes, key=lambda c: c[0]):
            held += change
            timeline.append((times[event], held, layer))
        sums_by_layer = [self._of_layer(i) for i in range(len(self.names.layers))]
        host = self._events[-1][0] - self._events[0][0]
        return Run(self.names.layers, sums_by_layer, times[-1], timeline, raw, host)


def first_backend(values: Sequence[Any]) -> Backend | None:
    """The backend of the first array, tensor or module among `values`, lists and dicts looked into."""
    for value in values:
        data = value.data if isinstance(value, Tensor) else value
        if is_array(data):
            return backend_of(data)
        inside: list[Any] = []
        if isinstance(value, Module):
            inside = list(value.parameters())
        elif isinstance(value, (list, tuple)):
            inside = list(value)
        elif isinstance(value, dict):
            inside = list(value.values())
        found = first_backend(inside)
        if found is not None:
            return found
    return None
