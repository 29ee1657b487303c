"""How many threads the BLAS may use for a training: one where its products are small.

Only the thread count is decided here; what a product costs is estimated from the parameters' shapes alone.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import gpugrad as gg

# Below this a second thread saves microseconds where nothing else runs, and costs much where something does: BLAS
# threads wait for each other in a spin, and lose a time slice whenever one of them is not running. The digits' network
# took 7 s with one thread and 52 to 84 s with two on a machine of two cores that others were using.
ONE_THREAD_BELOW_FLOPS = 2e7


def small_products(model: gg.nn.Module, batch_size: int) -> bool:
    """Whether every matrix product of a step with `batch_size` rows is too small to share among threads."""
    largest = max((p.shape[0] * p.shape[1] for p in model.parameters() if len(p.shape) == 2), default=0)
    return 2.0 * batch_size * largest < ONE_THREAD_BELOW_FLOPS


def blas_threads(model: gg.nn.Module, batch_size: int) -> contextlib.AbstractContextManager[Any]:
    """A context in which the BLAS uses one thread if the products of this training are small.

    Without threadpoolctl (scikit-learn brings it) nothing is changed.

    Args:
        model: the network whose 2-d parameters are multiplied with the batch.
        batch_size: rows of a step.

    Returns:
        A context manager; on exit the thread count is what it was.
    """
    if not small_products(model, batch_size):
        return contextlib.nullcontext()
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ModuleNotFoundError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[Any] = threadpoolctl.threadpool_limits(1, user_api="blas")
    return limits
