"""Schedules that go up and down: one cycle, cycles, restarts; the first two may move the momentum the other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .optimizer import Optimizer
from .schedules import LRScheduler, by_group, checked, positive


class _WithMomentum(LRScheduler):
    """A schedule that may move the momentum too: the option `momentum`, or the first of `betas`."""

    def _start_momentum(self, cycle: bool, base: Any, largest: Any, last_epoch: int) -> None:
        """Note the lowest and the highest momentum of each group, and begin at the highest.

        Raises:
            ValueError: the optimizer has none.
        """
        who, defaults = type(self).__name__, self.optimizer.defaults
        self.cycle_momentum, self.use_beta1 = cycle, "betas" in defaults
        if not cycle:
            return
        if "momentum" not in defaults and not self.use_beta1:
            raise ValueError(
                f"[{who}] {self.optimizer.name} has neither momentum nor betas; expected one of them, or "
                "cycle_momentum=False"
            )
        self.base_momentums = by_group(who, "base_momentum", base, self.optimizer)
        self.max_momentums = by_group(who, "max_momentum", largest, self.optimizer)
        if last_epoch == -1:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True
            ):
                group["base_momentum"], group["max_momentum"] = low, high
                self._set_momentum(group, high)

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class OneCycleLR(_WithMomentum):
    """Up from `max_lr / div_factor` to `max_lr` and down to far below in `total_steps` steps (Smith, Topin 2018).

    Args:
        optimizer: the optimizer.
        max_lr: the highest rate, of all groups or of each.
        total_steps: how many steps there will be; or `epochs * steps_per_epoch`.
        epochs: see `total_steps`.
        steps_per_epoch: see `total_steps`.
        pct_start: the share of the steps that goes up.
        anneal_strategy: along a "cos" or "linear".
        cycle_momentum: whether the momentum goes from `max_momentum` down to `base_momentum` and back meanwhile.
        base_momentum: the lowest momentum.
        max_momentum: the highest.
        div_factor: how much lower the first rate is.
        final_div_factor: how much lower still the last one is.
        three_phase: go down to the first rate as fast as up, then on to the last.
        last_epoch: steps taken before.

    Raises:
        ValueError: an option out of range; a step after the last.
    """

    def __init__(
        self, optimizer: Optimizer, max_lr: float | Sequence[float], total_steps: int | None = None,
        epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
        anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
        three_phase: bool = False, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if total_steps is None:
            positive("OneCycleLR", epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = (epochs or 0) * (steps_per_epoch or 0)
        positive("OneCycleLR", total_steps=total_steps)
        if not 0 <= pct_start <= 1 or anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"[OneCycleLR] pct_start = {pct_start}, anneal_strategy = {anneal_strategy!r}; expected a number in "
                '[0, 1], and "cos" or "linear"'
            )
        self.optimizer = checked("OneCycleLR", optimizer)
        self.total_steps, self._anneal_func_type = total_steps, anneal_strategy
        self._schedule_phases = _phases(pct_start * total_steps, total_steps, three_phase)
        if last_epoch == -1:
            for group, highest in zip(
                optimizer.param_groups, by_group("OneCycleLR", "max_lr", max_lr, optimizer), strict=True
            ):
                first = highest / div_factor
                group.update(initial_lr=first, max_lr=highest, min_lr=first / final_div_factor)
        self._start_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The rate on the way between those that the phase of this step begins and ends with."""
        at = self.last_epoch
        if at > self.total_steps:
            raise ValueError(f"[OneCycleLR] step {at} of total_steps = {self.total_steps}; make it with more steps")
        phases = self._schedule_phases
        i = next((i for i, phase in enumerate(phases) if at <= phase["end_step"]), len(phases) - 1)
        phase = phases[i]
        begin = phases[i - 1]["end_step"] if i else 0.0
        steps = phase["end_step"] - begin
        done = (at - begin) / steps if steps else 1.0  # a way up of one step begins at its end
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group, phase["start_lr"], phase["end_lr"], done))
            if self.cycle_momentum:
                names = phase["start_momentum"], phase["end_momentum"]
                self._set_momentum(group, self._between(group, *names, done))
        return rates

    def _between(self, group: dict[str, Any], start: str, end: str, done: float) -> float:
        a, b = group[start], group[end]
        if self._anneal_func_type == "linear":
            return (b - a) * done + a  # type: ignore[no-any-return]
        return b + (a - b) / 2.0 * (math.cos(math.pi * done) + 1)  # type: ignore[no-any-return]


