"""Functions with derivatives of the user's own: `custom_vjp`, `custom_jvp` and `stop_gradient`, as JAX has them.

A call that is recorded becomes one node; the user's rules run on tensors and may be differentiated in their turn.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..backend import backend_of, is_array
from ..batching import running, within
from ..gradmode import enable_grad, recording
from ..lifting import here
from ..nodes import GradientError
from ..tensor import Tensor, new_tensor
from .record import nested, nesting
from .region import Region, RegionNode, arrays_of, as_node, starts, transposed
from .tree import flatten, tree_map


def stop_gradient(x: Any) -> Any:
    """`x` as a constant: the same values, through which no derivative goes.

    Args:
        x: tensor, array or number, or a structure of them.

    Returns:
        The same structure; tensors are detached, everything else is as it was.
    """
    return tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, x)


class _Custom:
    """What both kinds of custom functions share: which arguments are differentiated, and the call."""

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        if not callable(fun):
            raise TypeError(f"[{type(self).__name__}] expected a function, got {type(fun).__name__}")
        functools.update_wrapper(self, fun, updated=())  # `fun` may be a transform of a function with rules
        self.fun = fun
        self.name = getattr(fun, "__name__", type(fun).__name__)
        self.nondiff = tuple(sorted(nondiff_argnums))

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """As a method: the object is the first argument."""
        return self if owner is None else functools.partial(self, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's value, recorded with the rules that were given."""
        args = self._positional(args, kwargs)
        self._require_rules()
        chosen = [a for i, a in enumerate(args) if i not in self.nondiff]
        fixed = [args[i] for i in self.nondiff]
        leaves, build = flatten(tuple(chosen))
        if not recording() or not any(isinstance(t, Tensor) and t._node is not None for t in leaves):
            return self.fun(*args)
        if any(isinstance(t, Tensor) and t._node is not None for t in flatten(fixed)[0]):
            raise TypeError(
                f"[{self.name}] an argument of nondiff_argnums = {self.nondiff} requires a gradient; take it out of "
                "nondiff_argnums, or pass it through stop_gradient"
            )
        leaves = [here(t) if isinstance(t, Tensor) or is_array(t) else t for t in leaves]
        return self._record(args, fixed, leaves, build)

    def _record(self, args: tuple[Any, ...], fixed: list[Any], leaves: list[Any], build: Callable[..., Any]) -> Any:
        raise NotImplementedError

    def _require_rules(self) -> None:
        raise NotImplementedError

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments by position, with the defaults of those that were left out."""
        try:
            bound = inspect.signature(self.fun).bind(*args, **kwargs)
        except ValueError:  # builtins without a signature
            return args
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(
                f"[{self.name}] got the keyword-only arguments {', '.join(bound.kwargs)}; expected arguments that can "
                "be given by position, because the rules take them so"
            )
        return bound.args

    def _full(self, fixed: Sequence[Any], chosen: Sequence[Any]) -> list[Any]:
        """All arguments in the function's order."""
        rest, given = iter(chosen), dict(zip(self.nondiff, fixed, strict=True))
        return [given[i] if i in given else next(rest) for i in range(len(given) + len(chosen))]

    def _require_closed(self, outputs: list[Any]) -> None:
        if any(isinstance(o, Tensor) and o._node is not None for o in outputs):
            raise GradientError(
                f"[{self.name}] its result depends on a tensor that requires a gradient and is not among its "
                "arguments, which its rule knows nothing of; pass it as an argument, or through stop_gradient"
            )


