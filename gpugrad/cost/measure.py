"""`gg.profile`: runs of a step, measured and not, taking turns, and the report of them.

What one run is made of is in `recorder`, what runs come to in `report`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import FunctionType, TracebackType
from typing import Any, Self

import numpy as np

from ..backend import Backend, backend_for
from ..nodes import Leaf, Node
from ..tensor import Tensor
from .ceilings import Ceilings, measure_ceilings
from .errors import CostError
from .instruments import observed_by
from .machine import machine
from .recorder import Recorder, Run, first_backend
from .report import Report, summarise

Progress = Callable[[int, int], None]


def profile(
    fn: Callable[..., Any] | None = None,
    *args: Any,
    repeats: int = 10,
    warmup: int = 2,
    backward: bool = True,
    ceilings: bool | Ceilings = True,
    device: Any = None,
    progress: Progress | None = None,
) -> Any:
    """What forward and backward cost, by layer: time, FLOPs, bytes, memory.

    With a function, runs it and gives the report; without one, gives a context manager around any code:
    `with gg.profile() as p: ...`, then `p.report`. Several steps in such a block are told apart by `p.step()`.

    Args:
        fn: called as `fn(*args)`; returns a scalar tensor whose backward pass is then taken, or takes it itself.
        *args: its arguments, modules among them if one likes.
        repeats: measured runs; as many more are run unmeasured between them, to say what measuring costs.
        warmup: runs before.
        backward: False measures the forward alone.
        ceilings: measure the machine's (about a second), take those given, or False to leave them out.
        device: where it runs; if not given, that of the first array among `args` and in `fn`, and for a block of code
            the default device.
        progress: called with the runs done and the runs wanted.

    Returns:
        A `Report` (or the context manager). Gradients are as they were before.

    Raises:
        CostError: `fn` returns no scalar, or one that needs no gradient.

    Example:
        >>> import gpugrad as gg
        >>> layer = gg.nn.Linear(64, 32)
        >>> report = gg.profile(lambda x: layer(x).sum(), gg.rand(8, 64), ceilings=False, repeats=3)
        >>> report.layer("Linear").forward.flops == 8 * 32 * (2 * 64 + 1)
        True
        >>> with gg.profile(ceilings=False) as p:
        ...     layer(gg.rand(8, 64)).sum().backward()
        >>> [row.label for row in p.report.layers][:2]
        ['Linear', 'sum']
    """
    if fn is None:
        return Profile(device=device, ceilings=ceilings)
    if repeats < 1 or warmup < 0:
        raise CostError(f"[profile] repeats = {repeats}, warmup = {warmup}; expected 1 or more, and 0 or more")
    backend = backend_for(device) if device is not None else first_backend([*args, fn, *closed_over(fn)])
    return _Measurement(fn, args, backend or backend_for(None), backward).report(repeats, warmup, ceilings, progress)


def closed_over(fn: Any) -> list[Any]:
    """What a function can reach without its arguments: bound object, defaults, variables around it.

    Functions among these are looked into as well, where they are defined in the same file.
    """
    found: list[Any] = []
    waiting, seen = [getattr(fn, "func", fn)], set()
    home = getattr(waiting[0], "__globals__", None)
    while waiting:
        fn = waiting.pop()
        if id(fn) in seen:
            continue
        seen.add(id(fn))
        cells = [cell.cell_contents for cell in getattr(fn, "__closure__", None) or () if _filled(cell)]
        names = getattr(getattr(fn, "__code__", None), "co_names", ())
        known = getattr(fn, "__globals__", {})
        defaults = [*(getattr(fn, "__defaults__", None) or ()), *(getattr(fn, "__kwdefaults__", None) or {}).values()]
        around = [getattr(fn, "__self__", None), *defaults, *cells, *[known[name] for name in names if name in known]]
        waiting += [v for v in around if isinstance(v, FunctionType) and v.__globals__ is home]
        found += around
    return found


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


class _Measurement:
    """Runs of one step."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], backend: Backend, backward: bool) -> None:
        self.fn, self.args, self.backend, self.backward = fn, args, backend, backward
        self.leaves: dict[Leaf, Any] = {}  # and the gradients that they had
        self.walks_itself = False

    def report(self, repeats: int, warmup: int, wanted: bool | Ceilings, progress: Progress | None) -> Report:
        """Measured and unmeasured runs in turns; Ctrl-C ends them, and what was measured is kept."""
        runs: list[Run] = []
        plain: list[float] = []
        fed: list[Run] = []
        interrupted = False
        best = wanted if isinstance(wanted, Ceilings) else None
        try:
            self.measured()
            for _ in range(warmup):
                self.unmeasured()
            if wanted is True:
                best = measure_ceilings(self.backend)
            for done in range(repeats):
                plain.append(self.unmeasured())
                runs.append(self.measured())
                if self.backend.name != "cpu":
                    fed.append(self.measured(feed=2 * runs[-1].host_seconds))
                if progress is not None:
                    progress(done + 1, repeats)
        except KeyboardInterrupt:
            if not runs:
                raise
            interrupted = True
        finally:
            for leaf, grad in self.leaves.items():
                leaf.grad = grad
        step = statistics.median(plain)
        # Neighbours in time are compared, because a shared machine is not equally fast all the time.
        overhead = statistics.median([run.raw_seconds / alone - 1 for run, alone in zip(runs, plain, strict=False)])
        return summarise(
            runs,
            fed,
            step_seconds=step,
            overhead=overhead,
            ceilings=best,
            machine=machine(self.backend),
            warmup=warmup,
            interrupted=interrupted,
        )

    def measured(self, feed: float = 0.0) -> Run:
        """One run with a recorder; with `feed` the device is first given work for so many seconds."""
        self.backend.synchronize()
        if feed:
            self.keep_busy(feed)
        recorder = Recorder(self.backend)
        with observed_by(recorder):
            out = self.fn(*self.args)
            self.walks_itself = recorder.walked
            if self.backward and not self.walks_itself:
                self.check(out)
                out.backward()
            del out
        run = recorder.finish()
        self.forget()
        return run

    def unmeasured(self) -> float:
        """Seconds of one run without a recorder."""
        self.backend.synchronize()
        start = time.perf_counter()
        out = self.fn(*self.args)
        if self.backward and not self.walks_itself:
            out.backward()
        del out
        self.backend.synchronize()
        took = time.perf_counter() - start
        self.forget()
        return took

    def check(self, out: Any) -> None:
        """See that the result can be differentiated; at the first time the leaves' gradients are put aside."""
        if not isinstance(out, Tensor) or out.data.size != 1:
            what = f"a tensor of shape {out.shape}" if isinstance(out, Tensor) else type(out).__name__
            raise CostError(
                f"[profile] {_name(self.fn)} returns {what}; expected a scalar tensor (the loss) whose backward pass "
                "can be taken: reduce it, e.g. with .mean(), or pass backward=False"
            )
        if out._node is None and not self.leaves:
            raise CostError(
                f"[profile] the result of {_name(self.fn)} needs no gradient; compute it from tensors with "
                "requires_grad=True, or pass backward=False"
            )
        if not self.leaves:
            self.leaves = {leaf: leaf.grad for leaf in leaves_of(out._node)}
            self.forget()

    def forget(self) -> None:
        """Drop the gradients of the run, so that the next one finds none to add to."""
        for leaf in self.leaves:
            leaf.grad = None

    def keep_busy(self, seconds: float) -> None:
        """Matrix products for about so long: what is asked for meanwhile then runs without a gap."""
        xp = self.backend.xp
        a = xp.ones((1024, 1024), np.float32)
        out = self.backend.matmul(a, a)
        self.backend.synchronize()
        start = self.backend.mark()
        self.backend.matmul(a, a, out)
        stop = self.backend.mark()
        self.backend.synchronize()
        for _ in range(min(int(seconds / max(self.backend.elapsed(start, stop), 1e-6)) + 1, 512)):
            self.backend.matmul(a, a, out)


