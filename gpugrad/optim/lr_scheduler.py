"""Learning-rate schedules under PyTorch's names: here those that are a factor on the first rate, and Lambda's.

What all share is in `schedules`, cycles and restarts are in `cycles`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from .cycles import CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from .optimizer import Optimizer
from .schedules import (
    ChainedScheduler,
    LRScheduler,
    ReduceLROnPlateau,
    SequentialLR,
    by_group,
    positive,
)  # fmt: skip

_LRScheduler = LRScheduler  # the older name, of which programs derive schedules of their own

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR",
    "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class _Factor(LRScheduler):
    """A schedule that is a factor on the first rate; a step multiplies the rate by the change of it.

    `eta_min` is what the factor does not touch: the rate goes towards it.
    """

    eta_min: float = 0.0
    resumes_at_once: ClassVar[bool] = False  # whether a schedule made with `last_epoch` changes the rate that it finds

    def factor_at(self, epoch: int) -> float:
        """The rate after `epoch` steps, as a multiple of the first one."""
        raise NotImplementedError(f"[{type(self).__name__}] defines no factor_at")

    def get_lr(self) -> list[float]:
        """The rates found, times the change of the factor."""
        epoch, least = self.last_epoch, self.eta_min
        found = [group["lr"] for group in self.optimizer.param_groups]
        now = self.factor_at(epoch)
        before = self.factor_at(epoch - 1) if epoch > 0 else 1.0
        if now == before or (self._is_initial and epoch > 0 and not self.resumes_at_once):
            return found
        if not before:  # it was at its least, where no ratio leads away from
            return [lr + (base - least) * now for lr, base in zip(found, self.base_lrs, strict=True)]
        return [least + (lr - least) * (now / before) for lr in found]

    def _get_closed_form_lr(self) -> list[float]:
        now = self.factor_at(self.last_epoch)
        return [self.eta_min + (base - self.eta_min) * now for base in self.base_lrs]


class StepLR(_Factor):
    """The rate times `gamma` after every `step_size` steps."""

    resumes_at_once = True

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        positive("StepLR", step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        """`gamma^(epoch // step_size)`."""
        return self.gamma ** (epoch // self.step_size)


class MultiStepLR(_Factor):
    """The rate times `gamma` at each of the milestones."""

    resumes_at_once = True

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        """`gamma^(milestones reached)`."""
        return self.gamma ** sum(times for at, times in self.milestones.items() if at <= epoch)


class ConstantLR(_Factor):
    """The rate times `factor` for `total_iters` steps.

    Raises:
        ValueError: `factor` is not in (0, 1].
    """

    resumes_at_once = True

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 < factor <= 1:
            raise ValueError(f"[ConstantLR] factor = {factor}; expected (0, 1]")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        """`factor` until `total_iters`, then 1."""
        return self.factor if epoch < self.total_iters else 1.0


class LinearLR(_Factor):
    """A factor on the rate that goes in a line from `start_factor` to `end_factor` in `total_iters` steps: a warm-up.

    Raises:
        ValueError: `start_factor` is not in (0, 1], or `end_factor` not in [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        positive("LinearLR", total_iters=total_iters)
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueError(
                f"[LinearLR] start_factor = {start_factor}, end_factor = {end_factor}; expected (0, 1] and [0, 1]"
            )
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        """The place on the line."""
        done = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * done


class ExponentialLR(_Factor):
    """The rate times `gamma` after every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        """`gamma^epoch`."""
        return self.gamma**epoch


class PolynomialLR(_Factor):
    """From the first rate to 0 in `total_iters` steps, along a power of what is left of them."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        positive("PolynomialLR", total_iters=total_iters)
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        """`(1 - epoch / total_iters)^power`, at the end 0."""
        return float((1.0 - min(epoch, self.total_iters) / self.total_iters) ** self.power)


class CosineAnnealingLR(_Factor):
    """From the first rate to `eta_min` along half a cosine in `T_max` steps, and back (Loshchilov, Hutter 2017)."""

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803 - PyTorch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        positive("CosineAnnealingLR", T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def factor_at(self, epoch: int) -> float:
        """`(1 + cos(pi epoch / T_max)) / 2`."""
        return (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class LambdaLR(LRScheduler):
    """The rate at the start times `lr_lambda(steps taken)`.

    Args:
        optimizer: the optimizer.
        lr_lambda: a function of the number of steps, or one for each group.
        last_epoch: steps taken before.

    Raises:
        ValueError: not as many functions as groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambdas = by_group(type(self).__name__, "lr_lambda", lr_lambda, optimizer)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """`base * lr_lambda(last_epoch)`."""
        return self._times(self.base_lrs)

    def _times(self, rates: Iterable[float]) -> list[float]:
        return [rate * f(self.last_epoch) for rate, f in zip(rates, self.lr_lambdas, strict=True)]


class MultiplicativeLR(LambdaLR):
    """The rate times `lr_lambda(steps taken)` at each step; arguments as `LambdaLR`."""

    def get_lr(self) -> list[float]:
        """The rates found, times `lr_lambda(last_epoch)`; at the start as they are."""
        found = [group["lr"] for group in self.optimizer.param_groups]
        return found if self._is_initial else self._times(found)
