"""The methods of `Tensor` that only call the operation of the same name: one line each."""
from __future__ import annotations
from typing import Any
from .primitive import FUNCTIONS
class Methods:
    __slots__ = ()
    def __getattr__(self, name: str) -> Any:
        f = FUNCTIONS.get(name)
        if f is None: raise AttributeError(name)
        return lambda *a, **k: f(self, *a, **k)
    def __neg__(self): return FUNCTIONS["negative"](self)
