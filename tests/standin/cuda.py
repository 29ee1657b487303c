"""`cupy.cuda` of the stand-in: devices, streams, events, the memory pool, and raw kernels run on the CPU.

A raw kernel is its real source, built by `tests.cuda.hostexec`; its arguments obey CuPy's rules first.
"""

import functools
import itertools
from typing import Any

import numpy as np

from tests.cuda.hostexec import HostModule

from .memory import TOTAL_BYTES, CUDARuntimeError
from .ndarray import SCALARS, check_device, ndarray
from .state import STATE

_GRID, _BLOCK, _THREADS = (2**31 - 1, 65535, 65535), (1024, 1024, 64), 1024


class Device:
    """One device; a context manager that makes it the current one."""

    def __init__(self, device: Any = None) -> None:
        self.id = STATE.device if device is None else int(device)
        if not 0 <= self.id < STATE.devices:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._before: list[int] = []

    def use(self) -> None:
        STATE.device = self.id

    def synchronize(self) -> None:
        STATE.sync("Device.synchronize")

    def __enter__(self) -> "Device":
        self._before.append(STATE.device)
        STATE.device = self.id
        return self

    def __exit__(self, *_: Any) -> None:
        STATE.device = self._before.pop()

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    compute_capability = "90"

    @property
    def mem_info(self) -> tuple[int, int]:
        return TOTAL_BYTES - STATE.taken[self.id], TOTAL_BYTES


class _Copies:
    """Copies from pinned memory that a stream was asked for; each happens when somebody waits for it."""

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr
        self._asked: list[Any] = []
        self._over = 0

    def ask(self, copy: Any) -> None:
        self._asked.append(copy)

    def __len__(self) -> int:
        return len(self._asked)

    def happen(self, count: int) -> None:
        """Let the first `count` of them happen."""
        for i in range(self._over, count):
            self._asked[i]()
            self._asked[i] = None
        self._over = max(self._over, count)


class Stream:
    """A stream of the device that is current when it is made; the null stream is that of the current one at each use.

    Work on it happens at once. A capture enforces what a device refuses, and notes what to replay.
    """

    _numbers = itertools.count(32)

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        self.null = null or ptds
        self.ptr = 0 if null else runtime.streamPerThread if ptds else next(self._numbers)
        self.device_id = -1 if self.null else STATE.device
        self._own = None if self.null else _Copies(self.ptr)

    @property
    def _copies(self) -> _Copies:
        """A null stream's are those of the current device, whatever object stands for it."""
        if self._own is not None:
            return self._own
        return STATE.null_copies.setdefault(self._key(), _Copies(self.ptr))  # type: ignore[no-any-return]

    def _key(self, device: int | None = None) -> tuple[int, int]:
        """Device and number; a null or foreign stream is `device`'s, the current one's unless that is given."""
        return ((STATE.device if device is None else device) if self.device_id < 0 else self.device_id), self.ptr

    def __enter__(self) -> "Stream":
        STATE.streams.append((self._device(), self))
        return self

    def __exit__(self, *_: Any) -> None:
        STATE.streams.pop()

    def use(self) -> "Stream":
        STATE.streams.append((self._device(), self))
        return self

    def _device(self) -> int:
        if self.device_id not in (-1, STATE.device):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with the current device "
                f"({STATE.device})"
            )
        return STATE.device

    @property
    def done(self) -> bool:
        """Whether all work is over: at once here, but on streams that a test calls busy."""
        return self.ptr not in STATE.busy

    def synchronize(self) -> None:
        STATE.sync("Stream.synchronize")
        self._copies.happen(len(self._copies))

    def begin_capture(self, mode: Any = None) -> None:
        if self.null:
            raise RuntimeError("cannot capture the default stream")
        STATE.graph, STATE.kept, STATE.places, STATE.lasting, STATE.spoiled = [], [], [], [], False
        STATE.captured, STATE.reach = {self._key(): 0}, {self._key(): {}}
        # A capture executes nothing: what it writes here is put back at its end.
        self._before = {number: array()._a.copy() for number, (*_, array) in STATE.blocks.items()}

    def end_capture(self) -> "Graph":
        ours, captured = STATE.reach.get(self._key(), {}), STATE.captured
        STATE.captured, STATE.reach = {}, {}
        # What waited for what in there says nothing of the order outside.
        STATE.seen = {streams: asked for streams, asked in STATE.seen.items() if not set(streams) <= set(captured)}
        for number, (*_, reference) in STATE.blocks.items():
            array = reference()._a
            if number in self._before:
                array[...] = self._before[number]
            elif array.flags.c_contiguous:
                array.reshape(-1).view(np.uint8)[...] = 0xFE  # nothing has computed it yet
        if STATE.spoiled:
            STATE.spoiled = False
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
        left = [stream for stream, asked in captured.items() if stream != self._key() and ours.get(stream, -1) < asked]
        if left:
            raise CUDARuntimeError(f"cudaErrorStreamCaptureUnjoined: streams {left} were not joined to the first one")
        return Graph(STATE.graph, STATE.kept, STATE.places, STATE.lasting, [device for device, _ in captured])

    def is_capturing(self) -> bool:
        captured = self._key() in STATE.captured
        if captured and STATE.spoiled:
            raise RuntimeError("the stream was capturing, but an error has invalidated the capture sequence")
        return captured

    def record(self, event: "Event | None" = None) -> "Event":
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: "Event") -> None:
        STATE.order.append(("wait", self.ptr, event._copies.ptr if event._copies is not None else None))
        if event.view is not None:
            if not STATE.capturing:
                raise CUDARuntimeError("cudaErrorCapturedEvent: the event is of a capture that is over")
            STATE.join(self._key(), event.view)
        elif self._key() in STATE.captured:
            raise CUDARuntimeError("cudaErrorStreamCaptureIsolation: a captured stream waits for work outside")
        if event.key is not None:
            STATE.waited(self._key(), event.key, event.asked)
        event._happen()


