"""Keeping what the backward pass needs against computing it again: one network both ways, memory and time.

The step that computes again is written out here, segment by segment, because it is what is studied.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import Backend
from ..gradmode import no_grad
from ..nn.containers import Sequential
from ..nn.functional import cross_entropy
from .ceilings import best_of
from .instruments import observed_by
from .recorder import Recorder
from .subjects import Subject, mlp


def recompute_against_keep(backend: Backend, sizes: dict[str, int], seconds: float) -> dict[str, Any]:
    """Peak of the tape and time of a step, kept and recomputed in the square root of depth many segments.

    Args:
        backend: where.
        sizes: depth, width and batch of the network.
        seconds: about as long each is timed.
    """
    subject = mlp(**sizes, device=backend.device)
    count = max(2, round(math.sqrt(sizes["depth"])))
    results: dict[str, Any] = {"sizes": sizes, "segments": count}
    steps = {"keep": lambda: _kept(subject), "recompute": lambda: _recomputed(subject, count)}
    for name, step in steps.items():
        repeats = max(3, int(seconds / max(best_of(backend, step, 1), 1e-6)))
        results[name] = {"seconds": best_of(backend, step, min(repeats, 50)), "peak_bytes": _peak(backend, step)}
    return results


def _kept(subject: Subject) -> None:
    subject.model.zero_grad()
    subject.loss(*subject.batch).backward()


def _recomputed(subject: Subject, count: int) -> None:
    """Forward without a tape, keeping the inputs of the segments; then each segment again, from the last one on."""
    subject.model.zero_grad()
    layers = list(subject.model)
    each = -(-len(layers) // count)
    segments = [Sequential(*layers[i : i + each]) for i in range(0, len(layers), each)]
    x, labels = subject.batch
    inputs = [x]
    with no_grad():
        for segment in segments[:-1]:
            inputs.append(segment(inputs[-1]))
    gradient: Any = None
    while segments:
        segment, start = segments.pop(), inputs.pop().detach()
        start.requires_grad = bool(segments)  # the batch itself needs no gradient
        out = segment(start)
        if gradient is None:
            cross_entropy(out, labels).backward()
        else:
            out.backward(gradient)
        gradient = start.grad


def _peak(backend: Backend, step: Any) -> int:
    """The most that the tape held, the kept inputs of segments included."""
    recorder = Recorder(backend)
    with observed_by(recorder):
        step()
    return max(held for _, held, _ in recorder.finish().timeline)
