"""PyTorch's `torch.autograd`: gradients of tensors by tensors, and operations with a backward of the user's own.

The transforms (`gg.grad`, `gg.custom_vjp`) are the same for functions; `tape.walk` is what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .gradmode import enable_grad as enable_grad
from .gradmode import no_grad as no_grad
from .nodes import GradientError, Leaf, Node
from .tape import walk
from .tensor import Tensor, new_tensor
from .transforms import GradientMismatchError, check_grads, custom_vjp


def _several(given: Any, what: str, who: str = "autograd.grad") -> list[Tensor]:
    """One tensor or several, as a list."""
    found = [given] if isinstance(given, Tensor) else list(given)
    for t in found:
        if not isinstance(t, Tensor):
            raise TypeError(
                f"[{who}] among {what} is a {type(t).__name__}; expected tensors (gg.grad takes functions)"
            )
    return found


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of tensors with respect to others, as `torch.autograd.grad`: no `.grad` is touched.

    Args:
        outputs: tensors that were computed from `inputs`, one or several.
        inputs: leaves or results on the way, one or several.
        grad_outputs: a cotangent of each output's shape; None, as a whole or for one, where it has a single element.
        retain_graph: keep what the graph holds, to walk it again; as `create_graph` if not given.
        create_graph: record the walk, so that the gradients can be differentiated.
        only_inputs: taken for PyTorch's sake; it is always so.
        allow_unused: give None for an input that the outputs do not depend on.
        materialize_grads: give zeros for such an input.

    Returns:
        A tuple with a tensor for each input, of its shape and dtype.

    Raises:
        GradientError: an output or an input needs no gradient; an input was not used and neither `allow_unused` nor
            `materialize_grads` is set; whatever `Tensor.backward` raises.

    Example, a gradient penalty:
        >>> import gpugrad as gg
        >>> x = gg.tensor([1.0, 2.0], requires_grad=True)
        >>> (slope,) = gg.autograd.grad((x**3).sum(), x, create_graph=True)
        >>> ((slope.norm() - 1) ** 2).backward()
        >>> x.grad.shape
        (2,)
    """
    names = "autograd.grad", "output", "grad_outputs"
    begin = _starts(_several(outputs, "outputs"), grad_outputs, create_graph, names)
    wanted = _several(inputs, "inputs")
    ends = _nodes("autograd.grad", "input", wanted)
    retain = create_graph if retain_graph is None else retain_graph
    found = walk(begin, targets=set(ends), retain=retain, graph=create_graph)
    unused, zeros = materialize_grads or bool(allow_unused), materialize_grads
    pairs = enumerate(zip(ends, wanted, strict=True))
    return tuple([_found(found.get(node), t, i, unused, zeros) for i, (node, t) in pairs])


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the derivatives of several tensors to the `.grad` of leaves, in one walk, as `torch.autograd.backward`.

    Args:
        tensors: one or several that were computed from leaves.
        grad_tensors: a cotangent of each one's shape; None, as a whole or for one, where it has a single element.
        retain_graph: keep what the graph holds, to walk it again; as `create_graph` if not given.
        create_graph: record the walk, so that the gradients can be differentiated.
        inputs: the only leaves whose `.grad` is added to; all if not given.

    Raises:
        GradientError: a tensor needs no gradient, or one of `inputs` is no leaf; whatever `Tensor.backward` raises.
    """
    who = "autograd.backward"
    begin = _starts(_several(tensors, "tensors", who), grad_tensors, create_graph, (who, "tensor", "grad_tensors"))
    retain = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        walk(begin, retain=retain, graph=create_graph)
        return
    leaves: set[Node] = set()
    for number, node in enumerate(_nodes(who, "input", _several(inputs, "inputs", who))):
        leaves.add(node)
        if not isinstance(node, Leaf):
            raise GradientError(
                f"[{who}] input {number} (shape {node.shape}) is no leaf; use autograd.grad for results"
            )
    for node, g in walk(begin, targets=leaves, retain=retain, graph=create_graph).items():
        if isinstance(node, Leaf):  # as all of them are
            node.accumulate(g, False)


def _starts(tensors: list[Tensor], given: Any, graph: bool, names: tuple[str, str, str]) -> list[tuple[Node, Any]]:
    """Where a walk begins: nodes and their cotangents. The names are those of the function and of its arguments."""
    who, what, argument = names
    if given is None or isinstance(given, Tensor):
        given = [given] if given is not None else [None] * len(tensors)
    if len(given) != len(tensors):
        raise GradientError(f"[{who}] {len(given)} {argument} for {len(tensors)} {what}s; expected one each")
    begin = []
    for node, t, start in zip(_nodes(who, what, tensors), tensors, given, strict=True):
        g = t._cotangent(start, who)
        begin.append((node, g if graph else g.data))
    return begin


def _nodes(who: str, name: str, tensors: list[Tensor]) -> list[Node]:
    """The nodes of tensors, all of which must need gradients."""
    found = []
    for number, t in enumerate(tensors):
        if t._node is None:
            raise GradientError(
                f"[{who}] {name} {number} (shape {t.shape}) needs no gradient; create the inputs with "
                "requires_grad=True, and compute the outputs outside no_grad"
            )
        found.append(t._node)
    return found


def _found(g: Any, x: Tensor, number: int, unused: bool, zeros: bool) -> Any:
    """What the walk found for an input, as a tensor."""
    if g is not None:
        return g if isinstance(g, Tensor) else new_tensor(g, None)
    if not unused:
        raise GradientError(
            f"[autograd.grad] the outputs do not depend on input {number} (shape {x.shape}); say allow_unused=True for "
            "None, or materialize_grads=True for zeros"
        )
    return (x.detach() * 0).detach() if zeros else None


def gradcheck(
    func: Any, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3, raise_exception: bool = True
) -> bool:
    """Whether reverse mode agrees with central differences along random directions, as `torch.autograd.gradcheck`.

    Args:
        func: a function of tensors.
        inputs: a tensor, or a tuple of arguments; floating point ones are checked, in float64 for a sharp check.
        eps: step of the difference.
        atol: absolute tolerance.
        rtol: relative tolerance.
        raise_exception: raise where it does not, instead of returning False.

    Raises:
        GradientMismatchError: a derivative is off; `gg.check_grads`, which this calls, shows what.
    """
    inputs = inputs if isinstance(inputs, tuple | list) else (inputs,)
    try:
        check_grads(func, tuple(inputs), 1, ("rev",), atol=atol, rtol=rtol, eps=eps)
    except GradientMismatchError:
        if raise_exception:
            raise
        return False
    return True


class Context:
    """What the forward of a `Function` leaves for its backward: saved tensors, and any attributes.

    Attributes:
        needs_input_grad: for each argument of `apply`, whether its gradient is asked for.
        saved_tensors: what `save_for_backward` was given.
    """

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self.saved_tensors: tuple[Any, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (arguments or results) for the backward; in-place changes of them are noticed."""
        self.saved_tensors = tensors