class Graph:
    """What a capture noted; launching it does all of it again, at the same addresses."""

    def __init__(self, work: Any, kept: Any, places: Any, lasting: Any, devices: list[int]) -> None:
        self.work, self.kept, self.places, self.lasting, self.devices = work, kept, places, lasting, devices

    def launch(self, stream: Any = None) -> None:
        where = stream or get_current_stream()
        where._copies.happen(len(where._copies))
        self._write()
        STATE.calls["graph.launch"] += 1
        for device in set(self.devices) - {where._key()[0]}:
            # It begins when its stream comes to it, whatever the other devices were asked for.
            seen = [n for (ours, theirs), n in STATE.seen.items() if ours == where._key() and theirs[0] == device]
            if max(seen, default=-1) < STATE.asked[device]:
                raise RuntimeError(f"the stand-in: a graph is launched without waiting for what device {device} does")
            STATE.asked[device] += 1
        STATE.asked[where._key()[0]] += 1
        before, STATE.replayed = STATE.device, self.kept
        try:
            with np.errstate(all="ignore"):
                for STATE.device, compute in self.work:
                    compute()
        finally:
            STATE.device, STATE.replayed = before, []

    def _write(self) -> None:
        """Before the work: no array that now lies where the graph writes keeps its values."""
        if any(block() is None for block in self.lasting):
            raise CUDARuntimeError("cudaErrorIllegalAddress: the graph uses memory that the common pool has again")
        for reference in self.places:
            place = reference()
            if place is None:
                raise CUDARuntimeError("cudaErrorIllegalAddress: memory of the graph went back to the device")
            array = place.tenant()
            if array is not None and array._a.flags.forc:
                array._a.ravel("K").view(np.uint8)[...] = 0xFE

    def upload(self, stream: Any = None) -> None:
        pass


class Event:
    """A point in time on a stream."""

    _clock = itertools.count(1)

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        self.time = 0.0
        self.device_id = STATE.device
        self.key: Any = None  # the stream, and how much its device had been asked for
        self.asked = 0
        self.view: Any = None  # in a capture: how much of each stream comes before it
        self._copies: Any = None
        self._asked = 0

    def record(self, stream: Any = None) -> None:
        self.time = float(next(self._clock))
        stream = stream or get_current_stream()
        self.key = stream._key()
        if self.key[0] != self.device_id:
            raise CUDARuntimeError("cudaErrorInvalidResourceHandle: event and stream are of different devices")
        self._copies = stream._copies
        self._asked, self.asked = len(self._copies), STATE.asked[self.device_id]
        captured = self.key in STATE.captured
        if captured:
            STATE.sound()
        self.view = {**STATE.reach[self.key], self.key: STATE.captured[self.key]} if captured else None

    @property
    def done(self) -> bool:
        """Whether the work before it is over: at once here, but on streams that a test calls busy."""
        if self.view is not None:
            raise CUDARuntimeError("cudaErrorCapturedEvent: the event is part of a capture")
        over = self.key is None or self.key[1] not in STATE.busy
        if over:
            self._happen()
        return over

    def _happen(self) -> None:
        """Let all that its stream was asked for before it happen."""
        if self._copies is not None:
            self._copies.happen(self._asked)

    def synchronize(self) -> None:
        STATE.sync("Event.synchronize")
        self._happen()


def alloc_pinned_memory(size: int) -> Any:
    """Page-locked memory, as a buffer."""
    return STATE.pin(size)


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds between two events; here one for each event recorded between them."""
    return end.time - start.time


def get_current_stream(device_id: int = -1) -> Stream:
    """The stream that work on a device (the current one) is given to."""
    device = STATE.device if device_id == -1 else device_id
    return next((s for d, s in reversed(STATE.streams) if d == device), None) or Stream(null=True)


class MemoryHook:
    """What is called around the pool's allocations of a thread, while it is entered."""

    def __enter__(self) -> "MemoryHook":
        if self.name in STATE.hooks:
            raise RuntimeError(f"memory hook {self.name} already exists")
        STATE.hooks[self.name] = self
        return self

    def __exit__(self, *_: Any) -> None:
        del STATE.hooks[self.name]


