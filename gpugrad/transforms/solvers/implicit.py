"""`fixed_point`: the x with x = f(x), and its derivatives by the implicit function theorem.

The solution is one node of the tape. Its derivatives are fixed points of linear functions, found by the same iteration,
so they have derivatives in their turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...backend import backend_of
from ...gradmode import no_grad, recording, set_grad_enabled
from ...nodes import outputs_of
from ...tensor import Tensor, new_tensor
from ..region import Region, RegionNode, as_node, bound
from ..tree import flatten
from .state import Function, Run, SolverError, State, detached, finish, largest, like_state, precision, state_of, zeros

# The change of an iteration, against the largest value, that counts as none: by the bytes of a number.
_TOLERANCE = {2: 1e-2, 4: 1e-5, 8: 1e-10}


def fixed_point(f: Callable[..., Any], x0: Any, *args: Any, tol: float | None = None, maxiter: int = 1000) -> Any:
    """The fixed point of a contraction, `x = f(x, *args)`, by iteration from `x0`.

    Its derivatives towards `args`, and towards all else that `f` reads (parameters of a network), follow from the
    implicit function theorem: a cotangent g becomes w = g + (df/dx)^T w, then (df/d args)^T w. Nothing of the iteration
    is kept, memory is that of a single call of `f`. All orders, forward mode and `vmap` work; towards `x0` the
    derivative is zero.

    Args:
        f: function of x and `args` giving the structure, shapes and dtypes of x. Near the solution it must contract
            (the eigenvalues of df/dx lie within the unit circle), and compute the same each time it is called.
        x0: where to begin; array, tensor, or a structure of them, floating point or complex.
        args: passed on to `f`.
        tol: stop when no value changes by more than `tol` times one plus the largest; by default 1e-10 for float64,
            1e-5 for float32, 1e-2 for halves. The error left is about rate / (1 - rate) times that.
        maxiter: calls of `f` at most.

    Returns:
        The structure of `x0`.

    Raises:
        SolverError: it does not converge within `maxiter` calls, or a value is no longer finite; also in the backward
            pass, for the cotangents.
        ValueError: `f` returns another structure or shape than it gets.
        TypeError: `x0` holds integers.

    Example:
        >>> import gpugrad as gg
        >>> def root(a):  # Newton's step for the square root of a
        ...     return gg.fixed_point(lambda x: (x + a / x) / 2, 1.0)
        >>> round(float(gg.grad(root)(4.0)), 6)
        0.25
    """
    state, build = state_of(x0, "fixed_point")
    tolerance = _TOLERANCE[min(precision(state), 8)] if tol is None else tol

    f = bound(f)

    def step(x: State) -> State:
        return like_state(f(build(x), *args), x, "fixed_point")

    found = _solve(step, state, _Options(tolerance, maxiter))
    return build(finish(found, flatten((x0, args))[0]))


@dataclass(frozen=True)
class _Options:
    """When to stop; `relative`: of a solution that scales with its equation only the ratio of changes counts."""

    tol: float
    maxiter: int
    relative: bool = False


def _solve(step: Function, start: State, options: _Options) -> State:
    """The fixed point of `step`; recorded as one node where the caller records."""
    with no_grad():
        x = _iterate(step, detached(start), options)
    return _Solution(step, options).recorded(x) if recording() else x


def _iterate(step: Function, x: State, options: _Options) -> State:
    change = size = math.inf
    for _ in range(options.maxiter):
        new = step(x)
        moved = [_magnitude(a - b) for a, b in zip(new, x, strict=True)]
        change, size = largest(moved), largest([_magnitude(a) for a in new])
        if not math.isfinite(change):
            raise SolverError(
                f"[fixed_point] the iteration left the finite numbers (largest change {change}); start nearer to the "
                "solution, or damp the function: x + step * (f(x) - x)"
            )
        if change <= options.tol * (size if options.relative else 1.0 + size):
            return detached(new)
        x = new
    raise SolverError(
        f"[fixed_point] maxiter = {options.maxiter} calls did not converge: the last changed values by up to "
        f"{change:.3g} (tol = {options.tol:.3g}, largest value {size:.3g}); the function must contract near its fixed "
        "point, damp it or give maxiter"
    )


def _magnitude(x: Tensor) -> Tensor:
    return new_tensor(backend_of(x.data).xp.abs(x.data), None)


class _Solution(Region):
    """A fixed point: its node leads to all that the function reads."""

    name = "fixed_point"

    def __init__(self, step: Function, options: _Options) -> None:
        self.step = step
        self.linear = replace(options, relative=True)

    def recorded(self, x: State) -> State:
        """The solution as one node; as it is where the function reads nothing that requires a gradient."""
        reads = Run(self.step, x).reads()
        arrays = [t.data for t in x]
        return list(as_node(self, (), arrays, reads, arrays)) if reads else x

    def _run(self, node: RegionNode, graph: bool) -> Run:
        """The function at the solution, which with `graph` leads back to its own node."""
        arrays: Sequence[Any] = node.saved
        run = Run(self.step, list(outputs_of(node, arrays)) if graph else [new_tensor(a, None) for a in arrays])
        run.require_unchanged(node.seq, self.name)
        return run

    def back(self, node: RegionNode, inputs: list[Any], cotangents: list[Tensor], graph: bool) -> Sequence[Any]:
        """w = g + (df/dx)^T w, then on to what the function reads."""
        with set_grad_enabled(graph):
            run = self._run(node, graph)

            def step(w: State) -> State:
                pulled = run.pull(w, run.starts)
                return [g if p is None else g + p for g, p in zip(cotangents, pulled, strict=True)]

            return run.pull(_solve(step, cotangents, self.linear), node.parents)

    def forth(self, node: RegionNode, inputs: list[Any], tangents: Sequence[Any], graph: bool) -> list[Any]:
        """t = df/dp dp + df/dx t."""
        with set_grad_enabled(graph):
            run = self._run(node, graph)
            given = {p: t for p, t in zip(node.parents, tangents, strict=True) if t is not None}
            # Held still here: the state leads back to this very node.
            given |= {start: zeros(start, o) for start, o in zip(run.starts, run.outputs, strict=True)}
            direct = [
                zeros(o, x) if t is None else t
                for t, o, x in zip(run.push(given), run.starts, run.outputs, strict=True)
            ]

            def step(moved: State) -> State:
                pushed = run.push(dict(zip(run.starts, moved, strict=True)))
                return [d if p is None else d + p for d, p in zip(direct, pushed, strict=True)]

            return list(_solve(step, direct, self.linear))