class Function:
    """An operation with a backward of the user's own, as `torch.autograd.Function`.

    A subclass defines two static methods. `forward(ctx, *args)` computes on tensors without a graph. `backward(ctx,
    *cotangents)` returns one cotangent for each argument, None where there is none to give. `Sub.apply(*args)` calls
    it. Both run again where gradients of gradients are asked for; forward mode is the transpose of the backward.

    Raises:
        GradientError: `backward` returned another number of cotangents, or one of another shape.

    Example, a sign with the gradient of the identity:
        >>> import gpugrad as gg
        >>> class Sign(gg.autograd.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         return gg.sign(x)
        ...     @staticmethod
        ...     def backward(ctx, g):
        ...         return g
        >>> x = gg.tensor([-2.0, 3.0], requires_grad=True)
        >>> Sign.apply(x).sum().backward()
        >>> x.grad.tolist()
        [1.0, 1.0]
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """What the operation computes; a subclass defines it."""
        raise NotImplementedError("[autograd.Function] a subclass defines forward(ctx, *args), a static method")

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        """The cotangents of the arguments from those of the results; a subclass defines it."""
        raise NotImplementedError("[autograd.Function] a subclass defines backward(ctx, *cotangents), a static method")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the operation, and record it where an argument requires a gradient."""
        needs = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)

        def call(*args: Any) -> Any:
            return cls.forward(Context(needs), *args)

        def forward(*args: Any) -> Any:
            ctx = Context(needs)
            output = cls.forward(ctx, *args)
            saved, ctx.saved_tensors = ctx.saved_tensors, ()
            return output, (saved, ctx)

        def backward(residuals: Any, g: Any) -> tuple[Any, ...]:
            saved, ctx = residuals
            ctx.saved_tensors = saved
            try:
                given = cls.backward(ctx, *g) if isinstance(g, tuple) else cls.backward(ctx, g)
            finally:
                ctx.saved_tensors = ()  # the node holds them, and lets them go
            return tuple(given) if isinstance(given, tuple | list) else (given,)

        call.__name__ = cls.__name__
        rule = custom_vjp(call)
        rule.defvjp(forward, backward)
        return rule(*args)
