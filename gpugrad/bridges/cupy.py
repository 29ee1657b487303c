"""CuPy's functions that know no tensors, so that they fail in our words: what takes bare arrays only, and what to use.

CuPy asks a tensor in its ufuncs, and where it calls the method of its argument (`protocols`). Elsewhere its compiled
code looks at the type first, consults nobody, and says "expected cupy._core.core._ndarray_base, got Tensor". So each
of its functions of which gpugrad has one of the same name is called through a thin one, that passes everything on and
looks at the arguments when the call has failed. The backend has imported CuPy by then.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..ops.arguments import holds_tensor
from ..protocols import BARE, for_arrays

# CuPy's namespaces, and ours in which a function is looked for by its name.
SPACES: Final = {
    "cupy": "gpugrad.numpy", "cupy.linalg": "gpugrad.numpy.linalg", "cupy.fft": "gpugrad.numpy.fft",
    "cupyx.scipy.special": "gpugrad.scipy.special",
}  # fmt: skip
# How CuPy refuses an argument that it does not know; what a device or a missing library raises is left alone.
_REFUSALS: Final = (TypeError, AttributeError, ValueError, NotImplementedError)
# What was put in place of what: CuPy's module, the name, CuPy's function, the thin one.
_replaced: Final[list[tuple[Any, str, Any, Any]]] = []
_one_at_a_time: Final = threading.Lock()


def hints(on: bool) -> None:
    """Put the thin functions into CuPy's namespaces, or CuPy's own back; either may be asked for twice."""
    with _one_at_a_time:
        if on and not _replaced:
            _replace()
        elif not on:
            for space, name, own, thin in _replaced:
                if getattr(space, name, None) is thin:  # what somebody else has put there since stays
                    setattr(space, name, own)
            _replaced.clear()


def _replace() -> None:
    made: dict[int, Any] = {}  # by CuPy's function: two names of one function stay names of one function
    for where, ours in SPACES.items():
        theirs = sys.modules.get(where)
        if theirs is not None:  # what the program has not imported it does not call
            for name, own in _without_a_hook(theirs, importlib.import_module(ours)):
                thin = made.setdefault(id(own), _thin(own, where, name, f"{ours}.{name}"))
                _replaced.append((theirs, name, own, thin))
    for space, name, _, thin in _replaced:
        setattr(space, name, thin)


def _without_a_hook(theirs: Any, ours: Any) -> list[tuple[str, Any]]:
    """The functions of a module of CuPy's that ask no tensor, and of which we have one that is not NumPy's own."""
    both = [name for name in dir(theirs) if not name.startswith("_") and hasattr(ours, name)]
    mine = [name for name in both if getattr(ours, name) is not getattr(np, name, None)]
    found = [(name, getattr(theirs, name)) for name in mine]
    # Classes (dtypes, `ndarray`) are compared and derived from; what has `nin` is a ufunc, which asks.
    hookless = [f for f in found if callable(f[1]) and not isinstance(f[1], type) and not hasattr(f[1], "nin")]
    return sorted(hookless, key=lambda f: f[0] != f[1].__name__)  # `concatenate` before `concat`: what errors call it


def _thin(own: Callable[..., Any], where: str, name: str, ours: str) -> Callable[..., Any]:
    """A function that is CuPy's `own`, but for the error where a tensor is among the arguments."""

    @functools.wraps(own)
    def thin(*args: Any, **kwargs: Any) -> Any:
        try:
            return own(*args, **kwargs)
        except _REFUSALS as error:
            said = str(error)
            inside = sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in ("cupy", "cupyx")
            if (
                inside  # within CuPy: it is for the function that the program called to speak
                or (said.startswith("[") and BARE not in said)  # ours, of an axis, a shape, out=
                or not holds_tensor((*args, *kwargs.values()))
            ):
                raise
            what = BARE if BARE in said else said.rstrip(".")
            kind = next(kind for kind in _REFUSALS if isinstance(error, kind))  # who catches CuPy's catches this
            raise kind(for_arrays(f"{where}.{name}", ours, what)) from error

    thin.__module__, thin.__qualname__ = where, name  # where pickle finds it
    return thin
