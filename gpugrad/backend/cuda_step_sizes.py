"""Step sizes of adaptive updates in device memory: where a replay has others, or only the device knows the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import capturing
from .cuda_launch import function
from .step_sizes import RULES, Schedule


def on_device(
    schedule: Schedule, step: int, wide: Any, verdict: Any, upload: Callable[[bytes, str], Any]
) -> Any:
    """The four numbers of `Schedule.at`, (4,), where the kernels of `optim.cu` must read them.

    Args:
        schedule: what they follow.
        step: the number of this step, from 1.
        wide: their type.
        verdict: what a loss scale says: `skipped` of `step` steps were left out, the device knows how many; or None.
        upload: brings bytes to the device as an array of a dtype.

    Returns:
        The array; None where the host's numbers will do, and before a replay, which knows the place.
    """
    capture = capturing.current()
    if verdict is None:
        return None if capture is None else capture.number(np.array(schedule.at(step), wide))
    count = np.array([verdict.step], np.int64)
    now = upload(count.tobytes(), "int64") if capture is None else capture.number(count)
    if capture is not None and capture.refilling:
        return None
    import cupy

    # In float64 whatever the parameters are: rectification is a difference of thousands.
    out = cupy.ndarray((4,), wide)
    places = (out, None) if np.dtype(wide) == np.float64 else (None, out)
    options = np.int32(RULES.index(schedule.rule)), *map(np.float64, schedule[1:])
    function("optim.cu", "step_sizes", np.dtype(np.float64))((1,), (1,), (*options, now, verdict.skipped, *places))
    return out
