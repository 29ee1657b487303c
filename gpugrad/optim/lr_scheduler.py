"""Learning-rate schedules under PyTorch's names, each a formula of the number of steps taken.

PyTorch computes most of them from the rate before; the values are the same up to rounding, but here a rate set by hand
does not survive the next `step()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..backend import capturing
from .optimizer import Optimizer


class LRScheduler:
    """What all schedules share: `step()` after each epoch (or batch) sets the `lr` of every group.

    Args:
        optimizer: its groups' `lr` at this moment (or `initial_lr`, where another schedule has run) is where to start.
        last_epoch: steps taken before, to resume; -1 for none.

    Attributes:
        last_epoch: steps taken.
        base_lrs: the learning rates at the start, one for each group.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"[{type(self).__name__}] optimizer is a {type(optimizer).__name__}; expected an Optimizer")
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def rate(self, base: float, epoch: int, group: int) -> float:
        """The learning rate of a group after `epoch` steps, from its rate at the start."""
        raise NotImplementedError(f"[{type(self).__name__}] defines no rate")

    def step(self) -> None:
        """Take one step: set the learning rate of every group."""
        capture = capturing.current()
        if capture is not None:
            capture.repeat(self._move, self._back, lambda: True)
        self._move()

    def _back(self) -> None:
        self.last_epoch -= 2
        self._move()

    def _move(self) -> None:
        self.last_epoch += 1
        for i, (group, base) in enumerate(zip(self.optimizer.param_groups, self.base_lrs, strict=True)):
            group["lr"] = self.rate(base, self.last_epoch, i)

    def get_last_lr(self) -> list[float]:
        """The learning rates of the groups as the last step set them."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What is needed to resume: everything but the optimizer and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not _has_function(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave, and set the learning rates of that moment."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k in self.__dict__})
        self.last_epoch -= 1
        self.step()


def _has_function(value: Any) -> bool:
    return callable(value) or (isinstance(value, list) and any(callable(v) for v in value))


def _positive(who: str, **values: Any) -> None:
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"[{who}] {name} = {value!r}; expected an integer of 1 or more")


class StepLR(LRScheduler):
    """The rate times `gamma` after every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        _positive("StepLR", step_size=step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """`base * gamma^(epoch // step_size)`."""
        return base * self.gamma ** (epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """The rate times `gamma` at each of the milestones."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """`base * gamma^(milestones reached)`."""
        return base * self.gamma ** sum(epoch >= m for m in self.milestones)


class ExponentialLR(LRScheduler):
    """The rate times `gamma` after every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """`base * gamma^epoch`."""
        return base * self.gamma**epoch


class LinearLR(LRScheduler):
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
        _positive("LinearLR", total_iters=total_iters)
        if not (0 < start_factor <= 1 and 0 <= end_factor <= 1):
            raise ValueError(
                f"[LinearLR] start_factor = {start_factor}, end_factor = {end_factor}; expected (0, 1] and [0, 1]"
            )
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """`base` times the factor of this step."""
        done = min(epoch, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * done)


class CosineAnnealingLR(LRScheduler):
    """From the first rate to `eta_min` along half a cosine in `T_max` steps, and back (Loshchilov, Hutter 2017)."""

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,  # noqa: N803 - PyTorch's name
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        _positive("CosineAnnealingLR", T_max=T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """`eta_min + (base - eta_min) (1 + cos(pi epoch / T_max)) / 2`."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


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
        groups = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"[LambdaLR] {len(self.lr_lambdas)} functions for {groups} groups; expected one for each")
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, epoch: int, group: int) -> float:
        """`base * lr_lambda(epoch)`."""
        return base * self.lr_lambdas[group](epoch)
