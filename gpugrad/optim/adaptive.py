"""More adaptive update rules: Adagrad, Adadelta, Adamax, NAdam and RAdam, with PyTorch's options and results.

What they compute per element is `Backend.optim.adaptive`; how its step sizes depend on the number of steps is
`backend.step_sizes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..backend.step_sizes import Schedule
from .optimizer import Bucket, Optimizer, in_one_way

Betas = tuple[float, float]


class _Adaptive(Optimizer):
    """What these rules share: one kernel for all arrays, with step sizes by a schedule."""

    kernel: ClassVar[str]
    states: ClassVar[tuple[str, ...]]

    def new_state(self, group: dict[str, Any]) -> tuple[str, ...]:
        """What the update keeps of the past."""
        return self.states

    def is_fused(self) -> bool:
        """Yes, if nobody has defined another update."""
        return type(self).update is _Adaptive.update

    def schedule(self, group: Mapping[str, Any]) -> Schedule | None:
        """How the step sizes of a group depend on the step; None where they do not."""
        return None

    def numbers(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """What the kernel takes of a group's options beside rate and penalty."""
        beta1, beta2 = group["betas"]
        return {"beta1": beta1, "beta2": beta2}

    def update(self, bucket: Bucket, grads: list[Any], group: dict[str, Any]) -> None:
        """One kernel for all arrays."""
        state = bucket.state
        bucket.backend.optim.adaptive(
            bucket.arrays,
            grads,
            *(state[name] for name in self.states),
            kernel=self.kernel,
            schedule=self.schedule(group),
            step=bucket.count + 1,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
            **self.numbers(group),
        )

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative, betas below 1."""
        super().check_options(group)
        self.require(group, eps=group["eps"] >= 0)
        if "betas" in group:
            self.require(group, betas=len(group["betas"]) == 2 and all(0 <= b < 1 for b in group["betas"]))


@in_one_way
class Adagrad(_Adaptive):
    """The gradient divided by the root of all its squares so far (Duchi et al. 2011).

    `s += g^2`, `p -= lr / (1 + (t - 1) lr_decay) * g / (sqrt(s) + eps)` at step `t`.

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        lr_decay: how fast it falls.
        weight_decay: factor of an L2 penalty.
        initial_accumulator_value: `s` at the start.
        eps: added to the root.
        maximize: go up instead of down.

    Raises:
        ValueError: an option is negative.
    """

    name = "Adagrad"
    kernel = "adagrad"
    states = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        options["initial_accumulator_value"] = initial_accumulator_value
        super().__init__(params, {**options, "maximize": maximize})

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative."""
        super().check_options(group)
        start = group["initial_accumulator_value"] >= 0
        self.require(group, lr_decay=group["lr_decay"] >= 0, initial_accumulator_value=start)

    def first_value(self, name: str, group: Mapping[str, Any]) -> float:
        """What the sum starts with."""
        return float(group["initial_accumulator_value"])

    def schedule(self, group: Mapping[str, Any]) -> Schedule:
        """The rate's decay."""
        return Schedule("adagrad", group["lr_decay"])

    def numbers(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """`eps`."""
        return {"eps": group["eps"]}


@in_one_way
class Adadelta(_Adaptive):
    """Steps in the units of the parameter (Zeiler 2012): `u = sqrt(a + eps) / sqrt(v + eps) * g`, `p -= lr * u`.

    `v` and `a` are running means of `g^2` and of `u^2`.

    Args:
        params: tensors, or groups of them.
        lr: factor of the step.
        rho: how much of the past `v` and `a` keep.
        eps: added under the roots.
        weight_decay: factor of an L2 penalty.
        maximize: go up instead of down.

    Raises:
        ValueError: an option is out of range.
    """

    name = "Adadelta"
    kernel = "adadelta"
    states = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "maximize": maximize})

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative, rho up to 1."""
        super().check_options(group)
        self.require(group, rho=0 <= group["rho"] <= 1)

    def numbers(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Rho and eps."""
        return {"beta2": group["rho"], "eps": group["eps"]}


