"""The update rules: SGD, Adam, AdamW and RMSprop, with PyTorch's options and results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .optimizer import Bucket, Optimizer, in_one_way


@in_one_way
class SGD(Optimizer):
    """Stochastic gradient descent: `p -= lr * d`, with `d` the gradient, or its momentum.

    `d = g + weight_decay * p`; with momentum `buffer = momentum * buffer + (1 - dampening) * d` (the first is `d`), and
    `d = buffer`, or with Nesterov's `d + momentum * buffer` (Sutskever et al. 2013).

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        momentum: factor of the past.
        dampening: what the momentum takes off the present.
        weight_decay: factor of an L2 penalty.
        nesterov: look ahead.
        maximize: go up instead of down.

    Raises:
        ValueError: an option is negative, or `nesterov` without momentum or with dampening.

    Example:
        >>> import gpugrad as gg
        >>> w = gg.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = gg.optim.SGD([w], lr=0.1)
        >>> (w * w).sum().backward()
        >>> optimizer.step()
        >>> w.detach()
        tensor([0.8, 1.6])
    """

    name = "SGD"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**options, "nesterov": nesterov, "maximize": maximize})

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative; Nesterov needs momentum without dampening."""
        super().check_options(group)
        ahead = not group["nesterov"] or (group["momentum"] > 0 and group["dampening"] == 0)
        self.require(group, momentum=group["momentum"] >= 0, nesterov=ahead)

    def new_state(self, group: dict[str, Any]) -> tuple[str, ...]:
        """A buffer where there is momentum."""
        return ("momentum_buffer",) if group["momentum"] else ()

    def is_fused(self) -> bool:
        """Yes, if nobody has defined another update."""
        return type(self).update is SGD.update

    def update(self, bucket: Bucket, grads: list[Any], group: dict[str, Any]) -> None:
        """One kernel for all arrays."""
        bucket.backend.optim.sgd(
            bucket.arrays,
            grads,
            bucket.state.get("momentum_buffer"),
            lr=group["lr"],
            momentum=group["momentum"],
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            first=bucket.count == 0,
        )


@in_one_way
class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba 2015): `p -= lr * m' / (sqrt(v') + eps)`.

    `m` and `v` are running means of `g` and `g^2`, `m'` and `v'` the same without their start at 0. Weight decay is
    an L2 penalty, part of `g`; AdamW takes it off the weights instead.

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        betas: how much of the past `m` and `v` keep.
        eps: added to the denominator.
        weight_decay: factor of the penalty.
        amsgrad: divide by the largest `v` so far (Reddi et al. 2018).
        maximize: go up instead of down.

    Raises:
        ValueError: an option is out of range.
    """

    name = "Adam"
    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "amsgrad": amsgrad, "maximize": maximize})

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative, betas below 1."""
        super().check_options(group)
        betas = group["betas"]
        self.require(group, betas=len(betas) == 2 and all(0 <= b < 1 for b in betas), eps=group["eps"] >= 0)

    def new_state(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The two moments, and the largest second one with `amsgrad`."""
        names = ("exp_avg", "exp_avg_sq")
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def is_fused(self) -> bool:
        """Yes, if nobody has defined another update."""
        return type(self).update is Adam.update

    def update(self, bucket: Bucket, grads: list[Any], group: dict[str, Any]) -> None:
        """One kernel for all arrays."""
        state, (beta1, beta2) = bucket.state, group["betas"]
        step = bucket.count + 1
        bucket.backend.optim.adam(
            bucket.arrays,
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            state.get("max_exp_avg_sq"),
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            bias1=1.0 - beta1**step,
            bias2=1.0 - beta2**step,
            decoupled=self.decoupled,
            maximize=group["maximize"],
        )


@in_one_way
class AdamW(Adam):
    """Adam with weight decay apart from the gradient: `p -= lr * weight_decay * p` first (Loshchilov and Hutter 2019).

    Args: as `Adam`; `weight_decay` is 0.01 unless set.
    """

    name = "AdamW"
    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


@in_one_way
class RMSprop(Optimizer):
    """The gradient divided by a running root mean square of itself (Tieleman and Hinton 2012).

    `v = alpha * v + (1 - alpha) * g^2`, `u = g / (sqrt(v) + eps)`, `p -= lr * u`, with momentum on `u`.

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        alpha: how much of the past `v` keeps.
        eps: added to the denominator.
        weight_decay: factor of an L2 penalty.
        momentum: factor of the past updates.
        centered: divide by the standard deviation, `v` less the squared running mean (Graves 2013).
        maximize: go up instead of down.

    Raises:
        ValueError: an option is negative.
    """

    name = "RMSprop"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**options, "centered": centered, "maximize": maximize})

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative."""
        super().check_options(group)
        self.require(group, alpha=group["alpha"] >= 0, eps=group["eps"] >= 0, momentum=group["momentum"] >= 0)

    def new_state(self, group: dict[str, Any]) -> tuple[str, ...]:
        """The mean square, and what momentum and centring need."""
        names = ["square_avg"]
        names += ["momentum_buffer"] if group["momentum"] else []
        return (*names, "grad_avg") if group["centered"] else tuple(names)

    def is_fused(self) -> bool:
        """Yes, if nobody has defined another update."""
        return type(self).update is RMSprop.update

    def update(self, bucket: Bucket, grads: list[Any], group: dict[str, Any]) -> None:
        """One kernel for all arrays."""
        state = bucket.state
        bucket.backend.optim.rmsprop(
            bucket.arrays,
            grads,
            state["square_avg"],
            buffers=state.get("momentum_buffer"),
            means=state.get("grad_avg"),
            lr=group["lr"],
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            maximize=group["maximize"],
        )
