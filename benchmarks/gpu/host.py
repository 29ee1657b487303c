"""What the host does for an operation on a GPU, measured without one: Python, and CuPy's making of arrays.

    python -m benchmarks.gpu.host [--quick] [--out FOLDER]

Real CuPy objects, launches that do nothing (`undriven`): what a launch itself takes, and an allocation of CuPy's memory
pool, come on top and are not measured. A small network is bound by this cost alone. PyTorch on the CPU with
arrays of four numbers stands beside it: its eager dispatch, recording, allocation and backward pass, and kernels that
have nothing to do; its own launches on a GPU would come on top too.

Where there is a GPU the call ends with code 2: launches are real there, and `python -m benchmarks.gpu` times steps.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gpugrad as gg
from benchmarks import machine
from benchmarks.gpu.undriven import Counts, launch_of_nothing, undriven, why_not
from benchmarks.paired import RESULTS

ROWS, COLUMNS, CHAIN = 128, 256, 20
FEW = 2  # rows and columns of PyTorch's arrays

Call = Callable[[], Any]


def _on_gpu(shape: tuple[int, ...], grad: bool = False, dtype: str = "float32") -> Any:
    return gg.tensor(np.zeros(shape, dtype), device="cuda", requires_grad=grad)


def ours() -> dict[str, Callable[[], Call]]:
    """What is measured of gpugrad: by name, what makes the call. Within `undriven` only."""
    x, other, weight = _on_gpu((ROWS, COLUMNS), True), _on_gpu((ROWS, COLUMNS), True), _on_gpu((COLUMNS, COLUMNS), True)
    row, scale, labels = _on_gpu((COLUMNS,), True), _on_gpu((COLUMNS,), True), _on_gpu((ROWS,), dtype="int64")
    mask, leaves = _on_gpu((ROWS, COLUMNS)), (x, other, row, scale, weight)
    seeds = {shape: _on_gpu(shape) for shape in ((ROWS, COLUMNS), ())}
    forwards = _forwards(gg, gg.nn.functional, x, other, weight, row, scale, mask, labels)
    found = _both(forwards, leaves, seeds)
    return {**found, "Adam, 6 parameters": _update, "training step 784-256-128-10": _training_step,
            "the same, model compiled": functools.partial(_replay, "model"),
            "the same compiled, a replay": functools.partial(_replay, "step")}  # fmt: skip


def _itself(call: Call) -> Call:
    return call


def _chain(x: Any, mask: Any, tanh: Callable[[Any], Any]) -> Any:
    for _ in range(CHAIN // 2):
        x = tanh(x) * mask
    return x


def _forwards(
    library: Any, functional: Any, x: Any, other: Any, weight: Any, row: Any, scale: Any, mask: Any, labels: Any
) -> dict[str, Call]:
    """The calls of a library; gpugrad's and PyTorch's have the same names."""
    return {
        "relu": lambda: library.relu(x),
        "add a row": lambda: mask + row,
        "multiply": lambda: x * other,
        f"{CHAIN} elementwise": lambda: _chain(x, mask, library.tanh),
        "matmul": lambda: x @ weight,
        "linear": lambda: functional.linear(x, weight, row),
        "cross entropy": lambda: functional.cross_entropy(x, labels),
        "layer norm": lambda: functional.layer_norm(x, tuple(row.shape), scale, row),
        "softmax": lambda: library.softmax(x, -1),
        "sum": x.sum,
    }


def _both(forwards: dict[str, Call], leaves: Sequence[Any], seeds: dict[Any, Any]) -> dict[str, Callable[[], Call]]:
    """What makes the calls forward, and backward from the seed of the result's shape."""

    def backward(forward: Call) -> Call:
        y = forward()
        seed = seeds[tuple(y.shape)]

        def back() -> None:
            for leaf in leaves:
                leaf.grad = None
            y.backward(seed, retain_graph=True)

        return back

    found: dict[str, Callable[[], Call]] = {}
    for name, forward in forwards.items():
        found[name] = functools.partial(_itself, forward)
        found[f"{name}, backward"] = functools.partial(backward, forward)
    return found


def _network() -> Any:
    nn = gg.nn
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)).to("cuda")


def _update() -> Call:
    net = _network()
    for p in net.parameters():
        p.grad = _on_gpu(p.shape)
    return gg.optim.Adam(net.parameters()).step  # type: ignore[no-any-return]


def _training_step(compiled: str = "") -> Call:
    net, image, labels = _network(), _on_gpu((ROWS, 784)), _on_gpu((ROWS,), dtype="int64")
    optimizer = gg.optim.Adam(net.parameters())
    model = gg.compile(net) if compiled == "model" else net

    def step(image: Any, labels: Any) -> None:
        optimizer.zero_grad()
        gg.nn.functional.cross_entropy(model(image), labels).backward()
        optimizer.step()

    return functools.partial(gg.compile(step) if compiled == "step" else step, image, labels)


def _replay(compiled: str) -> Call:
    """A step whose graph is recorded (arguments are copied to where it reads them, then one launch), or its model's."""
    step = _training_step(compiled)
    for _ in range(4):
        step()
    return step


