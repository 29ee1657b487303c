"""What learning-rate schedules share, and those made of others or of what a metric does.

A schedule goes on from the rate that it finds, as PyTorch's do, so several can work on one optimizer and a rate set by
hand stays. In a step of `gg.compile` a schedule moves on with each replay.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from ..backend import capturing
from .optimizer import Optimizer


class LRScheduler:
    """What all schedules share: `step()` after each epoch (or batch) sets the `lr` of every group.

    A schedule of one's own defines `get_lr()`, the rates of the groups after `self.last_epoch` steps.

    Args:
        optimizer: its groups' `lr` at this moment (or `initial_lr`, where another schedule has run) is where to start.
        last_epoch: steps taken before, to resume; -1 for none.

    Attributes:
        last_epoch: steps taken.
        base_lrs: the learning rates at the start, one for each group.

    Raises:
        TypeError: `optimizer` is none.
    """

    last_epoch: int
    _last_lr: list[float]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(type(self).__name__, optimizer)
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._is_initial = True
        self._advance()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The learning rates of the groups after `last_epoch` steps."""
        raise NotImplementedError(f"[{type(self).__name__}] defines no get_lr")

    def step(self, epoch: Any = None) -> None:
        """Take one step: set the learning rate of every group.

        Args:
            epoch: go to this number of steps instead; not in a step that is recorded.
        """
        capture = capturing.current()
        if capture is not None:
            if epoch is not None:
                capturing.refuse(f"calls {type(self).__name__}.step with a number that a replay would repeat")
            capture.repeat(self._advance, self._back(), lambda: True)
        self._advance(epoch)

    def _advance(self, epoch: Any = None) -> None:
        self._update_lr(epoch)

    def _update_lr(self, epoch: Any = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        at_once = getattr(self, "_get_closed_form_lr", None)
        self._set(self.get_lr() if epoch is None or at_once is None else at_once())

    def _set(self, rates: Sequence[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _back(self) -> Callable[[], None]:
        """What puts the schedule and the options of the groups back to what they are now."""
        own, groups = dict(self.__dict__), [dict(group) for group in self.optimizer.param_groups]

        def back() -> None:
            self.__dict__.update(own)
            for group, before in zip(self.optimizer.param_groups, groups, strict=True):
                group.update(before)

        return back

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups as the last step set them."""
        return self._last_lr

    def state_dict(self) -> dict[str, Any]:
        """What is needed to resume: everything but the optimizer and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not _has_function(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave, of this schedule or of PyTorch's, and set the rates of that moment."""
        own = self.__dict__
        own.update({k: v for k, v in state_dict.items() if k in own and not _has_function(own[k])})
        self._set(self._last_lr)


def checked(who: str, optimizer: Any) -> Optimizer:
    """An optimizer as it is.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"[{who}] optimizer is a {type(optimizer).__name__}; expected an Optimizer")
    return optimizer


def by_group(who: str, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    """A value for each group: those of a list, or the same for all.

    Raises:
        ValueError: the list has another length.
    """
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(f"[{who}] {len(value)} values of {name} for {groups} groups; expected one for each")
    return list(value)


def positive(who: str, **values: Any) -> None:
    """Refuse anything but integers of 1 or more.

    Raises:
        ValueError: one is not.
    """
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"[{who}] {name} = {value!r}; expected an integer of 1 or more")


def _has_function(value: Any) -> bool:
    return callable(value) or (isinstance(value, list) and any(callable(v) for v in value))


class _Composite(LRScheduler):
    """Schedules of one optimizer, told by this one when to move."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        who = type(self).__name__
        if not schedulers:
            raise ValueError(f"[{who}] schedulers is empty; expected one or more")
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        self._schedulers = list(schedulers)
        for i, schedule in enumerate(schedulers):
            if isinstance(schedule, ReduceLROnPlateau):
                raise ValueError(
                    f"[{who}] schedulers[{i}] is a ReduceLROnPlateau, which needs a metric; step it beside"
                )
            if schedule.optimizer is not self.optimizer:
                raise ValueError(f"[{who}] schedulers[{i}] has another optimizer; expected one that all share")

    def _back(self) -> Callable[[], None]:
        backs = [super()._back(), *(schedule._back() for schedule in self._schedulers)]

        def back() -> None:
            for each in backs:
                each()

        return back

    def state_dict(self) -> dict[str, Any]:
        """Its own state, and those of its schedules under `_schedulers`."""
        return super().state_dict() | {"_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave, and set the rates of that moment."""
        for schedule, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            schedule.load_state_dict(state)
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})


class SequentialLR(_Composite):
    """Schedules one after the other, each from its own start.

    Args:
        optimizer: the one that all schedules were made for.
        schedulers: in order.
        milestones: the numbers of steps at which the second, third, ... take over.
        last_epoch: steps taken before.

    Raises:
        ValueError: schedules of several optimizers, one that needs a metric, or not a milestone for each but the first.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        super().__init__(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"[SequentialLR] {len(milestones)} milestones for {len(schedulers)} schedulers; expected one less"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        _undone(self)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def _advance(self, epoch: Any = None) -> None:
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[i]
        if i and self._milestones[i - 1] == self.last_epoch:
            schedule._update_lr(0)
        else:
            schedule._advance()
        self._last_lr = schedule.get_last_lr()


def _undone(schedule: LRScheduler) -> None:
    """Take back the first steps that schedules took when they were made."""
    if isinstance(schedule, _Composite):
        for part in schedule._schedulers:
            _undone(part)
    else:
        schedule.last_epoch -= 1


class ChainedScheduler(_Composite):
    """Schedules that all take each step, one changing the rate that the other left."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        super().__init__(schedulers, optimizer)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _advance(self, epoch: Any = None) -> None:
        for schedule in self._schedulers:
            schedule._advance()
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class ReduceLROnPlateau(LRScheduler):
    """The rate times `factor` when a metric has not improved for more than `patience` steps.

    Args:
        optimizer: the optimizer.
        mode: "min" where less is better, "max" where more is.
        factor: below 1.
        patience: steps without improvement that are borne.
        threshold: what counts as an improvement.
        threshold_mode: "rel", a share of the best so far, or "abs", a difference.
        cooldown: steps after a reduction in which nothing counts.
        min_lr: the lowest rate, of all groups or of each.
        eps: a reduction by less is left out.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10,
        threshold: float = 1e-4, threshold_mode: str = "rel", cooldown: int = 0, min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:  # fmt: skip
        if factor >= 1 or mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"[ReduceLROnPlateau] factor = {factor}, mode = {mode!r}, threshold_mode = {threshold_mode!r}; "
                'expected below 1, "min" or "max", "rel" or "abs"'
            )
        self.optimizer = checked("ReduceLROnPlateau", optimizer)
        self.min_lrs = by_group("ReduceLROnPlateau", "min_lr", min_lr, optimizer)
        self.mode, self.factor, self.patience, self.cooldown, self.eps = mode, factor, patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.best = math.inf if mode == "min" else -math.inf
        self.last_epoch = self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = [group["lr"] for group in optimizer.param_groups]

    def step(self, metrics: Any, epoch: Any = None) -> None:  # type: ignore[override]
        """Take one step, with the metric as a number or a tensor of one; waits for the device of a tensor."""
        capturing.refuse("calls ReduceLROnPlateau.step, which decides on the host; call it between the steps")
        current = float(metrics.item() if hasattr(metrics, "item") else metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        improved = self._improves(current)
        self.best = current if improved else self.best
        self.num_bad_epochs = 0 if improved else self.num_bad_epochs + 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            old = [group["lr"] for group in self.optimizer.param_groups]
            new = [max(lr * self.factor, least) for lr, least in zip(old, self.min_lrs, strict=True)]
            self._set([n if o - n > self.eps else o for o, n in zip(old, new, strict=True)])
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def _improves(self, value: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        less = sign * self.threshold
        bound = self.best * (1 - less) if self.threshold_mode == "rel" else self.best - less
        return sign * value < sign * bound
