"""Results do not depend on the number of threads."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from gpugrad.fusion import workers


def threads_change_no_bit(call: Callable[[], Iterable[Any]]) -> None:
    """The arrays that `call` gives are the same on one thread and on three."""
    before = workers.set_num_threads(1)
    try:
        alone = call()
        workers.set_num_threads(3)
        for one, other in zip(alone, call(), strict=True):
            np.testing.assert_array_equal(one, other)
    finally:
        workers.set_num_threads(before)