def _name(fn: Any) -> str:
    return getattr(fn, "__name__", type(fn).__name__)


def leaves_of(root: Node | None) -> list[Leaf]:
    """The leaves that a graph leads to."""
    stack = [] if root is None else [root]
    met: set[Node] = set(stack)
    found = []
    while stack:
        node = stack.pop()
        if isinstance(node, Leaf):
            found.append(node)
            continue
        parents = (node.parents,) if node.single else (node.parents or ())
        new = [p for p in parents if p is not None and p not in met]
        met.update(new)
        stack.extend(new)
    return found


class Profile:
    """A block of code that is measured: `with gg.profile() as p: ...`; afterwards `p.report`.

    Attributes:
        report: the `Report`, once the block has been left.
    """

    report: Report

    def __init__(self, *, device: Any = None, ceilings: bool | Ceilings = True) -> None:
        self._backend = backend_for(device)
        self._ceilings = ceilings
        self._runs: list[Run] = []

    def __enter__(self) -> Self:
        self._begin()
        return self

    def _begin(self) -> None:
        self._recorder = Recorder(self._backend)
        self._watch: AbstractContextManager[None] = observed_by(self._recorder)
        self._watch.__enter__()

    def _end(self) -> None:
        self._watch.__exit__(None, None, None)
        self._runs.append(self._recorder.finish())

    def step(self) -> None:
        """One step ends here and the next begins: the report has the median over the steps."""
        self._end()
        self._begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        empty = bool(self._runs) and not self._recorder.records
        self._end()
        if empty:  # nothing ran after the last `step()`
            self._runs.pop()
        best = self._ceilings if isinstance(self._ceilings, Ceilings) else None
        if self._ceilings is True and kind is None:
            best = measure_ceilings(self._backend)
        self.report = summarise(
            self._runs,
            step_seconds=0.0,
            overhead=0.0,
            ceilings=best,
            machine=machine(self._backend),
            warmup=0,
            interrupted=kind is not None,
        )