class runtime:  # noqa: N801 - CuPy's name
    """The few functions of the CUDA runtime that are asked."""

    CUDARuntimeError = CUDARuntimeError
    streamPerThread = 2  # noqa: N815 - CuPy's name

    @staticmethod
    def getDeviceCount() -> int:
        return STATE.devices

    @staticmethod
    def getDevice() -> int:
        return STATE.device

    @staticmethod
    def getDeviceProperties(device: int) -> dict[str, Any]:
        name = f"Stand-in GPU {device}".encode()
        return {"name": name, "totalGlobalMem": TOTAL_BYTES, "multiProcessorCount": 4, "major": 9, "minor": 0}

    cudaDevAttrMultiProcessorCount = 16  # noqa: N815
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97  # noqa: N815

    @staticmethod
    def deviceGetAttribute(attribute: int, device: int) -> int:
        return {16: 4, 97: STATE.shared_memory}[attribute]

    @staticmethod
    def runtimeGetVersion() -> int:
        return 12090

    @staticmethod
    def driverGetVersion() -> int:
        return 12090


class RawKernel:
    """One entry point of a `RawModule`."""

    def __init__(self, module: "RawModule", name: str) -> None:
        self.module, self.name = module, name
        self._shared: dict[int, int] = {}  # what each device was told

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._shared.get(STATE.device, 48 << 10)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        if STATE.capturing:
            raise CUDARuntimeError("the stand-in: an attribute of a function is set while a stream is captured")
        if size > STATE.shared_memory:
            raise CUDARuntimeError(f"CUDA_ERROR_INVALID_VALUE: {size} bytes of shared memory ({self.name})")
        self._shared[STATE.device] = size
        STATE.told.append((self.name, STATE.device))

    @functools.cached_property
    def kernel(self) -> Any:
        return self.module.built().get_function(self.name)

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0) -> None:
        if type(grid) is not tuple or type(block) is not tuple:
            raise TypeError(f"grid and block must be tuples, got {type(grid).__name__} and {type(block).__name__}")
        values = [self._argument(a) for a in args]
        grid = tuple(max(1, int(n)) for n in grid)
        self._check_sizes(grid, block, shared_mem)
        STATE.launches.append(self.name)
        if STATE.recording is not None:
            STATE.recording.append(self.module.code)
            return

        def run() -> None:
            self.kernel.max_dynamic_shared_size_bytes = max(shared_mem, 48 << 10)  # checked above, for this device
            self.kernel(grid, block, values, shared_mem=shared_mem, backwards=STATE.backwards)

        STATE.work(run)

    def _check_sizes(self, grid: tuple[int, ...], block: tuple[int, ...], shared_mem: int) -> None:
        """The limits of every device since compute capability 3."""
        sizes = zip((*grid, *block), (*_GRID[: len(grid)], *_BLOCK[: len(block)]), strict=True)
        if any(n > most for n, most in sizes) or np.prod(block) > _THREADS:
            raise CUDARuntimeError(f"CUDA_ERROR_INVALID_VALUE: grid {grid}, block {block} ({self.name})")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDARuntimeError(f"CUDA_ERROR_INVALID_VALUE: {shared_mem} bytes of shared memory ({self.name})")

    def _argument(self, given: Any) -> Any:
        if isinstance(given, ndarray):
            check_device(given)
            return given._a
        if isinstance(given, np.ndarray):
            if given.size != 1:
                raise TypeError(f"You are trying to pass a numpy.ndarray of shape {given.shape} as a kernel parameter.")
            return given if given.dtype.fields is not None else given.reshape(())[()]
        if given is None or isinstance(given, SCALARS):
            return given
        raise TypeError(f"Unsupported type {type(given)}")


class RawModule:
    """CUDA source text, built for the host at the first launch of one of its kernels."""

    def __init__(
        self,
        *,
        code: str | None = None,
        path: str | None = None,
        options: tuple[str, ...] = (),
        backend: str = "nvrtc",
        name_expressions: Any = None,
    ) -> None:
        if code is None or path is not None or type(options) is not tuple or not all(type(o) is str for o in options):
            raise TypeError("the stand-in's RawModule takes code=, and options= as a tuple of texts")
        self.code, self.options, self.name_expressions = code, options, name_expressions
        self._built: Any = None

    def built(self) -> Any:
        if self._built is None:
            self._built = STATE.prebuilt.get(self.code) or HostModule(self.code, self.name_expressions or ())
        return self._built

    def get_function(self, name: str) -> RawKernel:
        return RawKernel(self, name)
