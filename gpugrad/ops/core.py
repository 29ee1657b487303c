"""`Elementwise`: an operation that is one formula, on arrays, tensors, and inside other formulas.

Its forward kernel, its fused backward kernel and its derivatives of every order all come from the formula. How a
function becomes one is in `defining`, the formulas are in `elementwise`; this module is how they run and are recorded.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from .. import anomaly, mutation
from ..backend import DeviceError, WrappedArray, backend_of, cpu, is_array
from ..casting import CASTING, cast
from ..exhausted import exhausted
from ..fusion import Expr, Formula, Vjp
from ..fusion.expr import substitute, var
from ..fusion.formula import unused
from ..gradmode import recording, short_way
from ..lifting import on_one_level
from ..nodes import Node
from ..primitive import Needs, Shape, picker
from ..signatures import UFUNC_OPTIONS, as_ufunc
from ..tensor import Tensor, new_tensor
from .arguments import holds_tensor, mixed
from .source import kernel_source

_NUMBERS: Final = (int, float, complex, np.generic)


class ElementwiseNode(Node):
    """A recorded elementwise operation; keeps what its backward formula for `needs` takes."""

    __slots__ = ("fresh", "needs", "op")
    op: Elementwise
    needs: Needs
    fresh: bool

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.op.name

    def vjp(self, g: Any) -> Any:
        plan = self.op.plan(self.needs)
        outs = plan.run(g, self.saved)
        if all(self.needs):
            return outs
        it = iter(outs)
        return tuple(next(it) if need else None for need in self.needs)

    def vjp_graph(self, g: Any) -> Any:
        plan = self.op.plan(self.needs)
        tied = plan.tie(self)
        it = iter([_apply(one, g, tied) for one in plan.single()])
        return tuple(next(it) if need else None for need in self.needs)

    def jvp(self, given: Any, graph: bool) -> Any:
        plan = self.op.plan(self.needs)
        tangents = given if self.single else [t for t, need in zip(given, self.needs, strict=True) if need]
        op, places = plan.forward(tuple([t is not None for t in tangents]))
        operands = [*tangents, *(plan.tie(self) if graph else self.saved)]
        return op(*[operands[k] for k in places]) if op is not None else operands[places[0]]


class UnaryNode(ElementwiseNode):
    """An elementwise operation with one input that needs a gradient and no other parent: no tuples on the way."""

    __slots__ = ()
    single = True

    def vjp(self, g: Any) -> Any:
        return self.op.plan(self.needs).run(g, self.saved)[0]

    def vjp_graph(self, g: Any) -> Any:
        plan = self.op.plan(self.needs)
        tied = plan.tie(self)
        return _apply(plan.single()[0], g, tied)


def _apply(one: tuple[Elementwise | None, tuple[int, ...]], g: Tensor, tied: list[Any]) -> Any:
    """One cotangent as a recorded operation on the output's cotangent and what was kept."""
    op, takes = one
    if op is None:
        return new_tensor(backend_of(g.data).xp.zeros_like(g.data), None)
    return op(*(g if i < 0 else tied[i] for i in takes))


_HANDED_ON, _ZERO = -1, -2  # where a cotangent comes from, if not from the kernel


def _is_given(output: Expr) -> bool:
    return output.op == "const" or (output.op == "input" and output.value == "g")


