"""What the stand-in counts and remembers: synchronisations, uploads, launches, the current device and stream.

One object for each installation; the rules of stream capture are enforced here.
"""

import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SHARED_MEMORY = 227 << 10  # an H100's


@dataclass
class State:
    """Everything about one installed stand-in that a test may want to look at or change.

    Attributes:
        syncs: what made the host wait for the device, in order.
        uploads: host data that CuPy would copy to the device without being asked (lists and NumPy arrays as indices).
        launches: entry points of raw kernels, in order of launch.
        told: entry points and devices that were told of more shared memory than 48 KiB, in order.
        calls: how often each CuPy function or ufunc was called.
        captured: the streams (device and number) that are being captured, by how much they were asked for since.
        reach: by captured stream, how much of each one its next work comes after.
        device: the current device; `devices` how many there are.
        taken: what pools took of each device's memory, of `capacity` bytes that each has.
        hooks: what is told of the pools' allocations, by name.
        shared_memory: bytes of shared memory that a block may have on a device, with the kernel told so.
        prebuilt: modules that were built together beforehand, by their source.
        recording: where the sources of launched kernels are noted instead of run; None to run them.
        graph: devices, and what each does in a replay of the graph that is being captured.
        replayed: the arrays of the graph that is at work.
        kept: NumPy arrays of that graph, with their devices.
        places: the pieces of device memory that it writes to; lasting: blocks of the common pool that it uses.
        allocators: the allocators in use, the innermost last; none means the common pool.
        unsupported: epilogues of cuBLASLt that its heuristics have nothing for.
        blocks: start, size and device of the memory that is alive, and its array.
        spoiled: whether what is being captured cannot become a graph any more.
        null_copies: copies that null streams were asked for, by device and number.
        pinned: start and size of page-locked memory of the host.
        order: waits of streams for events and copies from pinned memory, in order: ("wait", stream, the event's stream)
            and ("copy", stream, address).
        busy: numbers of streams whose work is not over, as a test wants it.
        asked: how much each device was asked for so far.
        seen: by two streams (device and number each), what the device of the second had been asked for when it recorded
            the last event that the first waited for.
        borrowed: memory that a copy to another device may still read: (device of the memory, stream that copies, what
            that stream's device had been asked for). A stream of the first device that waits for the copy clears it.
        backwards: run the threads of each block in the opposite order: a result that changes lacks a barrier.
    """

    syncs: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    launches: list[str] = field(default_factory=list)
    told: list[tuple[str, int]] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    captured: dict[tuple[int, int], int] = field(default_factory=dict)
    reach: dict[tuple[int, int], dict[tuple[int, int], int]] = field(default_factory=dict)
    device: int = 0
    devices: int = 1
    used_bytes: Counter[int] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)
    capacity: int = 8 << 30
    shared_memory: int = SHARED_MEMORY
    hooks: dict[str, Any] = field(default_factory=dict)
    streams: list[Any] = field(default_factory=list)
    prebuilt: dict[str, Any] = field(default_factory=dict)
    backwards: bool = False
    recording: list[str] | None = None
    unsupported: set[str] = field(default_factory=set)
    blocks: dict[int, tuple[int, int, int, Any]] = field(default_factory=dict)

    spoiled: bool = False
    null_copies: dict[tuple[int, int], Any] = field(default_factory=dict)
    pinned: dict[int, int] = field(default_factory=dict)
    order: list[tuple[Any, ...]] = field(default_factory=list)
    busy: set[int] = field(default_factory=set)
    asked: Counter[int] = field(default_factory=Counter)
    seen: dict[tuple[Any, Any], int] = field(default_factory=dict)
    borrowed: list[tuple[int, tuple[int, int], int]] = field(default_factory=list)
    graph: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    replayed: list[tuple[Any, int]] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    places: list[Any] = field(default_factory=list)
    lasting: list[Any] = field(default_factory=list)
    allocators: list[Callable[[int], Any]] = field(default_factory=list)

    @property
    def computing(self) -> list[str]:
        """The launches that are no mere copies."""
        return [kernel for kernel in self.launches if not kernel.startswith("gg_copy_")]

    @property
    def capturing(self) -> bool:
        """Whether a stream is being captured."""
        return bool(self.captured)

    def stream_number(self) -> int:
        """The number of the stream that work on the current device is given to."""
        return next((stream.ptr for device, stream in reversed(self.streams) if device == self.device), 0)

    def work(self, compute: Callable[[], None]) -> None:
        """What a device would do now; while capturing, only in each replay of the graph."""
        self.asked[self.device] += 1
        if self.capturing:
            self.node(compute)
        else:
            stream = next((s for device, s in reversed(self.streams) if device == self.device), None)
            copies = self.null_copies.get((self.device, 0), ()) if stream is None else stream._copies
            if copies:  # which come before it in the order of the stream
                copies.happen(len(copies))
            compute()

    def node(self, compute: Callable[[], None]) -> None:
        """A part of the graph that is being captured. CUDA runs work on another stream now, and never again."""
        stream = self.device, self.stream_number()
        self.sound()
        if stream not in self.captured:
            raise RuntimeError(f"the stand-in: work on {stream}, which is no part of the capture; a replay lacks it")
        self.captured[stream] += 1
        self.graph.append((self.device, compute))

    def sound(self) -> None:
        """An error where what is being captured was spoiled by an earlier one."""
        if self.spoiled:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")

    def join(self, stream: tuple[int, int], view: dict[tuple[int, int], int]) -> None:
        """A stream waits for an event of the capture: it is part of it from now on."""
        if not stream[1]:
            raise RuntimeError("cudaErrorStreamCaptureImplicit: the default stream waits for a captured event")
        self.captured.setdefault(stream, 1)
        mine = self.reach.setdefault(stream, {})
        for other, count in view.items():
            mine[other] = max(count, mine.get(other, 0))

    def waited(self, stream: tuple[int, int], other: tuple[int, int], asked: int) -> None:
        """Note that a stream waits for what the device of another one had been `asked` for."""
        self.seen[stream, other] = max(asked, self.seen.get((stream, other), 0))
        self.borrowed = [
            (device, copier, since)
            for device, copier, since in self.borrowed
            if not (device == stream[0] and copier == other and asked >= since)
        ]

    def lend(self, device: int, ours: tuple[int, int], theirs: tuple[int, int]) -> bool:
        """Note a copy from a device on the stream `ours`; whether it waits for all that `theirs` was asked for."""
        self.asked[self.device] += 1
        self.borrowed.append((device, ours, self.asked[self.device]))
        return self.seen.get((ours, theirs), 0) >= self.asked[device]

    def again(self, array: Any, compute: Callable[[], Any]) -> None:
        """While capturing: `compute()` gives the contents of the NumPy array `array` in each replay."""
        if self.capturing:
            self.node(lambda: array.__setitem__(..., compute()))

    def pin(self, size: int) -> Any:
        """Page-locked memory; numbers in it are told by their addresses for as long as it is alive."""
        memory = np.full(size, 0xEE, np.uint8)
        self.pinned[memory.ctypes.data] = size
        weakref.finalize(memory, self.pinned.pop, memory.ctypes.data, None)
        return memory

    def is_pinned(self, address: int) -> bool:
        """Whether an address is in page-locked memory."""
        return any(start <= address < start + size for start, size in self.pinned.items())

    def sync(self, what: str) -> None:
        """Note that the host waits; an error while a stream is captured, as on a device."""
        if self.capturing:
            self.spoiled = True
            raise RuntimeError(
                f"cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing ({what})"
            )
        self.syncs.append(what)

    def library(self, what: str) -> None:
        """Note a call of cuBLAS, which CuPy refuses while a stream is captured."""
        if self.capturing:
            raise NotImplementedError(f"calling cuBLAS API during stream capture is currently unsupported ({what})")

    def clear(self) -> None:
        """Forget what was counted."""
        self.syncs.clear()
        self.uploads.clear()
        self.launches.clear()
        self.told.clear()
        self.calls.clear()
        self.order.clear()
        self.borrowed.clear()


STATE = State()