class custom_vjp(_Custom):  # noqa: N801 - a decorator under JAX's name
    """A function whose reverse mode is given by the user.

    Args:
        fun: function of tensors, arrays or structures of them.
        nondiff_argnums: positions of arguments that are no inputs of the derivative (functions, settings); the
            backward rule gets them first.

    `f.defvjp(fwd, bwd)` sets the rules. `fwd(*args)` returns the output and the residuals, anything that `bwd` needs.
    `bwd(*nondiff_args, residuals, cotangent)` returns a tuple with one cotangent for each differentiable argument, of
    its structure and shapes; None stands for zeros. Both run on tensors and may be differentiated again; the rule is
    the function's derivative at every order (as in PyTorch; where it is not the true one, JAX differentiates `fwd` in
    the second). Forward mode takes the transpose of `bwd`.

    Raises:
        GradientError: the rules are not set, `bwd` returned what does not fit, or the function reads a tensor that
            requires a gradient and is not an argument.

    Example, a gradient that is clipped on its way:
        >>> import gpugrad as gg
        >>> @gg.custom_vjp
        ... def gentle(x):
        ...     return x
        >>> gentle.defvjp(lambda x: (x, None), lambda _, g: (gg.clip(g, -1.0, 1.0),))
        >>> float(gg.grad(lambda x: 5.0 * gentle(x))(2.0))
        1.0
    """

    fwd: Callable[..., Any] | None = None
    bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the rules: `fwd(*args) -> (output, residuals)`, `bwd(*nondiff, residuals, cotangent) -> cotangents`."""
        self.fwd, self.bwd = fwd, bwd

    def _require_rules(self) -> None:
        if self.fwd is None:
            raise GradientError(f"[{self.name}] has no rules yet; set them with {self.name}.defvjp(fwd, bwd)")

    def _record(self, args: tuple[Any, ...], fixed: list[Any], leaves: list[Any], build: Callable[..., Any]) -> Any:
        region = _BackwardRule(self, fixed, build)
        output, residuals = region.forward([t.detach() if isinstance(t, Tensor) else t for t in leaves])
        self._require_closed(flatten(output)[0])
        arrays, build_output = arrays_of(output, self.name)
        region.output = build_output
        kept, region.residuals = flatten(residuals)
        self._require_closed(kept)
        region.tensors = [isinstance(k, Tensor) for k in kept]
        bare = [k.data if isinstance(k, Tensor) else k for k in kept]
        return build_output(list(as_node(region, leaves, bare, (), arrays)))


class _BackwardRule(Region):
    """The call of a `custom_vjp`."""

    output: Callable[[list[Any]], Any]
    residuals: Callable[[list[Any]], Any]
    tensors: list[bool]

    def __init__(self, owner: custom_vjp, fixed: list[Any], build: Callable[[list[Any]], Any]) -> None:
        self.owner, self.fixed, self.build, self.name = owner, fixed, build, owner.name
        self.maps = running()

    def forward(self, leaves: list[Any]) -> tuple[Any, Any]:
        """What the forward rule gives, checked."""
        with enable_grad():
            result = self.owner.fwd(*self.owner._full(self.fixed, self.build(leaves)))  # type: ignore[misc]
        if not isinstance(result, tuple) or len(result) != 2:
            raise GradientError(
                f"[{self.name}] its fwd returned {type(result).__name__}; expected a tuple (output, residuals)"
            )
        return result

    def _residuals(self, node: RegionNode, inputs: list[Any], graph: bool) -> Any:
        if graph:  # those that were kept lead nowhere; computed again they lead to the arguments
            with within(self.maps), nested(nesting() + 1):
                return self.forward(inputs)[1]
        kept = node.saved[node.count :]
        return self.residuals([new_tensor(k, None) if t else k for k, t in zip(kept, self.tensors, strict=True)])

    def _backward(self, node: RegionNode, residuals: Any, cotangents: list[Any]) -> list[Any]:
        """The arguments' cotangents by leaf, checked."""
        given = self.owner.bwd(*self.fixed, residuals, self.output(cotangents))  # type: ignore[misc]
        chosen = self.build(list(range(node.count)))
        if not isinstance(given, tuple | list) or len(given) != len(chosen):
            what = f"{len(given)} cotangents" if isinstance(given, tuple | list) else type(given).__name__
            raise GradientError(
                f"[{self.name}] its bwd returned {what}; expected a tuple with one cotangent for each of its "
                f"{len(chosen)} differentiable arguments"
            )
        found: list[Any] = []
        for number, (g, argument) in enumerate(zip(given, chosen, strict=True)):
            places, _ = flatten(argument)
            values = [None] * len(places) if g is None else flatten(g)[0]
            if len(values) != len(places):
                raise GradientError(
                    f"[{self.name}] its bwd returned {len(values)} arrays as the cotangent of argument {number}; "
                    f"expected its structure, of {len(places)} arrays"
                )
            found += [self._fitting(v, node, place, number) for v, place in zip(values, places, strict=True)]
        return found

    def _fitting(self, value: Any, node: RegionNode, place: int, number: int) -> Any:
        parent = node.parents[place]
        if value is None or parent is None:
            return None
        value = value if isinstance(value, Tensor) else here(Tensor(value))
        if tuple(value.shape) != tuple(parent.shape):
            raise GradientError(
                f"[{self.name}] its bwd returned a cotangent of shape {tuple(value.shape)} for argument {number} of "
                f"shape {tuple(parent.shape)}; expected the same"
            )
        return value

    def back(self, node: RegionNode, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """The user's rule."""
        residuals = self._residuals(node, inputs, graph)
        with within((*self.maps, *running())), nested(nesting() + graph):
            return self._backward(node, residuals, list(cotangents))

    def forth(self, node: RegionNode, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """The transpose of the user's rule, which is linear in the cotangents."""
        with enable_grad():
            residuals = self._residuals(node, inputs, graph)
        like = next(t for t in inputs if isinstance(t, Tensor)).data
        at = starts(_empties(node, like))
        return transposed(lambda at: self._backward(node, residuals, at), at, tangents, graph, self.maps)


class custom_jvp(_Custom):  # noqa: N801 - a decorator under JAX's name
    """A function whose forward mode is given by the user; reverse mode is its transpose.

    Args:
        fun: function of tensors, arrays or structures of them.
        nondiff_argnums: positions of arguments that are no inputs of the derivative; the rule gets them first.

    `f.defjvp(jvp)` sets the rule: `jvp(*nondiff_args, primals, tangents)` returns the output and its tangent, both
    tuples of one entry for each differentiable argument. It must be linear in the tangents and made of operations that
    have derivatives. `f.defjvps(*jvps)` sets one for each argument instead: `jvps[i](tangent, output, *args)`.

    Raises:
        GradientError: the rule is not set or returned what does not fit, or the function reads a tensor that requires
            a gradient and is not an argument.

    Example:
        >>> import gpugrad as gg
        >>> @gg.custom_jvp
        ... def log1pexp(x):
        ...     return gg.log1p(gg.exp(x))
        >>> log1pexp.defjvps(lambda t, out, x: t * (1 - 1 / (1 + gg.exp(x))))
        >>> float(gg.grad(log1pexp)(100.0))
        1.0
    """

    rule: Callable[..., Any] | None = None

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule `jvp(*nondiff, primals, tangents) -> (output, tangent)`; gives it back, for decorating."""
        self.rule = jvp
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set a rule for each argument, `jvps[i](tangent, output, *args)`; None where the derivative is zero."""

        def rule(*all_of_them: Any) -> tuple[Any, Any]:
            *fixed, primals, tangents = all_of_them
            args = self._full(fixed, primals)
            out = self(*args)
            parts = [f(t, out, *args) for f, t in zip(jvps, tangents, strict=True) if f is not None]
            if not parts:
                return out, tree_map(lambda o: o * 0, out)
            return out, functools.reduce(_added, parts)

        self.rule = rule

    def _require_rules(self) -> None:
        if self.rule is None:
            raise GradientError(f"[{self.name}] has no rule yet; set it with {self.name}.defjvp(jvp)")

    def _record(self, args: tuple[Any, ...], fixed: list[Any], leaves: list[Any], build: Callable[..., Any]) -> Any:
        detached = [t.detach() if isinstance(t, Tensor) else t for t in leaves]
        with enable_grad():
            output = self.fun(*self._full(fixed, build(detached)))
        self._require_closed(flatten(output)[0])
        arrays, build_output = arrays_of(output, self.name)
        return build_output(list(as_node(_ForwardRule(self, fixed, build), leaves, (), (), arrays)))


def _added(a: Any, b: Any) -> Any:
    """The sum of two structures."""
    left, build = flatten(a)
    return build([x + y for x, y in zip(left, flatten(b)[0], strict=True)])


class _ForwardRule(Region):
    """The call of a `custom_jvp`."""

    def __init__(self, owner: custom_jvp, fixed: list[Any], build: Callable[[list[Any]], Any]) -> None:
        self.owner, self.fixed, self.build, self.name = owner, fixed, build, owner.name
        self.maps = running()

    def _tangents(self, node: RegionNode, inputs: list[Any], tangents: list[Any]) -> list[Any]:
        """The outputs' tangents from those of the leaves, checked."""
        zeros = [
            t if t is not None else 0.0 if not isinstance(x, Tensor) else new_tensor(_zeros(x), None)
            for t, x in zip(tangents, inputs, strict=True)
        ]
        result = self.owner.rule(*self.fixed, self.build(inputs), self.build(zeros))  # type: ignore[misc]
        if not isinstance(result, tuple) or len(result) != 2:
            raise GradientError(
                f"[{self.name}] its jvp returned {type(result).__name__}; expected a tuple (output, tangent)"
            )
        found = [t if t is None or isinstance(t, Tensor) else here(Tensor(t)) for t in flatten(result[1])[0]]
        shapes = [None if t is None else tuple(t.shape) for t in found]
        wanted = [tuple(s) for s in node.shape]
        if len(shapes) != len(wanted) or any(s not in (None, w) for s, w in zip(shapes, wanted, strict=True)):
            raise GradientError(
                f"[{self.name}] its jvp returned tangents of shapes {shapes} for outputs of shapes {wanted}; expected "
                "the same"
            )
        return found

    def back(self, node: RegionNode, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """The transpose of the user's rule, which is linear in the tangents."""
        at = [
            starts([x.data])[0] if isinstance(x, Tensor) and parent is not None else None
            for x, parent in zip(inputs, node.parents, strict=True)
        ]
        return transposed(lambda given: self._tangents(node, inputs, given), at, cotangents, graph, self.maps)

    def forth(self, node: RegionNode, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """The user's rule."""
        with within((*self.maps, *running())), nested(nesting() + graph):
            return self._tangents(node, inputs, list(tangents))


def _zeros(x: Tensor) -> Any:
    return starts([x.data])[0].data if x.dtype.kind in "fcV" else x.data * 0  # type: ignore[union-attr]


def _empties(node: RegionNode, like: Any) -> list[Any]:
    """Arrays of the outputs' shapes and dtypes on the device (and in the maps) of `like`."""
    xp = backend_of(like).xp
    return [xp.zeros(shape, dtype) for shape, dtype in zip(node.shape, node.dtype, strict=True)]
