"""Forward mode: `jvp` and `linearize`, with JAX's names and calling conventions.

The function is recorded as for reverse mode, and the tangents are pushed through the record (`push`), so both modes
share every formula and every rule. They nest with each other and with the other transforms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .record import Recorded


def jvp(f: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], has_aux: bool = False) -> Any:
    """The value of `f` and its directional derivative, in one forward pass.

    Args:
        f: function of arrays or nested structures of them, giving an array or a structure.
        primals: its arguments, a tuple.
        tangents: the direction, a tuple of the same structure and shapes.
        has_aux: `f` returns (output, auxiliary); the auxiliary is given as the output is.

    Returns:
        `(output, tangent)`, with `has_aux` `(output, tangent, aux)`; the tangent in the output's structure. Of complex
        arguments it is the derivative along the tangent, whether `f` is holomorphic or not.

    Raises:
        TypeError: an argument is not floating point or complex, or `primals` is no tuple.
        ValueError: a tangent has another shape than its argument.

    Example:
        >>> import gpugrad as gg
        >>> value, slope = gg.jvp(lambda x, y: x * y, (3.0, 4.0), (1.0, 0.0))
        >>> float(value), float(slope)
        (12.0, 4.0)
    """
    for name, value in (("primals", primals), ("tangents", tangents)):
        if not isinstance(value, tuple | list):
            raise TypeError(f"[jvp] {name} is a {type(value).__name__}; expected a tuple with one entry per argument")
    recorded = Recorded(f, tuple(primals), "jvp", has_aux)
    tangent = recorded.push(tuple(tangents))
    return (recorded.value(), tangent, recorded.aux) if has_aux else (recorded.value(), tangent)


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of `f` and its derivative at that point as a linear function of tangents.

    Args:
        f: function of arrays or nested structures of them.
        primals: its arguments.

    Returns:
        `(output, f_jvp)`. `f_jvp(*tangents)` gives what `jvp` would, without running `f` again; it may be called again
        and again, and mapped with `vmap`.

    Example:
        >>> import gpugrad as gg
        >>> value, slope = gg.linearize(lambda x: x * x, 3.0)
        >>> float(value), float(slope(1.0)), float(slope(0.5))
        (9.0, 6.0, 3.0)
    """
    recorded = Recorded(f, primals, "linearize", False)

    def f_jvp(*tangents: Any) -> Any:
        return recorded.push(tangents)

    return recorded.value(), f_jvp
