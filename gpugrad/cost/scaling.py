"""The scaling study: how the cost of forward and backward grows with depth, width and batch, and what that means.

Sizes and their steps are here; the fits are in `fits`, pictures and texts in `scaling_page`. Each step is timed as
often as fits into a second, and the fastest counts: what the work takes when nothing else disturbs it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ..backend import Backend, backend_for
from ..nn.containers import Sequential
from .ceilings import Ceilings, measure_ceilings
from .fits import PowerLaw, power_law
from .machine import machine
from .subjects import Subject, mlp

Progress = Callable[[int, int, str], None]

FULL = {
    "depth": ({"width": 512, "batch": 256}, (2, 4, 8, 16, 32)),
    "width": ({"depth": 4, "batch": 256}, (64, 128, 256, 512, 768, 1024, 1536, 2048)),
    "batch": ({"depth": 4, "width": 512}, (64, 128, 256, 512, 1024, 2048, 4096)),
}
QUICK = {
    "depth": ({"width": 256, "batch": 64}, (2, 4, 8, 16)),
    "width": ({"depth": 3, "batch": 64}, (64, 128, 256, 512, 768, 1024)),
    "batch": ({"depth": 3, "width": 256}, (64, 128, 256, 512, 1024)),
}
PASSES = 4  # over all sizes, so that a busy moment does not fall on one of them alone

# What the rule says, from which size up it is fitted, and how far the exponent may be off.
RULES = {"depth": (1.0, 0, 0.1), "width": (2.0, 512, 0.15), "batch": (1.0, 256, 0.1)}


@dataclass(frozen=True)
class Point:
    """One size: seconds (of the fastest run) and FLOPs of forward and backward."""

    size: int
    forward: float
    backward: float
    forward_flops: int
    backward_flops: int

    @property
    def seconds(self) -> float:
        """Of the whole step."""
        return self.forward + self.backward

    @property
    def ratio(self) -> float:
        """Backward by forward."""
        return self.backward / self.forward


@dataclass(frozen=True)
class Growth:
    """How the cost grows with one size.

    Attributes:
        what: depth, width or batch; `fixed` the other sizes.
        points: by size.
        law: fitted from `fitted_from` up.
        expected: the rule's exponent, and `allowed` how far off it may be.
    """

    what: str
    fixed: dict[str, int]
    points: tuple[Point, ...]
    law: PowerLaw
    fitted_from: int
    expected: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the fitted exponent is the rule's, as far as it may be off."""
        return abs(self.law.exponent - self.expected) <= self.allowed


@dataclass(frozen=True)
class Study:
    """All of it; `interrupted` if some sizes are missing."""

    growths: tuple[Growth, ...]
    jacobian: dict[str, Any]
    recompute: dict[str, Any]
    ceilings: Ceilings
    machine: dict[str, Any]
    interrupted: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def study(*, device: Any = None, quick: bool = False, seconds: float = 1.0, progress: Progress | None = None) -> Study:
    """Run the study.

    Args:
        device: where.
        quick: fewer and smaller sizes.
        seconds: for each size and pass, at least; three steps are always made.
        progress: called with the sizes done, all of them, and what is next.

    Returns:
        The study; after Ctrl-C one of the sizes done so far, if there are any three of a kind.
    """
    backend = backend_for(device)
    plans = QUICK if quick else FULL
    jobs = [(what, size) for what, (_, sizes) in plans.items() for size in sizes]
    points: dict[str, dict[int, Point]] = {what: {} for what in plans}
    interrupted = False
    best = measure_ceilings(backend)
    try:
        for done, (what, size) in enumerate(jobs * PASSES):
            if progress is not None:
                progress(done, len(jobs) * PASSES + 2, f"{what} {size}")
            subject = mlp(**{**plans[what][0], what: size}, device=backend.device)
            points[what][size] = _faster(points[what].get(size), _point(subject, size, backend, seconds))
    except KeyboardInterrupt:
        interrupted = True
    growths = [_growth(what, plans[what][0], list(p.values())) for what, p in points.items() if len(p) >= 3]
    if not growths:
        raise KeyboardInterrupt
    again = {} if interrupted else _recompute(backend, quick, seconds)
    whole = jacobian_against_product(backend)
    if progress is not None:
        progress(len(jobs) * PASSES + 2, len(jobs) * PASSES + 2, "")
    return Study(tuple(growths), whole, again, best, machine(backend), interrupted, {"quick": quick})