class _Plan:
    """The backward of one operation for one set of inputs that need gradients."""

    def __init__(self, vjp: Vjp) -> None:
        self.vjp = vjp
        self.residuals = vjp.residuals
        self.kept = picker(vjp.residuals)
        outputs = vjp.formula.outputs
        # A cotangent that is just `g` is handed on, one that is 0 needs no kernel, and equal ones are computed once.
        computed = tuple(dict.fromkeys(o for o in outputs if not _is_given(o)))
        places = {o: i for i, o in enumerate(computed)}
        self.sources = tuple(_ZERO if o.op == "const" else places.get(o, _HANDED_ON) for o in outputs)
        self.plain = len(computed) == len(outputs)
        self.fresh = _HANDED_ON not in self.sources and len(computed) == len(outputs) - self.sources.count(_ZERO)
        self.body = Formula(vjp.formula.name, vjp.formula.inputs, computed) if computed else None
        self._single: list[tuple[Elementwise | None, tuple[int, ...]]] | None = None
        self._forward: dict[Needs, tuple[Elementwise | None, tuple[int, ...]]] = {}

    def run(self, g: Any, saved: tuple[Any, ...]) -> tuple[Any, ...]:
        outs: Any = () if self.body is None else backend_of(g).kernel(self.body)(g, *saved)
        if type(outs) is not tuple:
            outs = (outs,)
        if self.plain:
            return outs  # type: ignore[no-any-return]
        return tuple(
            [g if k == _HANDED_ON else backend_of(g).xp.zeros_like(g) if k == _ZERO else outs[k] for k in self.sources]
        )

    def tie(self, node: ElementwiseNode) -> list[Any]:
        """What was kept, as tensors that are part of the graph again."""
        parents = (node.parents,) if node.single else node.parents
        tied = []
        needed = [i for i, need in enumerate(node.needs) if need]
        for position, value in zip(self.residuals, node.saved, strict=True):
            if not is_array(value):
                tied.append(value)
            elif position < 0:
                tied.append(new_tensor(value, node))
            else:
                parent = parents[0 if node.single else position] if position in needed else None
                tied.append(new_tensor(value, parent))
        return tied

    def forward(self, active: Needs) -> tuple[Elementwise | None, tuple[int, ...]]:
        """The output's tangent as an operation on some of (tangents, residuals), and which; None: the first as it is.

        The backward formula gives `g` times each partial derivative; the sum of the same with the tangents in place of
        `g` is the way forward, from the same residuals.
        """
        found = self._forward.get(active)
        if found is None:
            body, count = self.vjp.formula, len(self.vjp.wrt)
            g, total = body.variable(body.inputs[0]), None
            names = tuple(unused(f"t{k}", body.inputs) for k in range(count))
            for name, out, wanted in zip(names, body.outputs, active, strict=True):
                if wanted:
                    part = substitute((out,), {g: var(name)})[0]
                    total = part if total is None else total + part
            assert total is not None
            if total.op == "input":
                found = None, (names.index(str(total.value)),)
            else:
                whole = Formula(f"{body.name}_jvp", (*names, *body.inputs[1:]), (total,))
                used = whole.used or names[:1]  # a derivative of 0 still has the shape of the tangent
                op = Elementwise(Formula(whole.name, used, (total,)))
                found = op, tuple(whole.inputs.index(n) for n in used)
            self._forward[active] = found
        return found

    def single(self) -> list[tuple[Elementwise | None, tuple[int, ...]]]:
        """Each cotangent as an operation of its own, and which of (g = -1, residuals...) it takes."""
        if self._single is None:
            self._single = []
            names = self.vjp.formula.inputs
            for k, out in enumerate(self.vjp.formula.outputs):
                one = Formula(f"{self.vjp.formula.name}_{self.vjp.wrt[k]}", names, (out,))
                used = one.used
                one = Formula(one.name, used, (out,))
                op = Elementwise(one) if used else None
                self._single.append((op, tuple(names.index(n) - 1 for n in used)))
        return self._single


