"""`gpugrad check`: every operation on a device against the CPU, and the kernels' bandwidth; a table for bug reports.

The operations and their inputs are in `check_cases`. On the CPU the compiled loops (Numba) are compared with NumPy's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gpugrad.cli.errors import FAILED, CommandError

if TYPE_CHECKING:
    from gpugrad.cli.check_cases import Case

NAME = "check"
SUMMARY = "compare every operation with the CPU, and measure the kernels' bandwidth"
DESCRIPTION = (
    "Run every operation forward and backward on a device and compare it with the CPU (on the CPU: the compiled loops "
    "with NumPy's), then measure the bandwidth of kernels. Prints a table to paste into a bug report."
)
TOLERANCE: Final = 3e-4  # relative to the largest element, in float32
ELEMENTS: Final = {"cuda": 1 << 26, "cpu": 1 << 22}  # of the bandwidth's arrays
_PARITY: Final = {"cuda": 4_000, "cpu": 70_000}  # elements: on the CPU enough for the compiled loops


@dataclass(frozen=True)
class Found:
    """How one operation came out: the largest deviations, relative to the largest element, or what was raised."""

    name: str
    forward: float
    backward: float | None
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether both are within the tolerance."""
        return not self.error and max(self.forward, self.backward or 0.0) <= TOLERANCE


@dataclass(frozen=True)
class Bandwidth:
    """What a kernel reads and writes a second, and that as a share of a copy's."""

    name: str
    bytes_per_s: float
    share_of_copy: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--device", default=None, help='"cpu", "cuda" or "cuda:1"; the first GPU if there is one')
    parser.add_argument("--only", default="", metavar="REGEX", help="operations whose name it finds")
    parser.add_argument("--no-bandwidth", action="store_true", help="parity only")
    parser.add_argument("--verbose", action="store_true", help="a line for each operation, not for the wrong ones only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found to FILE")


def run(arguments: argparse.Namespace) -> int:
    """Check, print the table and write the file.

    Returns:
        0 when every operation agreed, 1 otherwise.

    Raises:
        CommandError: the device cannot be used, or no operation has such a name.
    """
    import gpugrad as gg
    from gpugrad.cli import info
    from gpugrad.cli.check_cases import cases

    try:
        device = gg.device(arguments.device or ("cuda" if gg.cuda.is_available() else "cpu"))
        gg.zeros(1, device=device)
        chosen = re.compile(arguments.only)
    except (gg.DeviceError, ValueError, re.error) as error:
        raise CommandError(str(error)) from error
    start = time.perf_counter()
    picked = [case for case in cases(_PARITY[device.type]) if chosen.search(case.name)]
    if not picked:
        raise CommandError(f"argument --only: no operation's name has {arguments.only!r}")
    found = [compared(case, str(device)) for case in picked]
    speeds = [] if arguments.no_bandwidth else bandwidths(str(device), ELEMENTS[device.type])
    about = info.collect().found
    print(table(about, str(device), found, speeds, time.perf_counter() - start, arguments.verbose))
    if arguments.json:
        values = {"about": dict(about), "device": str(device), "tolerance": TOLERANCE}
        values |= {"operations": [asdict(f) for f in found], "bandwidth": [asdict(b) for b in speeds]}
        arguments.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return 0 if all(f.ok for f in found) else FAILED


# Parity -------------------------------------------------------------------------------------------------------------


