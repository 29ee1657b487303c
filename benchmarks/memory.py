"""The memory suite: growth, the peaks of a deep step and of single convolutions, and how deep a chain may be.

Each probe of each library runs in a fresh process (`python -m benchmarks.memory LIBRARY DEVICE PROBE SCALE`),
because memory that an earlier probe left behind would be counted.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.jobs import NUMPY_ALONE, WITH_NUMBA
from benchmarks.layers import LAYERS, SMOKE
from benchmarks.libs import LIBRARIES, load
from benchmarks.libs.base import Library
from benchmarks.machine import child_environment
from benchmarks.pool import REPOSITORY

GROWTH_GOAL_BYTES = 1_000_000
PEAK_GOAL_RATIO = 1.1
CONVOLUTION_GOAL_RATIO = 1.2
_MEMORY_LIBRARIES = (WITH_NUMBA, NUMPY_ALONE, "torch")
_PROBE_SECONDS = 600

# scale -> (steps before, steps measured), (layers, width, batch), operations of the chain.
_SIZES: dict[str, dict[str, Any]] = {
    "full": {"growth": (500, 10_000), "peak": (30, 256, 4096), "chain": 100_000},
    "quick": {"growth": (200, 2_000), "peak": (30, 256, 1024), "chain": 100_000},
    "smoke": {"growth": (5, 20), "peak": (3, 16, 32), "chain": 2_000},
}
# A power of two from 1, so that it is exact in float32 and the product of the whole chain is known.
_CHAIN_SCALE = 1 - 2.0**-16


def _step(library: Library, sizes: list[int], batch: int) -> Callable[[], object]:
    params = {"sizes": sizes, "batch": batch, "activation": "relu", "optimizer": "sgd"}
    return library.programs_of("mlp", params)[0].run


def deep_step(library: Library, scale: str) -> Callable[[], object]:
    """The step whose peak `peak` measures."""
    layers, width, batch = _SIZES[scale]["peak"]
    return _step(library, [width] * layers + [10], batch)


def growth(library: Library, scale: str) -> dict[str, float]:
    """Bytes by which the process grew over many training steps with the cyclic collector switched off."""
    before, measured = _SIZES[scale]["growth"]
    step = _step(library, [64, 64, 64, 10], 32)
    gc.collect()
    gc.disable()
    try:
        for _ in range(before):
            step()
        start = library.memory_now()
        for _ in range(measured):
            step()
        return {"steps": measured, "bytes": library.memory_now() - start}
    finally:
        gc.enable()


def peak(library: Library, scale: str) -> dict[str, float]:
    """Bytes above the idle process at a deep step's peak: weights, batch, gradients, what the tape holds."""
    layers, width, batch = _SIZES[scale]["peak"]
    # Loads threads, kernels and compilers, which are not the step's memory.
    warm = _step(library, [width, width, 10], batch)
    warm()
    warm()
    del warm
    gc.collect()
    library.reset_memory_peak()
    idle = library.memory_now()
    step = deep_step(library, scale)
    gc.collect()
    library.reset_memory_peak()
    ready = library.memory_now()
    for _ in range(3):
        step()
    highest = library.memory_peak()
    return {"layers": layers, "bytes": highest - idle, "above_model_bytes": highest - ready}