class Elementwise:
    """An elementwise operation: call it with arrays, tensors and numbers, by position or by the formula's names.

    Args:
        formula: the formula, one output.
        defaults: values of trailing inputs that may be left out.
        differentiable: False for operations whose result has no useful derivative; their results are constants.
    """

    def __init__(
        self,
        formula: Formula,
        defaults: dict[str, Any] | None = None,
        doc: str | None = None,
        differentiable: bool = True,
    ) -> None:
        self.formula = formula
        self.name = self.__name__ = formula.name
        self.__doc__ = doc
        self.differentiable = differentiable
        self._defaults = defaults or {}
        self._arity = len(formula.inputs)
        self._plans: dict[Needs, _Plan] = {}
        self._cpu: Any = None
        self._alone: _Plan | None = None

    def __repr__(self) -> str:
        return f"<elementwise {self.formula}>"

    def __deepcopy__(self, memo: Any) -> Elementwise:
        return self  # as functions do: a module that holds one as its activation can be copied

    def source(self, device: Any = "cpu", dtype: Any = np.float32, backward: bool = False) -> str:
        """The kernel's source as text: generated Python for "cpu" and "numba", CUDA C++ for "cuda".

        Args:
            device: "cpu", "numba" or "cuda" (no GPU is needed to print it).
            dtype: element type of the inputs.
            backward: the fused vector-Jacobian kernel instead of the forward.
        """
        formula = self.plan((True,) * self._arity).vjp.formula if backward else self.formula
        return kernel_source(formula, str(device), np.dtype(dtype))

    def flops(self, shapes: tuple[Shape, ...], out_shape: Shape) -> int:
        """Arithmetic operations of the forward, every function counted as one."""
        return self.formula.flops * math.prod(out_shape)

    def vjp_flops(self, shapes: tuple[Shape, ...], out_shape: Shape, needs: Needs) -> int:
        """Arithmetic operations of the fused backward kernel, and of adding up what was broadcast."""
        total = math.prod(out_shape)
        broadcast = sum([total - math.prod(s) for s, need in zip(shapes, needs, strict=True) if need])
        return self.plan(needs).vjp.formula.flops * total + broadcast

    def bytes(self, sizes: tuple[int, ...], out_size: int) -> int:
        """Bytes that the forward kernel reads and writes: each input once, and the output."""
        return sum(sizes) + out_size

    def vjp_bytes(self, sizes: tuple[int, ...], out_size: int, needs: Needs) -> int:
        """Bytes that the fused backward kernel reads and writes: the cotangent, what was kept, and each result."""
        plan = self.plan(needs)
        if plan.body is None:
            return 0
        kept = sum([out_size if k < 0 else sizes[k] for k in plan.residuals])
        sources = list(zip(plan.vjp.wrt, plan.sources, strict=True))
        computed = {k: sizes[i] for i, k in sources if k >= 0}  # what several inputs get is written once
        return out_size + kept + sum(computed.values()) + sum([sizes[i] for i, k in sources if k == _ZERO])

    def plan(self, needs: Needs) -> _Plan:
        """The backward for the inputs that `needs` names, made at first use."""
        found = self._plans.get(needs)
        if found is None:
            wrt = tuple(i for i, need in enumerate(needs) if need)
            found = self._plans[needs] = _Plan(self.formula.vjp(wrt))
        return found

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != self._arity:
            options = len(args) > self._arity or not UFUNC_OPTIONS.keys().isdisjoint(kwargs)
            if options and isinstance(getattr(np, self.name, None), np.ufunc):
                return as_ufunc(self, args, kwargs, holds_tensor(args) or any(isinstance(a, Expr) for a in args))
            args = self._bind(args, kwargs)
        args = cast(self.name, args) if CASTING else args
        if self._arity == 1 and isinstance(args[0], Tensor):
            return self._unary(args[0])
        arrays: list[Any] = []
        parents: list[Node | None] = []
        count = 0
        tensors = False
        first: Any = None
        kind: Any = None
        for a in args:
            if isinstance(a, Tensor):
                tensors = True
                node = a._node
                a = a.data
                if node is not None:
                    count += 1
                parents.append(node)
            else:
                if isinstance(a, Expr):
                    return self._inline(args)
                parents.append(None)
            # A tensor may hold a number too, which arithmetic on arrays without axes leaves in a cotangent.
            if type(a) is not kind and not isinstance(a, _NUMBERS):
                if not is_array(a):
                    a = np.asarray(a)
                if first is None:
                    first, kind = a, type(a)
                elif type(a) is not kind:
                    return self._mixed(args, first, a)
            arrays.append(a)
        try:
            if kind is np.ndarray:
                out = (self._cpu or self._for_the_cpu())(*arrays)
            elif isinstance(first, WrappedArray) and (found := self._on_one_level(args)) is not None:
                return self(*found)
            else:
                out = backend_of(first).kernel(self.formula)(*arrays)
        except MemoryError as error:
            raise exhausted(self.name, arrays, parents, error) from error
        if not tensors:
            return out
        if count and recording() and self.differentiable and out.dtype.kind in "fcV":
            return self._record(out, arrays, parents, count)
        return new_tensor(out, None)

    def _for_the_cpu(self) -> Any:
        """The compiled formula for NumPy's arrays, from here on at hand."""
        self._cpu = cpu().kernel(self.formula)
        return self._cpu

    def _mixed(self, args: tuple[Any, ...], first: Any, other: Any) -> Any:
        """Operands of two kinds: examples of a map and what they share; else a mistake."""
        found = self._on_one_level(args)
        if found is None:
            raise DeviceError(mixed(self.name, [first, other]))
        return self(*found)

    def _on_one_level(self, args: tuple[Any, ...]) -> Any:
        """The operands as members of the same maps; None where they are so already."""
        args = tuple([np.asarray(a) if isinstance(a, (list, tuple)) else a for a in args])
        found = on_one_level(args)
        return None if found is args else found

    def _unary(self, x: Tensor) -> Tensor:
        """The common case, one tensor: the same as the general way with less to look at."""
        a = x.data
        try:
            if type(a) is np.ndarray:
                out = (self._cpu or self._for_the_cpu())(a)
            else:
                out = backend_of(a).kernel(self.formula)(a)
        except MemoryError as error:
            raise exhausted(self.name, [a], [x._node], error) from error
        parent = x._node
        if parent is None or not recording() or not self.differentiable or out.dtype.kind not in "fcV":
            return new_tensor(out, None)
        if not short_way() or (a.dtype.kind == "c" and not self.formula.holomorphic):
            return self._record(out, [a], [parent], 1)
        plan = self._alone
        if plan is None:
            plan = self._alone = self.plan((True,))
        node = UnaryNode()
        node.parents, node.op, node.needs, node.fresh = parent, self, (True,), plan.fresh
        kept = plan.residuals
        node.saved = (out if kept[0] < 0 else a,) if len(kept) == 1 else (a, out) if kept else ()
        node.seq, node.shape, node.dtype, node.scalars = mutation.tick(), out.shape, out.dtype, None
        return new_tensor(out, node)

    def _record(self, out: Any, arrays: list[Any], parents: list[Node | None], count: int) -> Tensor:
        needs = tuple([p is not None for p in parents])
        plan = self._plans.get(needs) or self.plan(needs)
        if not self.formula.holomorphic and any(is_array(a) and a.dtype.kind == "c" for a in arrays):
            raise TypeError(
                f"[{self.name}] has no complex derivative: {self.formula}; compose it of gg.real(x) and gg.imag(x)"
            )
        node: ElementwiseNode = UnaryNode() if count == 1 else ElementwiseNode()
        node.parents = parents[needs.index(True)] if count == 1 else tuple(parents)
        node.op, node.needs, node.fresh = self, needs, plan.fresh
        node.saved = plan.kept([*arrays, out])
        node.seq, node.shape, node.dtype, node.scalars = mutation.tick(), out.shape, out.dtype, None
        if not short_way() and anomaly.watching():
            anomaly.check_forward(self.name, out, tuple(arrays))
            anomaly.note(node)
        return new_tensor(out, node)

    def __getattr__(self, name: str) -> Any:
        """`reduce`, `accumulate`, `outer`, `nin` and the like, as NumPy's ufunc of the name has them."""
        ufunc = None if name.startswith("_") else getattr(np, self.name, None)
        if not isinstance(ufunc, np.ufunc):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(ufunc, name)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        names = self.formula.inputs
        given = dict(zip(names, args, strict=False))
        unknown = [k for k in kwargs if k not in names or k in given]
        if unknown or len(args) > len(names):
            raise TypeError(
                f"[{self.name}] takes ({', '.join(names)}); got {len(args)} by position"
                + (f" and {unknown[0]!r} by name, which it does not take or has already" if unknown else "")
            )
        given.update(kwargs)
        missing = [n for n in names if n not in given and n not in self._defaults]
        if missing:
            raise TypeError(f"[{self.name}] takes ({', '.join(names)}); {missing[0]!r} is missing")
        return tuple(given[n] if n in given else self._defaults[n] for n in names)

    def _inline(self, args: tuple[Any, ...]) -> Expr:
        """Inside another formula: this one's expression with its inputs replaced."""
        from ..fusion.expr import lift

        replacement = {var(n): lift(a) for n, a in zip(self.formula.inputs, args, strict=True)}
        return substitute(self.formula.outputs, replacement)[0]
