"""L-BFGS, the quasi-Newton method for many parameters and no noise: PyTorch's options, state and results.

It is driven by the host: losses and slopes are read to decide on the next step, so it waits for the device, and cannot
be recorded. The line search is in `line_search`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..backend import Backend, backend_of, capturing, is_array
from ..gradmode import enable_grad
from ..mutation import changed
from ..tensor import Tensor, new_tensor
from .line_search import Point, search
from .optimizer import Optimizer

_LISTS = ("old_dirs", "old_stps", "ro")


class LBFGS(Optimizer):
    """The limited-memory method of Broyden, Fletcher, Goldfarb and Shanno (D. Liu and J. Nocedal 1989).

    A direction is the gradient times an approximation of the inverse Hessian, made of the last differences of gradients
    and of parameters. A call of `step(closure)` makes up to `max_iter` of them.

    Args:
        params: tensors, real ones of one device and dtype; there is one group of them only.
        lr: the length of a step, with a line search that of its first try. The very first is shorter:
            `min(1, 1 / sum(|g|)) * lr`.
        max_iter: directions a call.
        max_eval: evaluations of the closure a call; `max_iter * 5 // 4` if not given.
        tolerance_grad: a call ends where no element of the gradient is larger,
        tolerance_change: or where neither loss nor parameters change by more.
        history_size: how many differences are kept: twice as many vectors as long as all parameters together.
        line_search_fn: "strong_wolfe", or None for steps of fixed length.

    Raises:
        ValueError: an option is out of range, there are several groups, or parameters of several kinds.
        TypeError: from `step`, where there is no closure.
        CaptureError: a step is being recorded by `gg.compile`.

    Example:
        >>> import gpugrad as gg
        >>> w = gg.tensor([3.0, -2.0], requires_grad=True)
        >>> optimizer = gg.optim.LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((w - gg.tensor([1.0, 2.0])) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item()
        20.0
        >>> bool(closure().item() < 1e-10)
        True
    """

    name = "LBFGS"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        options: dict[str, Any] = {"lr": lr, "max_iter": max_iter}
        options["max_eval"] = max_iter * 5 // 4 if max_eval is None else max_eval
        options |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(params, {**options, "history_size": history_size, "line_search_fn": line_search_fn})

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Nothing negative, and a line search that there is."""
        counts = ("max_iter", "max_eval", "history_size")
        tolerances = ("lr", "tolerance_grad", "tolerance_change")
        self.require(group, **{name: group[name] >= 0 for name in (*tolerances, *counts)})
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise ValueError(f'[LBFGS] line_search_fn = {group["line_search_fn"]!r}; expected "strong_wolfe" or None')

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """The one group.

        Raises:
            ValueError: a second one, or parameters of several devices or dtypes, or complex ones.
        """
        if self.param_groups:
            raise ValueError("[LBFGS] a second group of parameters; expected one: all of them make one vector")
        super().add_param_group(param_group)
        params = self.param_groups[0]["params"]
        kinds = sorted({f"{p.dtype} on {p.device}" for p in params})
        if len(kinds) > 1 or params[0].dtype.kind != "f":
            self.param_groups.clear()
            raise ValueError(f"[LBFGS] parameters are {', '.join(kinds)}; expected real ones of one dtype and device")

    # Parameters and gradients as one vector ----------------------------------------------------------------------

    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    @property
    def _backend(self) -> Backend:
        return backend_of(self._params[0].data)

    def _gradient(self) -> Any:
        """All gradients one after the other; zeros where there is none."""
        xp = self._backend.xp
        return xp.concatenate(
            [(xp.zeros_like(p.data) if p.grad is None else p.grad.data).reshape(-1) for p in self._params]
        )

    def _move(self, arrays: list[Any], t: float, direction: Any) -> None:
        """Set the parameters to `arrays + t direction`, in place."""
        at = 0
        for p, start in zip(self._params, arrays, strict=True):
            part = direction[at : at + start.size].reshape(start.shape)
            p.data[...] = start + part * p.dtype.type(t)
            at += start.size
            changed(p.data, "LBFGS.step")

    # Steps ----------------------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to `max_iter` steps.

        Args:
            closure: clears the gradients, computes the loss and its gradients, and returns the loss. It is called again
                for every step, and within the line search.

        Returns:
            What the closure returned first.

        Raises:
            TypeError: there is no closure.
            CaptureError: a step is being recorded: how often the closure is called depends on its values.
        """
        if closure is None:
            raise TypeError("[LBFGS.step] no closure; expected one that computes the gradients and returns the loss")
        capturing.refuse("takes a step of LBFGS, which reads the loss to know how often to evaluate it")
        with self._backend.place():
            return self._steps(closure)

    def _steps(self, closure: Callable[[], Any]) -> Any:
        group, state = self.param_groups[0], self.state.setdefault(self._params[0], {})

        def evaluated() -> tuple[Any, float, Any]:
            with enable_grad():
                found = closure()
            return found, float(found.item() if hasattr(found, "item") else found), self._gradient()

        first, loss, g = evaluated()
        calls = 1
        memory = _Memory(state, group["history_size"])
        if float(abs(g).max()) > group["tolerance_grad"]:
            for i in range(group["max_iter"]):
                d, slope = memory.direction(g)
                t = group["lr"] * (min(1.0, 1.0 / float(abs(g).sum())) if memory.taken == 1 else 1.0)
                memory.remember(g, d, t, loss)
                if slope > -group["tolerance_change"]:
                    break
                last, arrays = i == group["max_iter"] - 1, [p.data.copy() for p in self._params]
                before = loss
                if group["line_search_fn"]:

                    def at(t: float, arrays: list[Any] = arrays, d: Any = d) -> Point:
                        self._move(arrays, t, d)
                        _, loss, g = evaluated()
                        return Point(t, loss, float(g.dot(d)), g)

                    longest, left = float(abs(d).max()), group["max_eval"] - calls
                    found, count = search(at, Point(0.0, loss, slope, g), t, longest, group["tolerance_change"], left)
                    t, loss, g = found.t, found.loss, found.gradient
                    self._move(arrays, t, d)
                    memory.t = t
                    calls += count
                else:
                    self._move(arrays, t, d)
                    if not last:  # with noise in the loss there is no use in knowing it here
                        _, loss, g = evaluated()
                        calls += 1
                small = float(abs(d).max()) * abs(t) <= group["tolerance_change"]
                still = small or abs(loss - before) < group["tolerance_change"]
                if last or still or calls >= group["max_eval"] or float(abs(g).max()) <= group["tolerance_grad"]:
                    break
        memory.keep(calls)
        return first

    # State ----------------------------------------------------------------------------------------------------------

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, of this optimizer or of PyTorch's; values are copied.

        Raises:
            ValueError: another number of groups or parameters, or vectors of another length; nothing is loaded then.
        """
        own, size = self._params[0], sum(p.size for p in self._params)
        backend, saved = self._backend, dict(next(iter(state_dict["state"].values()), {}))

        def loaded(name: str, value: Any) -> Any:
            if isinstance(value, list):
                return [loaded(name, v) for v in value if v is not None]
            array = value.data if isinstance(value, Tensor) else value if is_array(value) else np.asarray(value)
            if not array.ndim:
                return array.item()
            if array.shape != (size,):
                raise ValueError(
                    f"[LBFGS.load_state_dict] {name} has shape {array.shape}; the parameters have {size} elements"
                )
            return new_tensor(backend.receive(array, backend_of(array)).astype(own.dtype), None)

        state = {name: loaded(name, value) for name, value in saved.items() if value is not None and name != "al"}
        super().load_state_dict({**state_dict, "state": {}})
        self.state = {own: state} if state else {}


class _Memory:
    """The past of the steps, taken from an optimizer's state and kept there under PyTorch's names.

    Attributes:
        taken: how many directions there were.
        t: the length of the last step.
    """

    def __init__(self, state: dict[str, Any], size: int) -> None:
        self.state, self.size = state, size
        self.taken: int = state.get("n_iter", 0)
        self.t: float = state.get("t", 0.0)
        self._d, self._g = (None if state.get(k) is None else state[k].data for k in ("d", "prev_flat_grad"))
        changes, moves, inverses = (state.get(name, []) for name in _LISTS)
        self._pairs = [(y.data, s.data, r) for y, s, r in zip(changes, moves, inverses, strict=True)]
        self._scale: Any = state.get("H_diag", 1)
        self._loss = state.get("prev_loss")

    def direction(self, g: Any) -> tuple[Any, float]:
        """Where to go from gradient `g`, and the slope of the loss in that direction."""
        self.taken += 1
        if self._g is None:
            d = -g
            return d, float(g.dot(d))
        y, s = g - self._g, self._d * g.dtype.type(self.t)
        product = float(y.dot(s))
        if product > 1e-10:  # else the loss is not convex there
            self._pairs = [*self._pairs, (y, s, 1.0 / product)][-self.size :] if self.size else []
            self._scale = product / float(y.dot(y))
        # The two loops of Nocedal (1980); numbers of theirs stay on the device.
        d, shares = -g, []
        for y, s, inverse in reversed(self._pairs):
            share = s.dot(d) * g.dtype.type(inverse)
            shares.append(share)
            d -= y * share
        d *= g.dtype.type(self._scale)
        for (y, s, inverse), share in zip(self._pairs, reversed(shares), strict=True):
            d += s * (share - y.dot(d) * g.dtype.type(inverse))
        return d, float(g.dot(d))

    def remember(self, g: Any, d: Any, t: float, loss: float) -> None:
        """What the next direction is compared with."""
        self._g, self._d, self.t, self._loss = g, d, t, loss

    def keep(self, calls: int) -> None:
        """Write it to the state."""
        self.state["func_evals"] = self.state.get("func_evals", 0) + calls
        self.state["n_iter"] = self.taken
        if self._g is not None:
            columns = list(zip(*self._pairs, strict=True)) or [(), (), ()]
            lists = [*([new_tensor(a, None) for a in each] for each in columns[:2]), list(columns[2])]
            self.state.update(zip(_LISTS, lists, strict=True))
            self.state.update(d=new_tensor(self._d, None), prev_flat_grad=new_tensor(self._g, None))
            self.state.update(t=self.t, H_diag=self._scale, prev_loss=self._loss)
