"""`Optimizer`: parameter groups, their state, and one kernel call a step over all the arrays of a group.

What is gathered for a step (lists of bare arrays) is kept until something changes: a parameter's array, which of them
have gradients, or what the state holds. The update rules are in `rules` and `adaptive`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, TypeVar

import numpy as np

from .. import mutation
from ..backend import Backend, Fixed, backend_of, capturing, is_array
from ..gradmode import enable_grad
from ..nodes import Leaf
from ..tensor import Tensor, new_tensor
from . import own_updates

T = TypeVar("T")

# What schedules note in a group beside its options.
SCHEDULED: Final = frozenset(("initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"))


# How PyTorch's updates run, which is no choice here: all parameters of a dtype in one launch that can be recorded.
_WAYS: Final = ("foreach", "fused", "capturable")


def in_one_way(cls: type[T]) -> type[T]:
    """Let an optimizer's constructor take the options of PyTorch's that choose among implementations, and pass over."""
    init = cls.__init__

    @functools.wraps(init)
    def inner(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{name: value for name, value in kwargs.items() if name not in _WAYS})

    cls.__init__ = inner  # type: ignore[method-assign]
    return cls


class Bucket:
    """Parameters of a group that are updated in one call: those with a gradient, at the same step.

    Attributes:
        parameters: the tensors.
        arrays: their bare arrays.
        state: by name, a list of bare arrays in the same order.
        count: how many updates they have had, or would have had without a loss scale.
        skipped: how many of these a loss scale left out, (1,) int64 on the device; None where none can have been.
        backend: of their device.
    """

    __slots__ = ("arrays", "backend", "count", "parameters", "skipped", "state")

    def __init__(self, parameters: list[Tensor], state: dict[str, list[Any]], step: int) -> None:
        self.parameters = parameters
        self.arrays = Fixed([p.data for p in parameters])
        self.state, self.count = state, step
        self.skipped: Any = None
        self.backend: Backend = backend_of(self.arrays[0])

    @property
    def step(self) -> int:
        """How many updates they have had; waits for the device after steps under a loss scale there.

        Raises:
            CaptureError: a step is being recorded, whose replays would not count.
        """
        capturing.refuse("reads the number of steps in an update of one's own, which a replay would not count")
        return self.taken()

    def taken(self) -> int:
        """The same, wherever it is asked."""
        return self.count if self.skipped is None else self.count - int(self.backend.to_host(self.skipped)[0])


class Optimizer:
    """What all optimizers share.

    Args:
        params: tensors that require a gradient, or dictionaries of `params` and options that hold for them alone.
        defaults: options by name, for the groups that do not set them.

    Attributes:
        param_groups: a dictionary for each group; options such as `lr` may be changed between steps.
        state: for each parameter what the update keeps of the past, as tensors.

    Raises:
        ValueError: no parameters, a parameter twice, one that is a computed result, or an option out of range.
        TypeError: something that is not a tensor.
    """

    name: ClassVar[str] = "Optimizer"
    # The attributes of every optimizer; what a subclass adds is its update's to change.
    bookkeeping: ClassVar[frozenset[str]] = frozenset(
        ("defaults", "param_groups", "state", "_buckets", "_found", "_counts_on_host")
    )

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._buckets: list[list[Bucket] | None] = []
        self._found: Any = None  # a loss scale's verdict on the step being taken
        self._counts_on_host = False  # an update of one's own has changed more than arrays
        if isinstance(params, Tensor):
            raise TypeError(f"[{self.name}] params is a single tensor; expected several, e.g. [tensor]")
        groups = list(params)
        if not groups:
            raise ValueError(f"[{self.name}] params is empty; pass model.parameters() of a model that has parameters")
        for group in groups if isinstance(groups[0], Mapping) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Add parameters, `param_group["params"]`, with options of their own.

        Raises:
            ValueError, TypeError: as the constructor.
        """
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        unknown = [key for key in param_group if key not in ("params", *self.defaults, *SCHEDULED)]
        if unknown:
            raise ValueError(f"[{self.name}] unknown option {unknown[0]!r}; expected {', '.join(self.defaults)}")
        known = {id(p) for group in self.param_groups for p in group["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"[{self.name}] params[{i}] is a {type(p).__name__}; expected a tensor")
            if not p.is_leaf:
                raise ValueError(
                    f"[{self.name}] params[{i}] {p.shape} is the result of an operation: it gets no gradient of its "
                    "own; pass the tensors it was computed from, or x.detach().requires_grad_()"
                )
            if id(p) in known:
                raise ValueError(
                    f"[{self.name}] params[{i}] {p.shape} is given twice; each parameter belongs to one group"
                )
            known.add(id(p))
        group = {"params": params, **self.defaults, **{k: v for k, v in param_group.items() if k != "params"}}
        self.check_options(group)
        self.param_groups.append(group)
        self._buckets.append(None)

    def check_options(self, group: Mapping[str, Any]) -> None:
        """Make sure that a group's options are in range; each optimizer says what that is.

        Raises:
            ValueError: one is not.
        """
        self.require(group, lr=group["lr"] >= 0, weight_decay=group["weight_decay"] >= 0)

    def require(self, group: Mapping[str, Any], **held: bool) -> None:
        """Raise for the first option that does not hold what is expected of it.

        Raises:
            ValueError: names the option, its value and the range.
        """
        ranges = {"betas": "both in [0, 1)", "rho": "in [0, 1]", "nesterov": "momentum > 0 and dampening = 0 with it"}
        for option, holds in held.items():
            if not holds:
                expected = ranges.get(option, "a number of 0 or more")
                raise ValueError(f"[{self.name}] {option} = {group[option]}; expected {expected}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or (`set_to_none=False`) fill them with zeros in place."""
        for group in self.param_groups:
            for p in group["params"]:
                node = p._node
                if type(node) is Leaf:
                    node.clear(set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient, in place.

        Args:
            closure: computes the loss anew, with its gradients; called once, before the update.

        Returns:
            What the closure returned; None without one.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        what = f"{self.name}.step"
        for i, group in enumerate(self.param_groups):
            buckets = self._buckets[i]
            grads = None if buckets is None else self._gradients(group, buckets)
            if buckets is None or grads is None:
                buckets = self._buckets[i] = self._gather(group)
                grads = self._gradients(group, buckets)
                if grads is None:
                    continue
            capture = capturing.current()
            for bucket, gs in zip(buckets, grads, strict=True):
                self._advance(bucket, gs, group, what, self._found)
                if capture is not None:
                    self._captured(capture, i, bucket, gs, group, what)
            if len(buckets) > 1 and capture is None and _one_soon(buckets):
                self._keep_steps(buckets)
                self._buckets[i] = None
        return loss

    def step_where_finite(self, found: Any) -> None:
        """A step that the device leaves out where `found` is not 0; without waiting for it.

        Args:
            found: by backend of the parameters, (1,) int32 there, as `backend.loss_scale` finds it; see `can_skip`.
        """
        self._found = found
        try:
            self.step()
        finally:
            self._found = None

    def can_skip(self) -> bool:
        """Whether `step_where_finite` can leave all updates out: on GPUs, where the host has nothing to take back.

        An `update` of one's own can be taken back unless it changes more than the arrays it is given (found out when it
        first does), or the object has attributes of its own that are no numbers or texts.
        """
        given = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        own = {k: v for k, v in vars(self).items() if k not in self.bookkeeping}
        takes_back = not self._counts_on_host and all(map(own_updates.is_plain, own.values()))
        ours = type(self).step is Optimizer.step and (self.is_fused() or takes_back)
        return ours and all(backend_of(p.data).name == "cuda" for p in given)

    def is_fused(self) -> bool:
        """Whether the updates are kernels of gg.optim, which read a step's verdict and a graph's numbers themselves."""
        return False

    def _advance(self, bucket: Bucket, grads: list[Any], group: dict[str, Any], what: str, found: Any) -> None:
        capture = capturing.current()
        here = None
        if found is None:
            if bucket.skipped is not None:
                bucket.count, bucket.skipped = bucket.taken(), None
        else:
            if bucket.skipped is None:
                capturing.refuse("starts to count skipped steps, which a replay would start again")
                bucket.skipped = bucket.backend.xp.zeros(1, np.int64)
            here = found[bucket.backend]
        if not self.is_fused():
            if capture is None or not capture.refilling:  # a replay does what it did to the arrays
                with bucket.backend.place():
                    self._counts_on_host |= own_updates.run(self, bucket, grads, group, here)
        elif here is None:
            self.update(bucket, grads, group)
        else:
            with bucket.backend.optim.guarded(here, bucket.skipped, bucket.count + 1):
                self.update(bucket, grads, group)
        if here is not None:
            bucket.backend.optim.count_skip(here, bucket.skipped)
        bucket.count += 1
        changed = mutation.changed
        for array in bucket.arrays:
            changed(array, what)

    def _captured(self, capture: Any, i: int, bucket: Bucket, grads: list[Any], group: Any, what: str) -> None:
        """Tell a captured step what to do on the host in each replay, how to undo this one, and when it is outdated."""
        found, skipped = self._found, bucket.skipped
        options = self._recorded(group, found)

        def undo() -> None:
            bucket.count -= 1

        def current() -> bool:
            buckets = self._buckets[i]
            same = buckets is not None and any(b is bucket for b in buckets) and bucket.skipped is skipped
            as_then = same and self._recorded(group, found) == options
            return as_then and all(p.data is a for p, a in zip(bucket.parameters, bucket.arrays, strict=True))

        capturing.reads([p._node for p in bucket.parameters])
        capture.repeat(lambda: self._advance(bucket, grads, group, what, found), undo, current)

    def _recorded(self, group: Mapping[str, Any], found: Any) -> dict[str, Any]:
        """The options that a graph keeps as they were; rate and momentum a replay of our own kernels reads anew."""
        options = {k: v for k, v in group.items() if k != "params" and k not in SCHEDULED}
        if self.is_fused():
            del options["lr"]
            if "momentum" in options:
                options["momentum"] = bool(options["momentum"])
            if "betas" in options and (found is None or not hasattr(self, "schedule")):
                options["betas"] = options["betas"][1]
        return options

    def update(self, bucket: Bucket, grads: list[Any], group: dict[str, Any]) -> None:
        """Write the new values into `bucket.arrays`, and the new state into `bucket.state`, in place.

        Args:
            bucket: bare arrays of one device and dtype, and how many updates they have had (`bucket.step`).
            grads: the gradients.
            group: the options.

        A subclass may define one of any operations on arrays. Under a `GradScaler` on GPUs it runs in every step, and
        the device takes it back where the gradients overflowed: nothing waits, unless it reads `bucket.step` or changes
        something on the host (attributes, options, random numbers). In a step of `gg.compile` it is recorded where it
        does neither; options that change have it recorded anew. What it changes outside its optimizer, nobody sees.
        """
        raise NotImplementedError(f"[{self.name}] defines no update")

    def new_state(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Names of the arrays that an update of this group keeps for each parameter; see `first_value`."""
        return ()

    def first_value(self, name: str, group: Mapping[str, Any]) -> float:
        """What the elements of a new state are."""
        return 0.0

    def _gradients(self, group: dict[str, Any], buckets: list[Bucket]) -> list[list[Any]] | None:
        """The gradients for each bucket; None where the buckets do not describe the parameters any more."""
        found = []
        count = 0
        for bucket in buckets:
            grads = []
            for p, array in zip(bucket.parameters, bucket.arrays, strict=True):
                grad = p._node.grad if type(p._node) is Leaf else None
                if grad is None or p.data is not array:
                    return None
                grads.append(grad.data)
            count += len(grads)
            found.append(grads)
        if count != len(group["params"]):
            with_grad = sum(type(p._node) is Leaf and p._node.grad is not None for p in group["params"])
            if with_grad != count:
                return None
        return found

    def _gather(self, group: dict[str, Any]) -> list[Bucket]:
        """The parameters that have gradients, by step and device, with their state."""
        self._keep_steps([b for buckets in self._buckets for b in buckets or ()])
        names = self.new_state(group)
        sorted_: dict[Any, list[Tensor]] = {}
        for p in group["params"]:
            if p.grad is None:
                continue
            state = self.state.setdefault(p, {"step": 0})
            for name in names:
                held = state.get(name)
                if held is None:
                    capturing.refuse("starts an optimizer's state, which a replay would start again")
                    first = self.first_value(name, group)
                    start = complex(first, first) if p.dtype.kind == "c" else first  # of both parts
                    array = backend_of(p.data).xp.zeros_like(p.data)
                    if start:
                        backend_of(p.data).put(array, ..., start)
                    state[name] = new_tensor(array, None)
                elif type(held.data) is not type(p.data) or held.dtype != p.dtype:
                    state[name] = held.to(p.device, p.dtype)
            sorted_.setdefault((state["step"], type(p.data), p.dtype, str(p.device)), []).append(p)
        return [
            Bucket(ps, {name: [self.state[p][name].data for p in ps] for name in names}, key[0])
            for key, ps in sorted_.items()
        ]

    def _keep_steps(self, buckets: list[Bucket]) -> None:
        """Write the step counts of buckets back to the state of their parameters."""
        for bucket in buckets:
            step = bucket.taken()
            for p in bucket.parameters:
                self.state[p]["step"] = step

    def state_dict(self) -> dict[str, Any]:
        """State and options in PyTorch's layout: parameters are numbered through the groups.

        Returns:
            `{"state": {number: {name: tensor}}, "param_groups": [{option: value, "params": numbers}]}`; the tensors
            share memory with the optimizer.
        """
        self._keep_steps([b for buckets in self._buckets for b in buckets or ()])
        numbers = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        groups = [{**group, "params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups]
        return {"state": {numbers[id(p)]: dict(state) for p, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave, of this optimizer or of PyTorch's; values are copied.

        Raises:
            ValueError: other numbers of groups or parameters, or state of another shape; nothing is loaded then.
        """
        groups, saved = state_dict["param_groups"], state_dict["state"]
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(
                f"[{self.name}.load_state_dict] groups of {sizes} parameters; this optimizer has groups of {own}"
            )
        order = [p for group in self.param_groups for p in group["params"]]
        keys = [key for group in groups for key in group["params"]]
        state: dict[Tensor, dict[str, Any]] = {}
        for key, p in zip(keys, order, strict=True):
            if key in saved:
                held = {name: value for name, value in saved[key].items() if value is not None}
                state[p] = {name: self._loaded(name, value, p) for name, value in held.items()}
                state[p].setdefault("step", 1)
        for group, other in zip(self.param_groups, groups, strict=True):
            group.update({k: v for k, v in other.items() if k in self.defaults or k in SCHEDULED})
        self.state = state
        self._buckets = [None] * len(self.param_groups)

    def _loaded(self, name: str, value: Any, p: Tensor) -> Any:
        """One entry of a parameter's state, as it is kept: the step a number, the rest like the parameter."""
        if name == "step":
            return int(value.item() if hasattr(value, "item") else value)
        array = value.data if isinstance(value, Tensor) else value if is_array(value) else np.asarray(value)
        if array.shape != p.shape:
            raise ValueError(
                f"[{self.name}.load_state_dict] {name} has shape {array.shape}, its parameter {p.shape}; expected "
                "one shape"
            )
        backend = backend_of(p.data)
        kept = backend.xp.empty_like(p.data)  # in the parameter's order of memory: updates go through both as one line
        backend.put(kept, ..., backend.receive(array, backend_of(array)).astype(p.dtype))
        return new_tensor(kept, None)

    def __repr__(self) -> str:
        lines = [f"{self.name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}: {sum(p.data.size for p in group['params'])} values")
            lines += [f"    {k}: {v}" for k, v in sorted(group.items()) if k != "params"]
        return "\n".join([*lines, ")"])


def _one_soon(buckets: list[Bucket]) -> bool:
    """Whether some are of one kind and at the same step by now; after steps under a loss scale only a device knows."""
    kinds = [(b.backend, b.arrays[0].dtype, b.count) for b in buckets if b.skipped is None]
    return len(set(kinds)) < len(kinds)