@in_one_way
class Adamax(_Adaptive):
    """Adam with the largest gradient of the past in the root's place (Kingma and Ba 2015).

    `m` is a running mean of `g`, `u = max(beta2 * u, |g| + eps)`, `p -= lr / (1 - beta1^t) * m / u` at step `t`.

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        betas: how much of the past `m` and `u` keep.
        eps: the least gradient that counts.
        weight_decay: factor of an L2 penalty.
        maximize: go up instead of down.

    Raises:
        ValueError: an option is out of range.
    """

    name = "Adamax"
    kernel = "adamax"
    states = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "maximize": maximize})

    def schedule(self, group: Mapping[str, Any]) -> Schedule:
        """The bias of the mean."""
        return Schedule("adamax", group["betas"][0])

    def numbers(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Betas and eps."""
        return {**super().numbers(group), "eps": group["eps"]}


class _OfMoments(_Adaptive):
    """What the variants of Adam share: running means of the gradient and of its square, and which decay."""

    kernel = "moments"
    states = ("exp_avg", "exp_avg_sq")

    def numbers(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Betas, and which decay."""
        return {**super().numbers(group), "decoupled": group["decoupled_weight_decay"]}


@in_one_way
class NAdam(_OfMoments):
    """Adam with Nesterov's momentum (Dozat 2016): the step of the next momentum is part of this one.

    With `mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2)` and `P_t` the product of all `mu` up to `t`:
    `p -= lr (g (1 - mu_t) / (1 - P_t) + m mu_(t+1) / (1 - P_(t+1))) / (sqrt(v / (1 - beta2^t)) + eps)`.

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        betas: how much of the past `m` and `v` keep.
        eps: added to the denominator.
        weight_decay: factor of the penalty.
        momentum_decay: how fast the momentum grows to beta1.
        decoupled_weight_decay: take the decay off the weights, as AdamW.
        maximize: go up instead of down.

    `state_dict` has the product as PyTorch's `mu_product`; it follows from the steps and the options of the moment.

    Raises:
        ValueError: an option is out of range.
    """

    name = "NAdam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        super().__init__(
            params, {**options, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize}
        )

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative, betas below 1."""
        super().check_options(group)
        self.require(group, momentum_decay=group["momentum_decay"] >= 0)

    def schedule(self, group: Mapping[str, Any]) -> Schedule:
        """The momentum's, and the biases of the means."""
        beta1, beta2 = group["betas"]
        return Schedule("nadam", beta1, beta2, group["momentum_decay"], group["eps"])

    def state_dict(self) -> dict[str, Any]:
        """As `Optimizer.state_dict`, with PyTorch's `mu_product`."""
        found = super().state_dict()
        for group, numbered in zip(self.param_groups, found["param_groups"], strict=True):
            for number in numbered["params"]:
                if number in found["state"]:
                    state = found["state"][number]
                    state["mu_product"] = self.schedule(group).product(state["step"])
        return found

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As `Optimizer.load_state_dict`; `mu_product` is not read."""
        states = state_dict["state"].items()
        kept = {key: {k: v for k, v in state.items() if k != "mu_product"} for key, state in states}
        super().load_state_dict({**state_dict, "state": kept})


@in_one_way
class RAdam(_OfMoments):
    """Adam that takes steps of momentum alone until it knows the variance of the gradients (Liu et al. 2020).

    With `r_inf = 2 / (1 - beta2) - 1` and `r = r_inf - 2 t beta2^t / (1 - beta2^t)`: `p -= lr m'` up to `r = 5`, then
    `p -= lr sqrt((r - 4) (r - 2) r_inf / ((r_inf - 4) (r_inf - 2) r)) sqrt(1 - beta2^t) m' / (sqrt(v) + eps)`.

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        betas: how much of the past `m` and `v` keep.
        eps: added to the root.
        weight_decay: factor of the penalty.
        decoupled_weight_decay: take the decay off the weights, as AdamW.
        maximize: go up instead of down.

    Raises:
        ValueError: an option is out of range.
    """

    name = "RAdam"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            params, {**options, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize}
        )

    def schedule(self, group: Mapping[str, Any]) -> Schedule:
        """The rectification, and the biases of the means."""
        beta1, beta2 = group["betas"]
        return Schedule("radam", beta1, beta2, eps=group["eps"])
