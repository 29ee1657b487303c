"""`Tensor`: an array and its node on the tape, with its conversions and Python's own protocols.

What an operation computes lives in `ops`; the methods that only call an operation are in `methods`, what other
libraries call in `protocols`. `apply` is the one place where a `Primitive` meets tensors.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from . import anomaly, arithmetic, mutation, nodes, views
from .backend import Device, WrappedArray, backend_for, backend_of, device, is_array
from .backend.capturing import refuse
from .backend.placing import MANY, elsewhere
from .batching import USED
from .casting import CASTING, cast
from .exhausted import exhausted
from .gradmode import recording, short_way
from .inplace import InPlace
from .lifting import on_one_level
from .methods import Methods
from .methods.layout import wanted
from .nodes import Alias, GradientError, Leaf, Node, PrimitiveNode, Retained
from .primitive import FUNCTIONS, Primitive
from .protocols import Protocols
from .tape import walk

_new = object.__new__


class Tensor(InPlace, Methods, Protocols):
    """An array that can be differentiated.

    Attributes:
        data: the NumPy or CuPy array, shared, not copied.
        grad: the gradient that `backward` left here, a tensor of the same shape and dtype; None before.
        requires_grad: whether operations on this tensor are recorded.

    Made by `gg.tensor`, `gg.zeros` and their kin. Python numbers never widen its dtype; otherwise NumPy's
    promotion rules hold.
    """

    __slots__ = ("__weakref__", "_node", "data")
    __array_priority__ = 1000

    data: Any
    _node: Node | None

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = data.data if isinstance(data, Tensor) else data if is_array(data) else np.asarray(data)
        self._node = None
        if requires_grad:
            self.requires_grad = True

    # What it is -------------------------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim  # type: ignore[no-any-return]

    @property
    def device(self) -> Device:
        """Where the array lives."""
        return backend_of(self.data).device

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.data.itemsize  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.data.nbytes  # type: ignore[no-any-return]

    @property
    def T(self) -> Tensor:  # noqa: N802 - NumPy's name
        """The tensor with its axes in reverse order."""
        return FUNCTIONS["transpose"](self)  # type: ignore[no-any-return]

    @property
    def mT(self) -> Tensor:  # noqa: N802 - the array API's name
        """The tensor with its last two axes swapped."""
        return FUNCTIONS["matrix_transpose"](self)  # type: ignore[no-any-return]

    @property
    def real(self) -> Tensor:
        """The real part."""
        return FUNCTIONS["real"](self)  # type: ignore[no-any-return]

    @property
    def imag(self) -> Tensor:
        """The imaginary part."""
        return FUNCTIONS["imag"](self)  # type: ignore[no-any-return]

    # The tape ---------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded; set it on tensors that are not results."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        node = self._node
        if node is not None and not node.leaf:
            if not wanted:
                raise GradientError(
                    f"[requires_grad] this tensor is the result of {node.name}: it cannot be switched off; "
                    "use x.detach()"
                )
        elif not wanted:
            self._node = None
        elif node is None:
            if self.data.dtype.kind not in "fcV":
                raise TypeError(
                    f"[requires_grad] dtype = {self.data.dtype}: only floating point and complex tensors have "
                    "gradients; convert first, e.g. x.astype(gg.float32)"
                )
            self._node = new_leaf(self.data)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set `requires_grad` in place; returns the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was made, not computed under the tape: its gradient arrives in `.grad`."""
        return self._node is None or self._node.leaf

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient of a leaf (of any tensor after `retain_grad`); None before the first `backward`."""
        node = self._node
        if isinstance(node, Leaf):
            return node.grad  # type: ignore[no-any-return]
        while type(node) is Alias and node.hook is not None:  # hooks may stand before what retains
            if isinstance(node.hook, Retained):
                return node.hook.grad  # type: ignore[no-any-return]
            node = node.parents
        return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        node = self._node
        if not isinstance(node, Leaf):
            if value is None:
                return
            raise GradientError("[grad] only a leaf with requires_grad has a gradient to set")
        if value is not None and (value.shape != node.shape or value.dtype != node.dtype):
            raise ValueError(
                f"[grad] shape {value.shape} {value.dtype} for a tensor of shape {node.shape} {node.dtype}; "
                "expected the same shape and dtype"
            )
        node.grad = value

    def retain_grad(self) -> None:
        """Keep the gradient of this result in `.grad`, as its hooks leave it (for its uses from here on)."""
        if self._node is None:
            raise GradientError("[retain_grad] the tensor does not require a gradient; call requires_grad_() first")
        hooked, node = None, self._node
        while type(node) is Alias and node.hook is not None and not isinstance(node.hook, Retained):
            hooked, node = node, node.parents
        if hooked is not None:
            hooked.parents = Alias.of(node, Retained())
        elif not node.leaf:
            self._node = views.hooked(node, Alias.of(node, Retained()))

    def register_hook(self, hook: Any) -> None:
        """Call `hook(g)` with this tensor's gradient during backward, for its uses from here on.

        What the hook returns, if anything, takes the gradient's place. On a leaf its uses from here on are meant too.
        """
        if self._node is None:
            raise GradientError("[register_hook] the tensor does not require a gradient; call requires_grad_() first")
        if self._node.leaf:
            raise GradientError("[register_hook] on a leaf: register it on a result, e.g. y = x.view_as(x)")
        self._node = views.hooked(self._node, Alias.of(self._node, hook))

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the derivative of this tensor to the `.grad` of every leaf that it was computed from.

        Args:
            gradient: cotangent of the tensor's shape; may be left out for a single element (then 1).
            retain_graph: keep what the graph holds, to walk it again.
            create_graph: record the backward pass itself, so that the gradients can be differentiated.

        Raises:
            GradientError: the tensor needs no gradient; no `gradient` for more than one element, or one of another
                shape; the graph was freed by an earlier walk; a kept value was changed in place since.
        """
        node = self._node
        if node is None:
            raise GradientError(
                "[backward] the tensor does not require a gradient and was not computed from one that does (or under "
                "no_grad); create the inputs with requires_grad=True"
            )
        g = self._cotangent(gradient, "backward")
        walk([(node, g if create_graph else g.data)], retain=retain_graph, graph=create_graph)

    def _cotangent(self, gradient: Any, who: str) -> Tensor:
        """The start of a backward pass as a tensor of this one's shape, dtype and device."""
        x = self.data
        if gradient is None:
            if x.size != 1:
                raise GradientError(
                    f"[{who}] the tensor has shape {x.shape}: only one of a single element can go without a gradient; "
                    f"pass gradient= of that shape, or reduce first, e.g. y.sum().{who}()"
                )
            return new_tensor(backend_of(x).ones_like(x), None)
        if not isinstance(gradient, (Tensor, WrappedArray)):
            gradient = backend_of(x).xp.asarray(gradient)
        g = gradient if isinstance(gradient, Tensor) else Tensor(gradient)
        g = on_one_level((g,), (x,))[0] if USED else g
        if g.shape != x.shape:
            raise GradientError(f"[{who}] gradient has shape {g.shape}; expected the tensor's shape {x.shape}")
        if g.dtype.kind == "c" and x.dtype.kind != "c":
            raise GradientError(f"[{who}] gradient is {g.dtype}, the tensor {x.dtype}; expected a real one")
        if type(g.data) is not type(x) and not isinstance(g.data, WrappedArray):
            raise GradientError(f"[{who}] gradient is on {g.device}, the tensor on {self.device}")
        return g if g.dtype == x.dtype else FUNCTIONS["astype"](g, x.dtype)

    def detach(self) -> Tensor:
        """A tensor on the same array that the tape does not know of."""
        out = new_tensor(self.data, None)
        if self._node is not None:
            views.seen(self, out)
        return out

    # In and out -------------------------------------------------------------------------------------------------

    def item(self, *index: Any) -> Any:
        """The single element, or the one at an index, as a Python number; waits for the device.

        Raises:
            ValueError: the tensor has more than one element, or none.
        """
        if index:
            refuse("reads values of the device")
            return self.data.item(*index)
        if self.data.size != 1:
            raise ValueError(f"[item] the tensor has shape {self.shape}; expected exactly one element")
        refuse("reads values of the device")
        return self.data.item()

    def tolist(self) -> Any:
        """The values as (nested lists of) Python numbers; waits for the device."""
        refuse("reads values of the device")
        return self.data.tolist()

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        """The tensor elsewhere, or as something else: `to("cuda")`, `to(gg.float64)`, `to(device, dtype)`, `to(other)`.

        Itself where nothing changes, unless `copy=True`. The gradient flows back across devices. `memory_format` is as
        in `contiguous`; `non_blocking` is passed over.
        """
        want, out = wanted("to", args, kwargs), self
        if want.dtype is not None and want.dtype != out.dtype:
            out = FUNCTIONS["astype"](out, want.dtype)
        if want.device is not None and device(want.device) != out.device:
            out = FUNCTIONS["to_device"](out, device(want.device))
        if want.order is not None:
            out = out.contiguous(want.order)
        return FUNCTIONS["clone"](out) if want.copy and out is self else out

    def cpu(self) -> Tensor:
        """The tensor in main memory (itself, if it is there)."""
        return self.to("cpu")

    def cuda(self, index: Any = None, non_blocking: bool = False) -> Tensor:
        """The tensor on a GPU (GPU 0 if not named); `non_blocking` is passed over."""
        return self.to(index or 0)

    def __reduce__(self) -> Any:
        host = backend_of(self.data).to_host(self.data)
        return _restore, (type(self), host, str(self.device), self._node is not None)

    def __deepcopy__(self, memo: Any) -> Tensor:
        if self._node is not None and not self._node.leaf:
            raise GradientError(f"[deepcopy] the tensor is the result of {self._node.name}; copy x.detach() instead")
        out = _new(type(self))
        with backend_of(self.data).place():
            out.data = self.data.copy()
        out._node = new_leaf(out.data) if self._node is not None else None
        memo[id(self)] = out
        return out

    # Python's own protocols -------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.data.ndim:
            raise TypeError("[len] the tensor has no axes (a single number)")
        return len(self.data)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        refuse("reads values of the device")
        return bool(self.data)

    def __float__(self) -> float:
        return float(self._number("float"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __complex__(self) -> complex:
        return complex(self._number("complex"))

    def _number(self, kind: str) -> Any:
        """The element for a conversion that NumPy and `math` ask for unseen; never in silence where a graph ends."""
        if self._node is not None:
            warnings.warn(
                f"[{kind}] a tensor that requires a gradient became a number, which ends its graph (as in "
                f"math.sin(t), array[0] = t); use a function of gpugrad, or say that it is meant with t.item()",
                stacklevel=3,
            )
        return self.item()

    def __index__(self) -> int:
        if self.data.dtype.kind not in "iu":
            raise TypeError(f"[index] a tensor of dtype {self.dtype} is no index; expected integers")
        return int(self.item())

    def __contains__(self, value: Any) -> bool:
        return bool((self.data == (value.data if isinstance(value, Tensor) else value)).any())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and self.data.size == 1 else str(self)

    def __repr__(self) -> str:
        if isinstance(self.data, WrappedArray):
            return f"tensor({self.data!r})"
        body = np.array2string(backend_of(self.data).to_host(self.data), separator=", ", prefix="tensor(", precision=4)
        extra = "" if self.dtype == np.float32 and body != "[]" else f", dtype={self.dtype}"
        if self.device.type != "cpu":
            extra += f", device='{self.device}'"
        if self._node is not None:
            extra += ", requires_grad=True" if self._node.leaf else f", node={self._node.name}"
        return f"tensor({body}{extra})"

    def __hash__(self) -> int:
        return id(self)


def _restore(kind: type[Tensor], host: Any, where: str, requires_grad: bool) -> Tensor:
    out = _new(kind)
    out.data, out._node = backend_for(where).from_host(host), None
    out.requires_grad = requires_grad
    return out


def new_tensor(data: Any, node: Node | None) -> Tensor:
    """A tensor on an array, as the result that `node` recorded."""
    out = _new(Tensor)
    out.data, out._node = data, node
    return out


def new_leaf(data: Any) -> Leaf:
    """The node of a tensor that is differentiated but not computed."""
    node = Leaf(data.shape, data.dtype)
    node.scalars = arithmetic.scalars_of(data)
    return node


def apply(prim: Primitive, args: tuple[Any, ...], static: dict[str, Any]) -> Any:
    """Run a primitive on arrays and tensors; record it where a tensor needs a gradient. Arrays in, arrays out."""
    if MANY and (there := elsewhere(prim.name, (*args, static.get("arrays", ())))) is not None:
        with there:
            return apply(prim, args, static)
    args = cast(prim.name, args) if CASTING else args
    args = tuple(on_one_level(args, static.get("arrays", ()))) if USED else args
    arrays: list[Any] = []
    parents: list[Node | None] = []
    tensors = recorded = False
    for a in args:
        if isinstance(a, Tensor):
            tensors = True
            node = a._node
            if node is not None:
                recorded = True
            arrays.append(a.data)
            parents.append(node)
        else:
            arrays.append(a)
            parents.append(None)
    result: Any
    try:
        if recorded and recording():
            result = _record(prim, arrays, tuple(parents), static)
        else:
            out, _ = prim.forward((False,) * len(arrays), *arrays, **static)
            if not tensors:
                return out
            result = tuple(new_tensor(o, None) for o in out) if prim.outputs > 1 else new_tensor(out, None)
    except MemoryError as error:
        raise exhausted(prim.name, arrays, parents, error) from error
    if prim.view and recorded:
        views.seen(args[0], result)
    return result


def _record(prim: Primitive, arrays: list[Any], parents: tuple[Node | None, ...], static: dict[str, Any]) -> Any:
    needs = tuple([p is not None for p in parents])
    out, extras = prim.forward(needs, *arrays, **static)
    node = PrimitiveNode()
    node.prim, node.needs, node.static, node.parents = prim, needs, static, parents
    kept = prim.keeper(needs)([*arrays, out])
    if prim.outputs > 1 and prim.keeps_output:
        kept = (*kept[:-1], *(kept[-1] or (None,) * prim.outputs))
    node.saved = (*kept, *extras)
    node.seq, node.scalars = mutation.tick(), None
    if not short_way() and anomaly.watching():
        anomaly.check_forward(prim.name, out, tuple(arrays))
        anomaly.note(node)
    if prim.outputs == 1:
        node.shape, node.dtype = out.shape, out.dtype
        return new_tensor(out, node)
    node.shape, node.dtype = tuple(o.shape for o in out), tuple(o.dtype for o in out)
    return nodes.outputs_of(node, out)


nodes._make[:] = [new_tensor]
views._apply[:] = [apply]
arithmetic.install(Tensor)
