"""What a call of a compiled function is told by: its arguments as a key, its results as copies, the user's line.

`compiling` asks; nothing here knows of graphs.
"""

from __future__ import annotations

import linecache
from collections.abc import Hashable
from typing import Any, Final

import numpy as np

from ..backend import backend_of, is_array
from ..backend.capturing import CaptureError
from ..tensor import Tensor, new_tensor
from .tree import flatten

__all__ = ["LIBRARIES", "bare", "copied", "leaf_key", "structure", "users_line"]

LIBRARIES: Final = {"gpugrad", "cupy", "cupyx", "nvmath", "numpy", "contextlib"}  # whose lines are not the user's


def bare(leaf: Any) -> Any:
    """The array of a tensor; anything else as it is."""
    return leaf.data if isinstance(leaf, Tensor) else leaf


def structure(tree: Any) -> Hashable:
    """How lists, tuples and dictionaries lie in one another."""
    if isinstance(tree, dict):
        return dict, tuple((k, structure(v)) for k, v in tree.items())
    if isinstance(tree, list | tuple):
        return type(tree), tuple(map(structure, tree))
    return tree is None, type(tree)


def leaf_key(leaf: Any) -> Hashable:
    """What of an argument a graph depends on.

    Raises:
        CaptureError: it is an array on the CPU.
    """
    array = bare(leaf)
    if not is_array(array):
        return type(leaf), leaf
    if isinstance(leaf, Tensor) and leaf._node is not None:
        return "leaf", id(leaf)
    if type(array) is np.ndarray:
        raise CaptureError("its arguments are on the CPU and on a GPU; move them first, e.g. x.to('cuda')")
    return array.shape, array.dtype, backend_of(array)


def copied(result: Any) -> Any:
    """The results in memory of their own: the next replay writes where they are now."""
    if result is None:
        return None
    leaves, build = flatten(result)
    arrays = [bare(leaf) for leaf in leaves]
    homes = [backend_of(array) if is_array(array) else None for array in arrays]
    for backend in dict.fromkeys(homes):
        if backend is not None and backend.name == "cuda":
            places = [i for i, home in enumerate(homes) if home is backend]
            for i, copy in zip(places, backend.copies([arrays[i] for i in places]), strict=True):
                arrays[i] = copy
    own = zip(leaves, arrays, strict=True)
    return build([new_tensor(array, None) if isinstance(leaf, Tensor) else array for leaf, array in own])


def users_line(error: Exception) -> str:
    """The innermost line outside the libraries on the way to an error, for its message."""
    found, trace = "", error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        module = frame.f_globals.get("__name__", "")
        if not any(module == library or module.startswith(f"{library}.") for library in LIBRARIES):
            path, number = frame.f_code.co_filename, trace.tb_lineno
            found = f" ({path}:{number}: {linecache.getline(path, number).strip()})"
        trace = trace.tb_next
    return found