def _faster(one: Point | None, other: Point) -> Point:
    if one is None:
        return other
    return replace(other, forward=min(one.forward, other.forward), backward=min(one.backward, other.backward))


def _growth(what: str, fixed: dict[str, int], points: list[Point]) -> Growth:
    expected, start, allowed = RULES[what]
    fitted = [p for p in points if p.size >= start]
    fitted = fitted if len(fitted) >= 3 else points
    law = power_law([p.size for p in fitted], [p.seconds for p in fitted])
    return Growth(what, fixed, tuple(points), law, fitted[0].size, expected, allowed)


def _point(subject: Subject, size: int, backend: Backend, seconds: float) -> Point:
    from .measure import profile  # the counts of one run; its times are not used

    counts = profile(subject.loss, *subject.batch, repeats=1, warmup=1, ceilings=False, device=backend.device).total
    forward, backward = timed(subject.model, subject.loss, subject.batch, backend, seconds)
    return Point(size, forward, backward, counts.forward.flops, counts.backward.flops)


def timed(
    model: Sequential, loss: Callable[..., Any], batch: Sequence[Any], backend: Backend, seconds: float
) -> tuple[float, float]:
    """The least seconds that forward and backward take, measured apart without a profiler."""
    forwards: list[float] = []
    backwards: list[float] = []
    end = time.perf_counter() + seconds
    while len(forwards) < 4 or time.perf_counter() < end:
        model.zero_grad()
        backend.synchronize()
        marks = [backend.mark()]
        out = loss(*batch)
        marks.append(backend.mark())
        out.backward()
        marks.append(backend.mark())
        backend.synchronize()
        forwards.append(backend.elapsed(marks[0], marks[1]))
        backwards.append(backend.elapsed(marks[1], marks[2]))
    model.zero_grad()
    return min(forwards[1:]), min(backwards[1:])


def jacobian_against_product(backend: Backend, size: int = 64, rows: int = 1) -> dict[str, Any]:
    """The full Jacobian of an affine layer against one vector-Jacobian product: counted, and timed at a small size.

    The large one is that of the lectures, an affine map from 32 x 32 x 512 numbers to as many: too large to make.
    """
    from ..ops.random import randn
    from ..transforms import vjp

    n = 32 * 32 * 512
    found: dict[str, Any] = {"large": {"inputs": n, "outputs": n, "bytes": jacobian_bytes(n, n), "vjp_bytes": 4 * n}}
    subject = mlp(depth=2, width=size, batch=rows, device=backend.device)
    x = randn(rows, size, device=backend.device)
    _, pullback = vjp(subject.model, x)
    one = randn(rows, size, device=backend.device)
    units = [_unit(backend, rows, size, i) for i in range(size)]
    product = _best(backend, lambda: pullback(one))
    whole = _best(backend, lambda: [pullback(unit) for unit in units])
    found["small"] = {
        "inputs": rows * size,
        "outputs": rows * size,
        "bytes": jacobian_bytes(rows * size, rows * size),
        "vjp_seconds": product,
        "jacobian_seconds": whole,
        "times": whole / product,
    }
    return found


def jacobian_bytes(inputs: int, outputs: int, itemsize: int = 4) -> int:
    """Memory of a whole Jacobian: one number for each pair of an output and an input."""
    return inputs * outputs * itemsize


def _unit(backend: Backend, rows: int, size: int, place: int) -> Any:
    from ..tensor import Tensor

    unit = backend.xp.zeros((rows, size), "float32")
    unit[0, place] = 1
    return Tensor(unit)


def _best(backend: Backend, call: Callable[[], Any]) -> float:
    from .ceilings import best_of

    return best_of(backend, call, 5)


def _recompute(backend: Backend, quick: bool, seconds: float) -> dict[str, Any]:
    """Keeping what backward needs against computing it again: memory and time of one network both ways."""
    from .recomputing import recompute_against_keep

    sizes = {"depth": 9, "width": 128, "batch": 2048} if quick else {"depth": 16, "width": 256, "batch": 4096}
    return recompute_against_keep(backend, sizes, seconds)