def _phases(up: float, steps: int, three: bool) -> list[dict[str, Any]]:
    """Where each phase ends, and what options of a group its rate and momentum begin and end with."""
    names = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
    rows = [(up - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
    if three:
        rows.append((2 * up - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"))
        rows.append((steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"))
    else:
        rows.append((steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"))
    return [dict(zip(names, row, strict=True)) for row in rows]


class CyclicLR(_WithMomentum):
    """Between `base_lr` and `max_lr` in cycles, up in `step_size_up` steps and down in `step_size_down` (Smith 2017).

    Args:
        optimizer: the optimizer.
        base_lr: the lowest rate, of all groups or of each.
        max_lr: the highest, before it is scaled.
        step_size_up: steps upwards.
        step_size_down: steps downwards; as many if not given.
        mode: how the height of cycles changes: "triangular" not at all, "triangular2" by half each time, "exp_range" by
            `gamma` with each step.
        gamma: see `mode`.
        scale_fn: a function of one's own in place of `mode`.
        scale_mode: whether it takes the number of the "cycle", from 1, or of the step ("iterations").
        cycle_momentum: whether the momentum goes the other way, from `max_momentum` to `base_momentum` and back.
        base_momentum: the lowest momentum.
        max_momentum: the highest.
        last_epoch: steps taken before.

    Raises:
        ValueError: an option out of range.
    """

    def __init__(
        self, optimizer: Optimizer, base_lr: float | Sequence[float], max_lr: float | Sequence[float],
        step_size_up: int = 2000, step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None, scale_mode: str = "cycle", cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8, max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f'[CyclicLR] mode = {mode!r}; expected "triangular", "triangular2" or "exp_range"')
        down = step_size_up if step_size_down is None else step_size_down
        if not step_size_up > 0 or down < 0:
            raise ValueError(
                f"[CyclicLR] step_size_up = {step_size_up}, step_size_down = {down}; expected a number above 0, and "
                "one of 0 or more"
            )
        self.optimizer = checked("CyclicLR", optimizer)
        base_lrs = by_group("CyclicLR", "base_lr", base_lr, optimizer)
        self.max_lrs = by_group("CyclicLR", "max_lr", max_lr, optimizer)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        self.total_size = float(step_size_up + down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self.scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn else "iterations" if mode == "exp_range" else "cycle"
        self._start_momentum(cycle_momentum, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def _scale(self, x: float) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(x)
        scales: dict[str, float] = {"triangular": 1.0, "triangular2": 0.5 ** (x - 1), "exp_range": self.gamma**x}
        return scales[self.mode]

    def get_lr(self) -> list[float]:
        """The rate at this place of the cycle."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        scale = self._scale(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in bounds:
                self._set_momentum(group, high - (high - low) * height * scale)
        return [low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the first rate to `eta_min`, again and again (SGDR; Loshchilov, Hutter 2017).

    Args:
        optimizer: the optimizer.
        T_0: steps to the first restart.
        T_mult: how many times longer each way is than the one before.
        eta_min: the lowest rate.
        last_epoch: steps taken before.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,  # noqa: N803 - PyTorch's name
        T_mult: int = 1,  # noqa: N803
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        positive("CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult)
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """`eta_min + (base - eta_min) (1 + cos(pi T_cur / T_i)) / 2`, `T_cur` steps after a restart."""
        done = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * done for base in self.base_lrs]

    def _advance(self, epoch: Any = None) -> None:
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch, self.T_cur = self.last_epoch + 1, self.T_cur + 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        elif epoch < 0:
            raise ValueError(f"[CosineAnnealingWarmRestarts] epoch = {epoch}; expected 0 or more")
        else:
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())

    def _go_to(self, epoch: float) -> None:
        """Find the way that step `epoch`, which may be broken, lies on."""
        self.T_cur, self.T_i = epoch, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