def chain(library: Library, scale: str) -> dict[str, float]:
    """A very long chain of operations, forward and backward: 1.0 in `correct` where the gradient is right."""
    ops = _SIZES[scale]["chain"]
    params = {"ops": ops, "width": 16, "phase": "backward", "scale": _CHAIN_SCALE, "shift": 0.0}
    program = library.programs_of("tape", params)[0]
    program.prepare()
    seconds = library.measure(program.run)
    assert program.check is not None
    slope = program.check()[-1]
    expected = _CHAIN_SCALE ** (ops // 2)
    return {"ops": ops, "backward_s": seconds, "correct": float(abs(slope - expected) < 1e-3 * expected)}


def convolution(library: Library, name: str) -> dict[str, float]:
    """Bytes above the idle process at the peak of a layer, forward and backward: arrays, gradients, scratch.

    Images have their channels last, where PyTorch takes the least. A quarter of the batch goes through before, because
    kernels, compilers and threads are not the layer's memory.
    """
    params = {"layer": name, "fast": False, "order": "channels last"}
    batch = {**LAYERS, **SMOKE}[name].input[0]
    warm = library.programs_of("layer", {**params, "batch": max(1, batch // 4)})[0]
    warm.run()
    warm.run()
    del warm
    gc.collect()
    library.reset_memory_peak()
    idle = library.memory_now()
    layer = library.programs_of("layer", params)[0]
    for _ in range(3):
        layer.run()
    return {"bytes": library.memory_peak() - idle}


_PROBES: dict[str, Callable[[Library, str], dict[str, float]]] = {
    "growth": growth,
    "peak": peak,
    "chain": chain,
}


def probe(name: str, device: str, which: str, scale: str) -> dict[str, Any]:
    """One probe of one library in a process of its own; `{"failed": why}` where it ended badly."""
    command = [sys.executable, "-m", "benchmarks.memory", name, device, which, scale]
    environment = child_environment(LIBRARIES[name][1])
    try:
        done = subprocess.run(
            command,
            check=False,
            env=environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no end within {_PROBE_SECONDS} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        reason = done.stderr.strip().splitlines() or ["no output"]
        return {"failed": f"code {done.returncode}: {reason[-1]}"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def run(names: list[str], device: str, scale: str, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """All probes of all libraries, judged: one record a probe.

    Args:
        names: libraries; those that have no training step here are passed over.
        device: "cpu" or "cuda".
        scale: "full", "quick" or "smoke".
        wanted: whether a probe of this name ("memory growth", ...) is to run.
    """
    records = []
    layers = [name for name, layer in (SMOKE if scale == "smoke" else LAYERS).items() if layer.kind == "conv2d"]
    for which in [*_PROBES, *layers]:
        if wanted(f"memory {which}"):
            rows = {name: probe(name, device, which, scale) for name in names if name in _MEMORY_LIBRARIES}
            _judge(which, rows)
            records.append({"probe": which, "libraries": rows})
    return records


def _judge(which: str, rows: dict[str, dict[str, Any]]) -> None:
    torch_bytes = rows.get("torch", {}).get("bytes")
    for name, row in rows.items():
        if "failed" in row:
            continue
        if which not in ("growth", "chain") and torch_bytes:
            row["ratio"] = row["bytes"] / torch_bytes
        if name == "torch":
            continue
        if which == "growth":
            row["met"] = row["bytes"] < GROWTH_GOAL_BYTES
        elif which == "chain":
            row["met"] = row["correct"] == 1.0
        elif "ratio" in row:
            row["met"] = row["ratio"] <= (PEAK_GOAL_RATIO if which == "peak" else CONVOLUTION_GOAL_RATIO)


def markdown(records: list[dict[str, Any]]) -> str:
    """The records as a Markdown table."""
    lines = ["| memory | library | measured | goal |", "|---|---|---|---|"]
    for record in records:
        for name, row in record["libraries"].items():
            verdict = {None: "-", True: "meets", False: "**misses**"}[row.get("met")]
            text, goal = _words(record["probe"], row)
            lines.append(f"| {text[0]} | {name} | {text[1]} | {verdict + ' ' + goal if verdict != '-' else '-'} |")
    return "\n".join(lines)


def _words(which: str, row: dict[str, Any]) -> tuple[tuple[str, str], str]:
    if "failed" in row:
        return (which, f"failed: {row['failed']}"), ""
    if which == "growth":
        what = f"growth over {row['steps']:,} steps, collector off"
        return (what, f"{row['bytes'] / 1e6:.2f} MB"), "1 MB"
    if which == "peak":
        ratio = f" ({row['ratio']:.2f} x torch)" if "ratio" in row else ""
        text = f"{row['bytes'] / 1e6:.1f} MB{ratio}; above the model {row['above_model_bytes'] / 1e6:.1f} MB"
        return (f"peak of a {row['layers']}-layer step", text), "1.10 x torch"
    if which != "chain":
        ratio = f" ({row['ratio']:.2f} x torch)" if "ratio" in row else ""
        return (f"peak of {which}, forward+backward", f"{row['bytes'] / 1e6:.1f} MB{ratio}"), "1.20 x torch"
    right = "right" if row["correct"] else "wrong"
    return (
        f"chain of {row['ops']:,} operations",
        f"{right}, backward {row['backward_s']:.2f} s",
    ), "no recursion"


def main() -> int:
    """Runs one probe and prints its numbers as one line of JSON."""
    name, device, which, scale = sys.argv[1:5]
    library = load(name, device)
    print(json.dumps(_PROBES[which](library, scale) if which in _PROBES else convolution(library, which)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
