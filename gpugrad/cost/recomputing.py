"""Keeping what the backward pass needs against computing it again: one network both ways, memory and time.

How a part is computed again is in `transforms.checkpoint`; this is the comparison that the scaling study shows.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

from ..backend import Backend
from .ceilings import best_of
from .ledger import tape_memory
from .plan import recomputing
from .subjects import mlp


def recompute_against_keep(backend: Backend, sizes: dict[str, int], seconds: float) -> dict[str, Any]:
    """Peak and time of a step, kept and recomputed in the square root of depth many segments.

    Args:
        backend: where.
        sizes: depth, width and batch of the network.
        seconds: about as long each is timed.

    Returns:
        `sizes`, `segments`, and for `keep` and `recompute` the `seconds` of a step and its `peak_bytes`, gradients
        included.
    """
    subject = mlp(**sizes, device=backend.device)
    names = [name for name, _ in subject.model.named_children()]
    count = max(2, round(math.sqrt(sizes["depth"])))
    each = -(-len(names) // count)
    groups = [tuple(names[i : i + each]) for i in range(0, len(names), each)]

    def step() -> None:
        subject.model.zero_grad()
        subject.loss(*subject.batch).backward()

    results: dict[str, Any] = {"sizes": sizes, "segments": len(groups)}
    # The last segment is the first that the backward pass comes to: keeping it costs nothing.
    ways: dict[str, contextlib.AbstractContextManager[Any]] = {
        "keep": contextlib.nullcontext(),
        "recompute": recomputing(subject.model, groups[:-1]),
    }
    for name, way in ways.items():
        with way:
            repeats = max(3, int(seconds / best_of(backend, step, 1)))
            peak = tape_memory(subject.loss, *subject.batch).peak_bytes
            results[name] = {"seconds": best_of(backend, step, min(repeats, 50)), "peak_bytes": peak}
    return results
