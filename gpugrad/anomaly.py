"""Debug mode: where each operation was recorded, checksums of what it keeps, and the first non-finite gradient.

Costs nothing while off. Entered with `gg.detect_anomaly()`.
"""

from __future__ import annotations

import threading
import traceback
import zlib
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

from .backend import backend_of, is_array, memory

_HERE: Final = str(Path(__file__).parent)


class AnomalyError(RuntimeError):
    """A value changed behind the tape's back, or a gradient that is nan or infinite."""


class _State(threading.local):
    depth: int = 0


_state: Final = _State()
_records: Final[WeakKeyDictionary[Any, tuple[str, tuple[int | None, ...], str]]] = WeakKeyDictionary()


def watching() -> bool:
    """Whether debug mode is on in this thread."""
    return _state.depth > 0


def enter() -> None:
    """Switch debug mode on (it nests)."""
    _state.depth += 1


def leave() -> None:
    """Leave the innermost debug block."""
    _state.depth -= 1


def user_line() -> str:
    """The source line outside gpugrad that is running: file, number and text."""
    lines = [f for f in traceback.extract_stack() if not f.filename.startswith(_HERE)]
    return f"{lines[-1].filename}:{lines[-1].lineno}: {lines[-1].line}" if lines else "unknown line"


def note(node: Any) -> None:
    """Remember the user's source line and the checksums of what `node` keeps."""
    _records[node] = (user_line(), _checksums(node.saved), _statistics(node.saved))


def recorded_at(node: Any) -> str | None:
    """The user's source line that recorded `node`; None outside debug mode."""
    record = _records.get(node)
    return None if record is None else record[0]


def _checksums(saved: Any) -> tuple[int | None, ...]:
    return tuple(_checksum(v) for v in (saved if type(saved) is tuple else (saved,)))


def _checksum(value: Any) -> int | None:
    if not is_array(value):
        return None
    value = memory(value)
    host = backend_of(value).to_host(value)
    return zlib.crc32(host.tobytes())


def check_unchanged(node: Any) -> None:
    """Compare what `node` keeps with its checksums.

    Raises:
        AnomalyError: a value was changed since, for instance through the bare array `t.data`.
    """
    record = _records.get(node)
    if record is not None and _checksums(node.saved) != record[1]:
        raise AnomalyError(
            f"[backward] a value that {node.name} saved for its gradient has changed since it was recorded at "
            f"{record[0]}; it was written to behind the tape's back (t.data or a shared array): change a copy"
        )


def check_finite(node: Any, cotangents: tuple[Any, ...]) -> None:
    """Raise AnomalyError at the first cotangent that is nan or infinite; names the operation and its source line."""
    for i, g in enumerate(cotangents):
        array = memory(getattr(g, "data", g) if hasattr(g, "_node") else g)
        if not is_array(array) or array.dtype.kind not in "fc":
            continue
        finite = backend_of(array).xp.isfinite(array)
        if not bool(finite.all()):
            where, _, kept = _records.get(node, ("an operation recorded outside detect_anomaly", (), "unknown values"))
            raise AnomalyError(
                f"[{node.name}] the gradient towards its input {i}, shape {tuple(array.shape)} {array.dtype}, has "
                f"{int(array.size - finite.sum())} of {array.size} elements that are nan or infinite; its output has "
                f"shape {node.shape}, and it kept {kept}; recorded at {where}"
            )


def check_forward(name: str, out: Any, inputs: tuple[Any, ...]) -> None:
    """Raise AnomalyError when an operation makes a nan or infinity out of finite inputs; gives their ranges."""
    outs = out if isinstance(out, tuple) else (out,)
    inputs = tuple(memory(a) for a in inputs)
    for array in map(memory, outs):
        if not is_array(array) or array.dtype.kind not in "fc" or bool(backend_of(array).xp.isfinite(array).all()):
            continue
        arrays = [a for a in inputs if is_array(a) and a.size and a.dtype.kind in "fciu"]
        if all(bool(backend_of(a).xp.isfinite(a).all()) for a in arrays):
            raise AnomalyError(
                f"[{name}] its result, shape {tuple(array.shape)} {array.dtype}, is not finite though its inputs are: "
                f"{_statistics(arrays)}; computed at {user_line()}"
            )


def _statistics(values: Any) -> str:
    """Shape, dtype, range and mean of each array among some values."""
    found = []
    for value in values if isinstance(values, (tuple, list)) else (values,):
        a = memory(value) if is_array(value) else None
        if a is None or not a.size or a.dtype.kind not in "fciu":
            continue
        size = abs(a) if a.dtype.kind == "c" else a
        among = "absolute values in " if a.dtype.kind == "c" else ""
        low, high, mean = float(size.min()), float(size.max()), float(size.mean())
        found.append(f"{tuple(a.shape)} {a.dtype} {among}[{low:.4g}, {high:.4g}], mean {mean:.4g}")
    return "; ".join(found) or "no arrays"
