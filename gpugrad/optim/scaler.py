"""`GradScaler`: a loss multiplied by a large number, so that small gradients survive float16.

Finding infinities and taking the scale off are one pass over all gradients each, on their device, which keeps the scale
too where it is a GPU (`backend.loss_scale`); the steps themselves are the optimizer's.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from .. import mutation
from ..backend import backend_of, capturing
from ..nodes import Leaf
from ..tensor import Tensor, new_tensor
from .optimizer import Optimizer


class GradScaler:
    """Scales the loss of a training in float16, and leaves out steps whose gradients overflowed; PyTorch's interface.

    Multiply the loss with `scale`, call `backward` on the result, then `step` in place of `optimizer.step()`, and
    `update` once an iteration. Gradients that hold an infinity or a nan skip the step and halve the scale; after
    `growth_interval` steps without one it doubles. bfloat16 has float32's range and needs none of this. (Micikevicius
    et al. 2018, "Mixed Precision Training".)

    On a GPU the scale lies in device memory, as float32, and so does what was found: the update kernels leave the step
    out themselves, nothing waits, and a whole iteration (`scale` to `update`) can be captured by `gg.compile`. Each of
    several GPUs has its copy, and they tell each other what they found. `get_scale`, `state_dict` and the optimizer's
    `state_dict` wait. An optimizer that defines its own `update` goes the same way where that changes nothing on the
    host (`Optimizer.update` says more); else the host decides, which waits once an iteration and cannot be captured. So
    it does where there are arrays of the CPU beside those of a GPU: what a GPU found, the CPU only knows after waiting.

    Args:
        device: passed over, for PyTorch's sake: the scale lies where the gradients do.
        init_scale: the first scale.
        growth_factor: what it grows by, above 1.
        backoff_factor: what it shrinks by after an overflow, in (0, 1).
        growth_interval: successful iterations in a row after which it grows.
        enabled: False makes every call do what it would without a scaler.

    Raises:
        ValueError: a factor or interval is out of range.
        TypeError: `device` is a number.

    Example:
        >>> import gpugrad as gg
        >>> w = gg.ones(3, requires_grad=True)
        >>> optimizer, scaler = gg.optim.SGD([w], lr=0.1), gg.GradScaler()
        >>> with gg.autocast("float16"):
        ...     loss = (w * w).sum()
        >>> scaler.scale(loss).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> w.detach(), scaler.get_scale()
        (tensor([0.8, 0.8, 0.8]), 65536.0)
    """

    def __init__(
        self,
        device: Any = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if isinstance(device, int | float):
            raise TypeError(f"[GradScaler] device = {device}; the first scale is init_scale={device}")
        good = init_scale > 0 and growth_factor > 1 and 0 < backoff_factor < 1 and growth_interval > 0
        if enabled and not good:
            raise ValueError(
                f"[GradScaler] init_scale = {init_scale}, growth_factor = {growth_factor}, backoff_factor = "
                f"{backoff_factor}, growth_interval = {growth_interval}; expected above 0, above 1, in (0, 1), above 0"
            )
        self._enabled = enabled
        self._scale, self._good_steps = float(init_scale), 0
        self._growth, self._backoff, self._interval = growth_factor, backoff_factor, growth_interval
        # By optimizer: what its gradients showed (sums of squares, then one truth; on GPUs flags by backend), and
        # whether it has stepped.
        self._found: dict[int, Any] = {}
        self._stepped: set[int] = set()
        self._there: Any = None  # the scale in the memory of GPUs, where it is the true one
        self._mixed = False  # losses or gradients on the CPU too: the host keeps the scale

    def _on(self, arrays: Iterable[Any]) -> Any:
        """The scale in the memory of the arrays' GPUs; None where the host keeps it."""
        backends: Any = [backend_of(a) for a in arrays]
        everywhere = all(backend.name == "cuda" for backend in backends)
        if self._there is None:
            self._mixed = self._mixed or len({backend.name for backend in backends}) > 1
            if backends and everywhere and not self._mixed:
                self._there = backends[0].loss_scale(self._scale, self._good_steps)
        elif not everywhere:
            self._scale, self._good_steps = self._there.read()
            self._there, self._mixed = None, True
        return self._there

    def _now(self) -> tuple[float, int]:
        """The scale and the good steps; waits for the device that has them."""
        return (self._scale, self._good_steps) if self._there is None else self._there.read()

    def scale(self, outputs: Any) -> Any:
        """A loss (or several, in a list or tuple) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)([self.scale(o) for o in outputs])
        if not isinstance(outputs, Tensor):
            raise TypeError(f"[GradScaler.scale] {type(outputs).__name__}; expected a tensor, or a list of tensors")
        if outputs.dtype.itemsize < 4:
            raise TypeError(
                f"[GradScaler.scale] the loss is {outputs.dtype}, in which the scaled one overflows; compute it "
                "in float32 (the losses do so under gg.autocast), or convert: loss.astype('float32')"
            )
        there = self._on([outputs.data])
        if there is None:
            return outputs * self._scale
        return outputs * new_tensor(there.factor(False, outputs.dtype, backend_of(outputs.data)), None)

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients of the optimizer's parameters by the scale, in place: what clipping by norm wants.

        `step` does it where nobody has.

        Raises:
            RuntimeError: called twice between two updates, or after `step`.
        """
        if not self._enabled:
            return
        if id(optimizer) in self._found:
            when = "after step()" if id(optimizer) in self._stepped else "twice"
            raise RuntimeError(f"[GradScaler.unscale_] called {when}; expected once for each optimizer before update()")
        sorted_ = list(_gradients(optimizer))
        there = self._on([grads[0] for grads in sorted_])
        if there is not None:
            self._found[id(optimizer)] = there.unscale(sorted_)
        else:
            self._found[id(optimizer)] = self._unscaled(sorted_)
        self._repeated(functools.partial(self._found.__setitem__, id(optimizer), self._found[id(optimizer)]))
        for grads in sorted_:
            for g in grads:
                mutation.changed(g, "GradScaler.unscale_")

    def _repeated(self, again: Callable[[], None]) -> None:
        """In a captured step: note in each replay what was noted now; where a recording fails, begin anew."""
        capture = capturing.current()
        if capture is not None:
            capture.repeat(again, self._begin, lambda: True)

    def _unscaled(self, sorted_: list[list[Any]]) -> list[Any]:
        """Divide gradients by the host's scale; gives the sum of squares of each list, on its device."""
        flags: list[Any] = []
        for grads in sorted_:
            backend = backend_of(grads[0])
            # A sum of squares is finite where all gradients are (and, in float32, below 1e19: far over any real one).
            with np.errstate(over="ignore", invalid="ignore"):
                flags.append(backend.optim.squared_norm(grads))
                backend.optim.scale(grads, 1.0 / self._scale)
        return flags

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """`optimizer.step(*args)` where all gradients are finite; without a step otherwise.

        Returns:
            What the optimizer's step returned; None for a skipped one, and for one that the device may skip.

        Raises:
            RuntimeError: a second call before `update`.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        key = id(optimizer)
        if key in self._stepped:
            raise RuntimeError("[GradScaler.step] called twice for one optimizer; call update() between steps")
        if key not in self._found:
            self.unscale_(optimizer)
        self._stepped.add(key)
        self._repeated(functools.partial(self._stepped.add, key))
        found = self._found[key]
        if isinstance(found, dict) and not args and not kwargs and optimizer.can_skip():
            optimizer.step_where_finite(found)
            return None
        return None if self._overflowed(key) else optimizer.step(*args, **kwargs)

    def _overflowed(self, key: int) -> bool:
        """Whether an optimizer's gradients held an infinity or a nan; reads the device the first time."""
        found = self._found[key]
        if isinstance(found, list):
            found = self._found[key] = not all(math.isfinite(float(flag)) for flag in found)
        elif isinstance(found, dict):  # the same on all devices
            return any(bool(backend.to_host(flag)[0]) for backend, flag in list(found.items())[:1])
        return bool(found)

    def update(self, new_scale: float | None = None) -> None:
        """Adapt the scale to what the steps since the last update found, or set it.

        Raises:
            RuntimeError: no gradients were unscaled since the last update.
            ValueError: `new_scale` is not above 0.
        """
        if not self._enabled:
            return
        if new_scale is not None:
            if not new_scale > 0:
                raise ValueError(f"[GradScaler.update] new_scale = {new_scale}; expected a number above 0")
            self._scale = float(new_scale)
            if self._there is not None:
                self._there.write(self._scale, self._now()[1])
        elif not self._found:
            raise RuntimeError("[GradScaler.update] no gradients were unscaled since the last one; call step() first")
        elif self._there is not None:
            self._there.adapt(self._growth, self._backoff, self._interval)
            for factors in self._there.factors:
                mutation.changed(factors, "GradScaler.update")
        elif any(self._overflowed(key) for key in list(self._found)):
            self._scale, self._good_steps = self._scale * self._backoff, 0
        else:
            self._good_steps += 1
            if self._good_steps == self._interval:
                grown = self._scale * self._growth
                # Above float32's range a scaled loss would be infinite for ever.
                self._scale, self._good_steps = (grown if grown < 1e38 else self._scale), 0
        self._begin()
        self._repeated(self._begin)

    def _begin(self) -> None:
        """Forget what was found since the last update."""
        self._found.clear()
        self._stepped.clear()

    def get_scale(self) -> float:
        """The scale; 1.0 when not enabled. Waits for the device."""
        return self._now()[0] if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self._growth

    def get_backoff_factor(self) -> float:
        """What the scale shrinks by after an overflow."""
        return self._backoff

    def get_growth_interval(self) -> int:
        """Successful iterations after which the scale grows."""
        return self._interval

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, under PyTorch's names; empty when not enabled. Waits for the device."""
        if not self._enabled:
            return {}
        scale, good_steps = self._now()
        return {
            "scale": scale,
            "growth_factor": self._growth,
            "backoff_factor": self._backoff,
            "growth_interval": self._interval,
            "_growth_tracker": good_steps,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, of this class or of PyTorch's.

        Raises:
            ValueError: an entry is missing: the state is that of a scaler that was not enabled.
        """
        if not self._enabled:
            return
        missing = [name for name in self.state_dict() if name not in state_dict]
        if missing:
            raise ValueError(
                f"[GradScaler.load_state_dict] {missing[0]!r} is missing; the state of a scaler that was not enabled "
                "is empty: start with a new one"
            )
        self._scale, self._good_steps = float(state_dict["scale"]), int(state_dict["_growth_tracker"])
        self._growth, self._backoff = float(state_dict["growth_factor"]), float(state_dict["backoff_factor"])
        self._interval = int(state_dict["growth_interval"])
        if self._there is not None:
            self._there.write(self._scale, self._good_steps)


def _gradients(optimizer: Optimizer) -> Iterable[list[Any]]:
    """The bare gradients of an optimizer's parameters, by device and dtype."""
    sorted_: dict[Any, list[Any]] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            grad = p._node.grad if type(p._node) is Leaf else None
            if grad is not None:
                capturing.reads([p._node])
                sorted_.setdefault((type(grad.data), grad.data.dtype, str(grad.device)), []).append(grad.data)
    return sorted_.values()