def compared(case: Case, device: str) -> Found:
    """A case on the device, or on the CPU's compiled loops, against the CPU's plain way."""
    try:
        if device == "cpu":
            with _numba("0"):
                want = outcome(case, "cpu", plain=True)
            have = outcome(case, "cpu")
        else:
            want, have = outcome(case, "cpu"), outcome(case, device)
    except Exception as error:  # whatever an operation raises is what the report must show
        return Found(case.name, np.inf, None, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    forward = max(deviation(h, w) for h, w in zip(have[0], want[0], strict=True))
    gradients = [deviation(h, w) for h, w in zip(have[1], want[1], strict=True)]
    return Found(case.name, forward, max(gradients, default=None))


def outcome(case: Case, device: str, plain: bool = False) -> tuple[list[Any], list[Any]]:
    """The values, and the gradients of a fixed functional of them, as NumPy arrays."""
    import gpugrad as gg

    call = _plainly(case.call) if plain else case.call
    tensors = [gg.tensor(a, device=device, requires_grad=a.dtype.kind == "f") for a in case.inputs]
    with np.errstate(all="ignore"):
        result = call(*tensors)
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        grown = [o for o in outputs if o.requires_grad]
        for k, o in enumerate(grown):
            weights = np.cos(np.arange(o.data.size)).reshape(o.shape).astype(o.dtype)
            o.backward(gg.tensor(weights, device=device), retain_graph=k + 1 < len(grown))
    gradients = [t.grad.numpy() for t in tensors if t.grad is not None]
    return [o.detach().numpy() for o in outputs], gradients


def _plainly(call: Callable[..., Any]) -> Callable[..., Any]:
    """An elementwise operation with kernels of NumPy's ufuncs in place of those compiled in this process."""
    from gpugrad.ops.core import Elementwise

    if not isinstance(call, Elementwise):
        return call
    return Elementwise(replace(call.formula, name=f"{call.name}_plain"), call._defaults, None, call.differentiable)


@contextlib.contextmanager
def _numba(wanted: str) -> Iterator[None]:
    before = os.environ.get("GPUGRAD_NUMBA")
    os.environ["GPUGRAD_NUMBA"] = wanted
    try:
        yield
    finally:
        if before is None:
            del os.environ["GPUGRAD_NUMBA"]
        else:
            os.environ["GPUGRAD_NUMBA"] = before


def deviation(have: Any, want: Any) -> float:
    """The largest difference, relative to the largest element of `want` (to 1 if that is smaller).

    Infinite where a shape, a dtype, a nan or an infinity differs.
    """
    if have.shape != want.shape or have.dtype != want.dtype:
        return float("inf")
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    have, want = have.astype(wide), want.astype(wide)
    finite = np.isfinite(want)
    if not np.array_equal(have[~finite], want[~finite], equal_nan=True) or not np.isfinite(have[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    return float(np.abs(have[finite] - want[finite]).max() / max(np.abs(want[finite]).max(), 1.0))


# Bandwidth ----------------------------------------------------------------------------------------------------------


def bandwidths(device: str, elements: int) -> list[Bandwidth]:
    """What kernels read and write a second, forward (and backward where it says so), next to a copy."""
    import gpugrad as gg
    from gpugrad.backend import backend_for
    from gpugrad.cost.ceilings import best_of
    from gpugrad.primitive import ELEMENTWISE

    backend, rows = backend_for(device), (elements // 1024, 1024)
    # Numbers of all kinds: on ones or zeros some devices use less power, and run faster.
    drawn = np.random.default_rng(0).standard_normal(1 << 16, dtype=np.float32)
    with gg.no_grad():
        x, g = (gg.tensor(np.resize(d, rows), device=device) for d in (drawn, drawn[::-1]))
        labels = gg.zeros(rows[0], dtype="int64", device=device)
    kernels, data, target = backend.rows, x.data, (x * 1).data
    narrow = data.reshape(-1)[: elements // 10 * 10].reshape(-1, 10)
    middle = data.reshape(-1, 16, 64)
    y = kernels.softmax(data)
    derivative = ELEMENTWISE["gelu_erf"].plan((True,)).run
    calls: list[tuple[str, int, Callable[[], Any]]] = [
        ("copy", 2, lambda: target.__setitem__(..., data)),
        ("relu", 2, lambda: gg.relu(data)),
        ("multiply", 3, lambda: gg.multiply(data, g.data)),
        ("gelu", 2, lambda: gg.gelu(data)),
        ("gelu backward", 3, lambda: derivative(g.data, (data,))),
        ("sum", 1, lambda: backend.sum_to(data, ())),
        ("bias gradient", 1, lambda: backend.column_sum(data)),
        ("bias gradient of 10 columns", 1, lambda: backend.column_sum(narrow)),
        ("sum over an axis in the middle", 1, lambda: backend.reduce("sum", middle, (1,), False)),
        ("max of rows", 1, lambda: backend.reduce("max", data, (1,), False)),
        ("softmax", 2, lambda: kernels.softmax(data)),
        ("softmax backward", 3, lambda: kernels.softmax_vjp(g.data, y)),
        ("layer norm", 2, lambda: kernels.layer_norm(data, None, None, 1e-5)),
        ("cross entropy", 1, lambda: kernels.cross_entropy(data, labels.data, None, 0.0, -100)),
        ("dropout", 2, lambda: kernels.dropout(data, 0.5, 1, 0)),
    ]
    found: list[Bandwidth] = []
    for name, passes, call in calls:
        rate = passes * 4 * elements / best_of(backend, call, 5)
        found.append(Bandwidth(name, rate, rate / (found[0].bytes_per_s if found else rate)))
    return found


def table(
    about: Sequence[tuple[str, str]],
    device: str,
    found: Sequence[Found],
    speeds: Sequence[Bandwidth],
    seconds: float,
    verbose: bool,
) -> str:
    """Everything as text to paste."""
    wrong = [f for f in found if not f.ok]
    width = max(len(label) for label, _ in about)
    lines = [f"{label:<{width}}  {value}" for label, value in about]
    lines += ["", f"{device}: {len(found) - len(wrong)} of {len(found)} operations agree, in {seconds:.0f} s"]
    shown = found if verbose else wrong
    if shown:
        lines += ["", f"{'operation':<24}{'forward':>10}{'backward':>10}   tolerance {TOLERANCE:g}"]
    for f in shown:
        backward = "-" if f.backward is None else f"{f.backward:.1e}"
        verdict = "ok" if f.ok else f"WRONG {f.error}".rstrip()
        lines.append(f"{f.name:<24}{f.forward:>10.1e}{backward:>10}   {verdict}")
    if speeds:
        lines += ["", f"{'kernel':<24}{'GB/s':>10}{'of a copy':>12}"]
        lines += [f"{b.name:<24}{b.bytes_per_s / 1e9:>10.1f}{b.share_of_copy:>12.0%}" for b in speeds]
    return "\n".join(lines)
