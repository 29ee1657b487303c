"""`gg.checkpoint_plan`: which parts of a model to compute again, so that a step fits into a budget of memory.

Every plan that is considered is followed by the ledger on arrays without data, so its peak is predicted as exactly as
that of the model itself. What computing again is, is in `transforms.checkpoint`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..backend import backend_for
from ..nn.containers import Sequential
from ..nn.module import Module
from ..transforms import checkpoint
from .ceilings import Ceilings, measure_ceilings
from .errors import CostError
from .ledger import TapeMemory, tape_memory
from .recorder import first_backend
from .subjects import loss_of
from .table import scaled

Group = tuple[str, ...]

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


@dataclass(frozen=True)
class CheckpointPlan:
    """What to recompute.

    Attributes:
        groups: paths of the modules that are computed again, those of a group as one.
        budget_bytes: what was allowed, above what is there before a step.
        peak_bytes: of a step with the plan; `peak_before` without it.
        extra_flops: arithmetic that is done twice; `extra_share` of that of a step without the plan.
        extra_seconds: what that takes at least on this machine (0.0 if it was not measured).
    """

    groups: tuple[Group, ...]
    budget_bytes: int
    peak_bytes: int
    peak_before: int
    extra_flops: int
    extra_share: float
    extra_seconds: float
    model: Module = field(repr=False, compare=False)

    @contextlib.contextmanager
    def applied(self) -> Iterator[Module]:
        """The model with the plan, within a block."""
        with recomputing(self.model, self.groups):
            yield self.model

    def __str__(self) -> str:
        head = (
            f"peak {scaled(self.peak_bytes, 'B')} in place of {scaled(self.peak_before, 'B')} "
            f"(budget {scaled(self.budget_bytes, 'B')})"
        )
        if not self.groups:
            return f"{head}: nothing needs to be computed again"
        parts = "; ".join(", ".join(group) for group in self.groups)
        time = f", at least {self.extra_seconds * 1e3:.1f} ms" if self.extra_seconds else ""
        return f"{head}: compute again {parts}\ncosts {self.extra_share:.1%} of a step's arithmetic{time}"


def checkpoint_plan(
    model: Module,
    *batch: Any,
    budget: str | int,
    loss: Callable[..., Any] | None = None,
    ceilings: bool | Ceilings = True,
) -> CheckpointPlan:
    """Pick what to compute again in the backward pass, so that the peak of a step stays within a budget.

    Args:
        model: parts are runs of layers of a `Sequential`, or blocks (modules that have modules inside).
        *batch: what the model is called with; a second array is the target, as in `gpugrad bench`.
        budget: bytes above what is there before the step, such as `"2GB"`, `"500 MiB"` or a number.
        loss: called as `loss(*batch)`; cross entropy or mean squared error with a target, else the sum of the outputs.
        ceilings: of the machine, to say what it costs in time; measured if True (about a second), left out if False.

    Returns:
        The plan with the least arithmetic done twice among those that fit; use it with `with plan.applied(): ...`.

    Raises:
        CostError: no plan fits (the message says what the leanest takes), no batch, or a budget that is no size.

    Example:
        >>> import gpugrad as gg
        >>> layers = [layer for _ in range(8) for layer in (gg.nn.Linear(64, 64), gg.nn.Tanh())]
        >>> model, x = gg.nn.Sequential(*layers), gg.zeros(4096, 64)
        >>> plan = gg.checkpoint_plan(model, x, budget="9MB", ceilings=False)
        >>> plan.peak_bytes <= 9_000_000 < plan.peak_before
        True
    """
    allowed = parse_size(budget)
    if not batch:
        raise CostError(
            "[checkpoint_plan] no batch: pass what the model is called with, e.g. checkpoint_plan(m, x, ...)"
        )
    step = loss or _default_loss(model, len(batch))

    def predicted(groups: Sequence[Group]) -> TapeMemory:
        with recomputing(model, groups):
            return tape_memory(step, *batch)

    before = predicted(())
    found = _search(model, predicted, before, allowed)
    if found is None:
        raise CostError("[checkpoint_plan] the model has no parts to compute again: no Sequential, no blocks")
    groups, memory = found
    if memory.peak_bytes > allowed:
        saves = memory.peak_bytes < before.peak_bytes
        least = f"the leanest plan takes {scaled(memory.peak_bytes, 'B')}" if saves else "no plan saves memory"
        raise CostError(
            f"[checkpoint_plan] budget = {budget}: {least} (without one {scaled(before.peak_bytes, 'B')}, gradients "
            f"alone {scaled(before.gradient_bytes, 'B')}); use a smaller "
            f"{'batch' if 2 * before.gradient_bytes < before.peak_bytes else 'model'}"
        )
    extra = memory.forward_flops + memory.backward_flops - before.forward_flops - before.backward_flops
    moved = memory.nbytes - before.nbytes
    best = measure_ceilings(first_backend(batch) or backend_for(None)) if ceilings is True and groups else ceilings
    seconds = best.at_least(extra, moved) if isinstance(best, Ceilings) else 0.0
    share = extra / max(before.forward_flops + before.backward_flops, 1)
    return CheckpointPlan(tuple(groups), allowed, memory.peak_bytes, before.peak_bytes, extra, share, seconds, model)


def parse_size(text: str | int) -> int:
    """Bytes from `"2GB"`, `"1.5 GiB"` or a number.

    Raises:
        CostError: it is none of these.
    """
    match = re.fullmatch(r"\s*([\d.]+)\s*(?:([KMGT]I?)?B?)\s*", str(text).upper())
    try:
        size = float(match[1]) * _UNITS[match[2] or ""] if match else 0.0
    except ValueError:
        size = 0.0
    if size < 1:
        raise CostError(f"[checkpoint_plan] budget = {text!r}; expected a size such as '2GB', '500 MiB' or bytes")
    return int(size)


def _default_loss(model: Module, count: int) -> Callable[..., Any]:
    if count == 2:
        return loss_of(model)
    return lambda *batch: model(*batch).sum()


def _search(
    model: Module, predicted: Callable[[Sequence[Group]], TapeMemory], before: TapeMemory, allowed: int
) -> tuple[Sequence[Group], TapeMemory] | None:
    """The cheapest groups that fit, or the leanest."""
    if before.peak_bytes <= allowed:
        return (), before
    fitting: tuple[Sequence[Group], TapeMemory] | None = None
    leanest: tuple[Sequence[Group], TapeMemory] | None = None
    for division in _divisions(model):
        # The first parts' memory is held longest, so they are given up first: as few as will do.
        low, high = 1, len(division)
        while low <= high:
            middle = (low + high) // 2
            groups = division[:middle]
            memory = predicted(groups)
            if leanest is None or memory.peak_bytes < leanest[1].peak_bytes:
                leanest = groups, memory
            if memory.peak_bytes <= allowed:
                high = middle - 1
                if fitting is None or _work(memory) < _work(fitting[1]):
                    fitting = groups, memory
            else:
                low = middle + 1
    return fitting or leanest


def _work(memory: TapeMemory) -> int:
    return memory.forward_flops + memory.backward_flops


def _divisions(model: Module) -> Iterator[tuple[Group, ...]]:
    """Ways to cut the model into parts, each a run of layers or a block."""
    blocks = _blocks(model)
    if len(blocks) > 1:
        yield tuple((path,) for path in blocks)
    for path, module in model.named_modules():
        if isinstance(module, Sequential) and len(module) > 2:
            names = [f"{path}.{name}" if path else name for name, _ in module.named_children()]
            counts = sorted({2, 3, 4, 6, 8, 12, 16, 24, 32} | {round(len(names) ** 0.5)})
            for count in [c for c in counts if c <= len(names) // 2 or c == 2]:
                each = -(-len(names) // count)
                yield tuple(tuple(names[i : i + each]) for i in range(0, len(names), each))


def _blocks(model: Module) -> list[str]:
    """The outermost modules that have modules inside and are no lists of others."""
    found: list[str] = []
    for path, module in model.named_modules():
        outside = any(path == other or path.startswith(f"{other}.") for other in found)
        lists = type(module).__name__ in ("Sequential", "ModuleList", "ModuleDict")
        if path and not outside and not lists and next(module.children(), None) is not None:
            found.append(path)
    return found


@contextlib.contextmanager
def recomputing(model: Module, groups: Sequence[Group]) -> Iterator[None]:
    """The model with its groups recomputed, for a while: their forwards are replaced on the instances."""
    changed: list[Module] = []

    def replace(module: Module, forward: Callable[..., Any]) -> None:
        module.__dict__["forward"] = forward
        changed.append(module)

    try:
        runs: dict[str, list[Group]] = {}
        for group in groups:
            parent = group[0].rpartition(".")[0]
            owner = model.get_submodule(parent)
            if len(group) == 1 and not isinstance(owner, Sequential):
                module = model.get_submodule(group[0])
                replace(module, checkpoint(module.forward))
            else:
                runs.setdefault(parent, []).append(group)
        for parent, own in runs.items():
            replace(model.get_submodule(parent), _in_runs(model.get_submodule(parent), own))
        yield
    finally:
        for module in changed:
            del module.__dict__["forward"]


def _in_runs(owner: Module, groups: Sequence[Group]) -> Callable[[Any], Any]:
    """The forward of a Sequential with some runs of its modules recomputed."""
    children = dict(owner.named_children())
    first = {group[0].rpartition(".")[2]: len(group) for group in groups}

    def forward(x: Any) -> Any:
        names = list(children)
        place = 0
        while place < len(names):
            count = first.get(names[place], 0)
            run = [children[name] for name in names[place : place + max(count, 1)]]
            x = checkpoint(_in_sequence(run))(x) if count else run[0](x)
            place += max(count, 1)
        return x

    return forward


def _in_sequence(modules: Sequence[Module]) -> Callable[[Any], Any]:
    """The modules one after the other as one function."""

    def call(x: Any) -> Any:
        for module in modules:
            x = module(x)
        return x

    return call
