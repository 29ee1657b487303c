"""Plain CuPy, without a tape: what the device's own array library takes for the forwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.data import digest
from benchmarks.libs.base import Library, Program
from benchmarks.operations import array_functions, convolutions, operation_data


def make(name: str, device: str) -> CupyLibrary:
    """CuPy.

    Raises:
        ImportError: CuPy is not installed.
        RuntimeError: `device` is not "cuda".
    """
    if device != "cuda":
        raise RuntimeError("CuPy runs on GPUs only")
    return CupyLibrary(name, device)


class CupyLibrary(Library):
    """CuPy's functions on bare arrays."""

    def __init__(self, name: str, device: str) -> None:
        super().__init__(name, device)
        import cupy

        self.xp: Any = cupy

    def facts(self) -> dict[str, str]:
        return {"device": self.xp.cuda.runtime.getDeviceProperties(0)["name"].decode()}

    def measure(self, run: Callable[[], object]) -> float:
        start, stop = self.xp.cuda.Event(), self.xp.cuda.Event()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return float(self.xp.cuda.get_elapsed_time(start, stop)) / 1e3

    def operation(self, params: dict[str, Any]) -> dict[str, Program]:
        """The forward; CuPy has no gradients."""
        if params["phase"] != "forward":
            return {}
        function = {**array_functions(self.xp), **convolutions(self.xp)}[params["function"]]
        inputs = [self.xp.asarray(array) for array in operation_data(params)]
        run = lambda: function(*inputs)  # noqa: E731
        return {"arrays": Program(run, check=lambda: digest(run().get()))}
