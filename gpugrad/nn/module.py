"""`Module` and `Parameter`: what a network is made of, how its tensors are named, saved, loaded and moved.

A module's parameters are those of its attributes that are `Parameter`s, its children those that are `Module`s, so
there is one record of them, the instance's own attributes. Layers live in `layers`, containers in `containers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import mutation
from ..backend import Backend, backend_for, backend_of, is_array
from ..backend import device as as_device
from ..backend.placing import placed
from ..backend.precision import bfloat16
from ..methods.layout import wanted
from ..nodes import Leaf
from ..ops.creation import tensor
from ..tensor import Tensor, new_tensor
from ..transforms.compiling import Compiled
from .hooks import Hooked, call

M = TypeVar("M", bound="Module")


class Parameter(Tensor):
    """A tensor that a module trains: it requires a gradient, and as an attribute of a module it is one of its own.

    Args:
        data: tensor or array, shared, not copied; a list becomes a new float32 tensor.
        requires_grad: False freezes it.
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data if isinstance(data, Tensor) or is_array(data) else tensor(data), requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that becomes a buffer of a module where it is assigned to an attribute; see `register_buffer`."""

    __slots__ = ("persistent",)

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        super().__init__(data)
        self.persistent = persistent


class LoadedKeys(NamedTuple):
    """What `load_state_dict` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module(Hooked):
    """A part of a network: parameters, buffers, modules inside it, and a `forward` that uses them.

    Attributes:
        training: whether layers that behave differently in training (Dropout) do so; set by `train` and `eval`.

    Example:
        >>> import gpugrad as gg
        >>> class Twice(gg.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.inner = gg.nn.Linear(3, 3)
        ...     def forward(self, x):
        ...         return self.inner(self.inner(x))
        >>> Twice()
        Twice(
          (inner): Linear(in_features=3, out_features=3, bias=True)
        )
        >>> [name for name, _ in Twice().named_parameters()]
        ['inner.weight', 'inner.bias']
    """

    training: bool = True
    _buffers: Mapping[str, bool] = {}  # names of the attributes that are buffers, and whether they are saved

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; a subclass defines it, and `module(x)` calls it.

        Raises:
            NotImplementedError: the subclass does not define it.
        """
        raise NotImplementedError(
            f"[{type(self).__name__}] defines no forward(self, x); a module that is called needs one"
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What `forward` gives, as the hooks leave it."""
        return call(self, args, kwargs) if self._hooks else self.forward(*args, **kwargs)

    def _forward_as(self, call: Callable[[], Any]) -> Any:
        """Run `call`, which does this module's forward in its place: whoever watches modules is told so."""
        return call()

    # Attributes -------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Buffer):
            self.register_buffer(name, Tensor(value), value.persistent)
            return
        if isinstance(value, Compiled) and isinstance(value.function, Module):
            raise TypeError(
                f"[{type(self).__name__}.{name}] a compiled {value.name} is no Module, its parameters would not be "
                "found; compile the module that is called, not one in it"
            )
        old = self.__dict__.get(name)
        if old is not None and value is not None:
            kind = Parameter if isinstance(old, Parameter) else Module if isinstance(old, Module) else object
            if not isinstance(value, kind):
                raise TypeError(
                    f"[{type(self).__name__}.{name}] cannot assign a {type(value).__name__}: the attribute holds a "
                    f"{kind.__name__} that would silently be lost; assign a gg.nn.{kind.__name__} or None"
                    + (", or change its values under gg.no_grad()" if kind is Parameter else "")
                )
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        if name in self._buffers:
            self._buffers = {k: v for k, v in self._buffers.items() if k != name}

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set a parameter by name; the same as assigning the attribute.

        Raises:
            TypeError: not a `Parameter` or None.
            ValueError: the name is no name of an attribute.
        """
        self._require_name(name, "register_parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"[register_parameter] {name!r} is a {type(param).__name__}; expected a Parameter or None")
        setattr(self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set a tensor that belongs to the module's state but is not trained: it moves and is saved with it.

        Args:
            name: its attribute.
            tensor: the tensor, or None for one that comes later.
            persistent: whether `state_dict` has it.

        Raises:
            TypeError: not a tensor or None.
            ValueError: the name is no name of an attribute.
        """
        self._require_name(name, "register_buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"[register_buffer] {name!r} is a {type(tensor).__name__}; expected a Tensor or None")
        self._buffers = {**self._buffers, name: persistent}
        setattr(self, name, tensor)

    def add_module(self, name: str, module: Module | None) -> None:
        """Set a module inside this one by name; the same as assigning the attribute.

        Raises:
            TypeError: not a `Module` or None.
            ValueError: the name is no name of an attribute.
        """
        self._require_name(name, "add_module")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"[add_module] {name!r} is a {type(module).__name__}; expected a Module or None")
        setattr(self, name, module)

    register_module = add_module

    def _require_name(self, name: str, who: str) -> None:
        if not name or "." in name:
            raise ValueError(f"[{who}] name = {name!r}; expected a non-empty string without a dot")
        held = self.__dict__.get(name)
        if hasattr(type(self), name) or not (held is None or isinstance(held, Tensor | Module)):
            raise ValueError(f"[{who}] name = {name!r} is taken: {type(self).__name__} has an attribute of that name")

    # What is in it ----------------------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside this one with their names, each once."""
        seen: set[int] = set()
        for name, value in self.__dict__.items():
            if isinstance(value, Module) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, *, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all inside it, to any depth, with dotted names; a shared one once (or at each place)."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if remove_duplicate and id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            inside = [(k, v) for k, v in module.__dict__.items() if isinstance(v, Module)]
            stack.extend((f"{name}.{k}" if name else k, v) for k, v in reversed(inside))

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, to any depth, each once."""
        return (module for _, module in self.named_modules())

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name, e.g. "encoder.0"; "" is this one.

        Raises:
            AttributeError: there is none of that name.
        """
        found = dict(self.named_modules(remove_duplicate=False)).get(target)
        if found is None:
            raise AttributeError(f"[get_submodule] {type(self).__name__} has no module {target!r}")
        return found

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of a dotted name.

        Raises:
            AttributeError: there is none of that name.
        """
        found = dict(self.named_parameters(remove_duplicate=False)).get(target)
        if found is None:
            raise AttributeError(f"[get_parameter] {type(self).__name__} has no parameter {target!r}")
        return found

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with dotted names, this module's own first; a shared one under its first name only.

        Args:
            prefix: put in front of every name.
            recurse: False for this module's own only.
            remove_duplicate: False to have a shared one under each of its names.
        """
        for name, value in self._named_tensors(prefix, recurse, remove_duplicate):
            if isinstance(value, Parameter):
                yield name, value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers with dotted names; arguments as `named_parameters`."""
        for name, value in self._named_tensors(prefix, recurse, remove_duplicate):
            if not isinstance(value, Parameter):
                yield name, value

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named_tensors(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True, saved: bool = False
    ) -> Iterator[tuple[str, Tensor]]:
        """Parameters, then buffers, of each module in turn; `saved` leaves out buffers that are not persistent."""
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        seen: set[int] = set()
        for path, module in modules:
            own: list[tuple[str, Tensor]] = [(k, v) for k, v in module.__dict__.items() if isinstance(v, Parameter)]
            held = module._buffers
            own += [(k, v) for k in held if isinstance(v := module.__dict__.get(k), Tensor) and (held[k] or not saved)]
            for key, value in own:
                if remove_duplicate and id(value) in seen:
                    continue
                seen.add(id(value))
                yield (f"{path}.{key}" if path else key), value

    # Saving and loading -----------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "") -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, detached; they share memory with the module."""
        named = self._named_tensors(prefix, remove_duplicate=False, saved=True)
        return {name: value.detach() for name, value in named}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> LoadedKeys:
        """Copy values into the parameters and buffers, in place: cast to their dtype, moved to their device.

        Args:
            state_dict: by dotted name tensors, arrays, or whatever NumPy makes an array of (PyTorch's tensors too).
            strict: whether the names must be exactly this module's. False leaves out what does not match.

        Returns:
            The names that were missing and those that are not the module's.

        Raises:
            ValueError: entries are missing, not the module's, or of another shape. The message lists all of them;
                nothing has been loaded then.
        """
        own = dict(self._named_tensors(remove_duplicate=False, saved=True))
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        values = {name: _as_array(state_dict[name]) for name in own if name in state_dict}
        misshapen = [name for name, value in values.items() if value.shape != own[name].shape]
        if misshapen or (strict and (missing or unexpected)):
            lines = [f"[load_state_dict] {type(self).__name__}: the entries do not fit, nothing was loaded"]
            if strict:
                lines += [f"  missing: {name} {own[name].shape} {own[name].dtype}" for name in missing]
                lines += [f"  not in the module: {name} {_as_array(state_dict[name]).shape}" for name in unexpected]
            lines += [f"  wrong shape: {name} {values[name].shape}; expected {own[name].shape}" for name in misshapen]
            if strict and (missing or unexpected):
                lines.append("build the module that was saved, or pass strict=False to load only the names that match")
            raise ValueError("\n".join(lines))
        for name, value in values.items():
            target = own[name].data
            home = backend_of(target)
            with home.place():
                target[...] = _moved(value, home)
            mutation.changed(target, "load_state_dict")
        return LoadedKeys(missing, unexpected)

    # Changing all of it -----------------------------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move the module's tensors to a device and/or give its floating point ones a dtype, in place.

        Args:
            *args: a device ("cuda", "cpu", a number, `gg.device`), a dtype, or both; or a tensor that has them.
            **kwargs: `device`, `dtype`; `non_blocking` and `memory_format` are passed over: a layer's parameters lie in
                the order that suits their device.

        Returns:
            The module itself; parameters stay the same objects, so an optimizer's references stay good.

        Raises:
            TypeError: unknown argument, or a dtype that is not floating point.
            DeviceError: the device is not there.
        """
        where, dtype, _, _ = wanted("Module.to", args, kwargs)
        if dtype is not None and dtype.kind not in "fcV":
            raise TypeError(f"[Module.to] dtype = {dtype}; a module takes floating point dtypes only")
        backend = None if where is None else backend_for(as_device(where))
        for _, value in self._named_tensors():
            _convert(value, backend, dtype if value.dtype.kind in "fcV" else None)
        for module in self.modules():
            module._lay_out()
        return self

    def _lay_out(self) -> None:
        """Bring parameters into the order of memory that suits their device: nothing, but for some layers."""

    def cpu(self) -> Any:
        """Move the module to main memory, in place; returns it."""
        return self.to("cpu")

    def cuda(self, device: Any = None) -> Any:
        """Move the module to a GPU (GPU 0 if not named), in place; returns it."""
        return self.to(device or 0)

    def float(self) -> Any:
        """Make floating point parameters and buffers float32, in place; returns the module."""
        return self.to(dtype=np.float32)

    def double(self) -> Any:
        """Make floating point parameters and buffers float64, in place; returns the module."""
        return self.to(dtype=np.float64)

    def half(self) -> Any:
        """Make floating point parameters and buffers float16, in place; returns the module."""
        return self.to(dtype=np.float16)

    def bfloat16(self) -> Any:
        """Make floating point parameters and buffers bfloat16, in place; returns the module."""
        return self.to(dtype=bfloat16("Module.bfloat16"))

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` with every module inside this one and then with this one; returns the module."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Set training mode here and in all modules inside; returns the module."""
        self.training = bool(mode)
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """Leave training mode, here and in all modules inside; returns the module."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Train the parameters, or freeze them; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or (`set_to_none=False`) fill them with zeros in place."""
        for parameter in self.parameters():
            if isinstance(parameter._node, Leaf):
                parameter._node.clear(set_to_none)

    # Showing it -------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The settings that the module's line in a printed network shows."""
        return ""

    def __repr__(self) -> str:
        extra, name = self.extra_repr(), type(self).__name__
        inside = [(k, v) for k, v in self.__dict__.items() if isinstance(v, Module)]
        if not inside:
            return f"{name}({extra})"
        lines = [extra] if extra else []
        lines += [f"({k}): {v!r}".replace("\n", "\n  ") for k, v in inside]
        return f"{name}(\n  " + "\n  ".join(lines) + "\n)"


def _as_array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value if is_array(value) else np.asarray(value)


def _moved(array: Any, backend: Backend | None) -> Any:
    """`array` on the device of `backend`."""
    home = backend_of(array)
    return array if backend is None or home.device == backend.device else backend.receive(array, home)


@placed
def _convert(value: Tensor, backend: Backend | None, dtype: Any) -> None:
    """Give a tensor memory elsewhere or of another dtype, in place, its gradient with it."""

    def changed(array: Any) -> Any:
        return _moved(array if dtype is None else array.astype(np.dtype(dtype), copy=False), backend)

    old, grad = value.data, value.grad
    value.data = changed(old)
    if value.data is not old and isinstance(value._node, Leaf):
        value._node = Leaf(value.data.shape, value.data.dtype)
        if grad is not None:
            value.grad = new_tensor(changed(grad.data), None)
