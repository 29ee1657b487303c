"""The most memory that is in use on a GPU: what CuPy's pool itself does not remember.

A hook on the pool's allocations, installed when somebody first asks (`gg.cuda.reset_peak_memory_stats`).
"""

from __future__ import annotations

import threading
from typing import Any

from . import backend_for
from .device import Device


class PeakWatch:
    """The peaks of the GPUs that are watched, since each was last reset."""

    def __init__(self) -> None:
        import cupy

        self._peaks: dict[int, int] = {}
        self._pool = cupy.get_default_memory_pool()
        self._threads = threading.local()  # CuPy calls the hooks of the thread that allocates
        watch = self

        class Hook(cupy.cuda.MemoryHook):  # type: ignore[misc]
            name = "gpugrad peak"

            def malloc_postprocess(self, *, device_id: int, **_: Any) -> None:
                watch._seen(device_id)

        self._hook = Hook

    def _seen(self, device: int) -> None:
        if device in self._peaks:  # an allocation is made on the current device, which is the pool's too
            self._peaks[device] = max(self._peaks[device], self._pool.used_bytes())

    def reset(self, device: Device) -> None:
        """Count from what is in use now."""
        self._peaks[device.index] = backend_for(device).memory_stats().in_use_bytes
        if not hasattr(self._threads, "hook"):
            self._threads.hook = self._hook()
            self._threads.hook.__enter__()

    def stop(self) -> None:
        """Take the hook of this thread off; the peaks stay to be read."""
        if hasattr(self._threads, "hook"):
            self._threads.hook.__exit__(None, None, None)
            del self._threads.hook

    def peak(self, device: Device) -> int | None:
        """The most since the last reset; None where there was none."""
        return self._peaks.get(device.index)