def theirs() -> dict[str, Callable[[], Call]]:
    """The same of PyTorch on the CPU with arrays of a few numbers; {} where it is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)

    def made(*shape: int) -> Any:
        return torch.zeros(shape, requires_grad=True)

    x, other, weight, row, scale = made(FEW, FEW), made(FEW, FEW), made(FEW, FEW), made(FEW), made(FEW)
    mask, labels = torch.zeros((FEW, FEW)), torch.zeros(FEW, dtype=torch.int64)
    leaves, seeds = (x, other, row, scale, weight), {(FEW, FEW): mask, (): mask.sum()}
    forwards = _forwards(torch, torch.nn.functional, x, other, weight, row, scale, mask, labels)
    found = _both(forwards, leaves, seeds)
    return {**found, "Adam, 6 parameters": _their_update, "training step 784-256-128-10": _their_step}


def _their_network() -> Any:
    from torch import nn

    linear = nn.Linear
    return nn.Sequential(linear(FEW, FEW), nn.ReLU(), linear(FEW, FEW), nn.ReLU(), linear(FEW, FEW))


def _their_update() -> Call:
    import torch

    net = _their_network()
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    return torch.optim.Adam(net.parameters(), fused=True).step


def _their_step() -> Call:
    import torch

    net, image, labels = _their_network(), torch.zeros((FEW, FEW)), torch.zeros(FEW, dtype=torch.int64)
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(image), labels).backward()
        optimizer.step()

    return step


# Measuring ---------------------------------------------------------------------------------------------------------


def microseconds(call: Call, seconds: float) -> float:
    """The least time of a call over rounds of some milliseconds each, in microseconds."""
    for _ in range(3):
        call()
    start = time.perf_counter()
    call()
    count = max(1, int(0.004 / max(time.perf_counter() - start, 1e-7)))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, (time.perf_counter() - start) / count)
    return best * 1e6


def counted(make: Callable[[], Call], counts: Counts) -> dict[str, Any]:
    """What a call asks of the device, once its kernels are there."""
    call = make()
    for _ in range(2):
        call()
    counts.clear()
    call()
    return {"launches": list(counts.launches), "arrays": counts.arrays, "uploads": counts.uploads}


def measure(seconds: float) -> dict[str, Any]:
    """The record: what each call asks for, its time, PyTorch's, and what an array and an empty launch take."""
    import cupy

    rows: dict[str, dict[str, Any]] = {}
    with undriven(counting=True) as counts:
        for name, make in ours().items():
            try:
                rows[name] = counted(make, counts)
            except cupy.cuda.runtime.CUDARuntimeError:
                rows[name] = {"left_out": "calls kernels of CuPy's own"}
    peers = theirs()
    for name, make in peers.items():
        rows[name]["torch_us"] = microseconds(make(), seconds)
    with undriven():
        dtype, single = np.dtype(np.float32), (1,)
        array = microseconds(lambda: cupy.ndarray((ROWS, COLUMNS), dtype), seconds)
        launch = microseconds(lambda: launch_of_nothing(single, single, single), seconds)
        empty = microseconds(lambda: None, seconds)
        for name, make in ours().items():
            row = rows[name]
            if "left_out" not in row:
                call = make()
                row["us"] = microseconds(call, seconds)
                row["arrays_us"] = row["arrays"] * (array - empty)
                own = row["us"] - row["arrays_us"] - len(row["launches"]) * (launch - empty)
                row["own_us_a_launch"] = own / max(1, len(row["launches"]))
    return {"machine": machine.describe(), "array_us": array - empty, "launch_of_nothing_us": launch - empty,
            "calls": rows}  # fmt: skip


def table(record: dict[str, Any]) -> str:
    """The record as text."""
    about = record["machine"]
    versions = ", ".join(f"{n} {v}" for n, v in about["versions"].items() if n.startswith(("gpugrad", "torch", "cupy")))
    lines = [
        "# The host's part of an operation on a GPU, in microseconds",
        "",
        "Measured without a device: real CuPy arrays, launches that do nothing. A launch itself and an allocation of "
        "CuPy's pool come on top; neither has been measured. PyTorch: the same on the CPU with arrays of four numbers "
        "(eager, fused Adam). A single backward includes the start of a pass, on both sides; the chain shows what an "
        "operation adds to it.",
        "",
        f"{about['cpu']} ({about['cpu_family_and_model']}), {versions}, {about['date']}. Making an "
        f"array: {record['array_us']:.2f}, taken off in the column *own*, which is for each launch.",
        "",
        "| call | launches | arrays | host | of which arrays | own, a launch | PyTorch |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in record["calls"].items():
        peer = f"{row['torch_us']:.1f}" if "torch_us" in row else "-"
        if "left_out" in row:
            lines.append(f"| {name} | {row['left_out']} | | | | | {peer} |")
            continue
        counts = f"{len(row['launches'])} | {row['arrays']}"
        times = f"{row['us']:.1f} | {row['arrays_us']:.1f} | {row['own_us_a_launch']:.2f}"
        lines.append(f"| {name} | {counts} | {times} | {peer} |")
    return "\n".join(lines) + "\n"


def written(folder: Path, name: str, record: dict[str, Any], text: str) -> None:
    """Write a record and its table to a folder, as `name`.json and .md, and show the table."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (folder / f"{name}.md").write_text(text)
    print(text)


def main(arguments: list[str] | None = None) -> int:
    """Measures and writes `gpu-host.json` and `gpu-host.md`; 2 where it cannot be measured here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.host", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a rehearsal: its times mean little")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the two files go")
    options = parser.parse_args(arguments)
    if reason := why_not():
        print(f"benchmarks.gpu.host: not measured: {reason}", file=sys.stderr)
        return 2
    gc.collect()
    gc.disable()
    try:
        record = measure(0.01 if options.quick else 0.35)
    finally:
        gc.enable()
    written(options.out, "gpu-host", record, table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
