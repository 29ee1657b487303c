"""Peak memory of the steps that `python -m benchmarks.gpu` times, counted without a device.

    python -m benchmarks.gpu.peaks [--tiny] [--out FOLDER]

gpugrad's steps run with CuPy's own arrays and launches that do nothing (`undriven`), each piece of memory counted while
somebody has it. PyTorch's run in eager mode on its fake tensors, which have shapes and no values; what an operation
returns is counted while its storage is there. Both count by 512 bytes, as both allocators do, and neither counts the
workspace of cuBLASLt (32 MiB on either side on an H100) nor what a kernel of PyTorch's takes and gives back inside.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import gpugrad as gg
from benchmarks import machine
from benchmarks.gpu import torch_jobs
from benchmarks.gpu.host import written
from benchmarks.gpu.jobs import JOBS, Job, kernel_data, ours
from benchmarks.gpu.undriven import undriven, why_not
from benchmarks.paired import RESULTS

COUNTED = [job for job in JOBS if job.kind in ("mlp", "kernel")]


def of_ours(job: Job, tiny: bool) -> int:
    """The most bytes that a step has at a time, its parameters, states and data among them."""
    with undriven(counting=True) as counts:
        gg.linalg.matrix_power(gg.zeros((4, 4), device="cuda"), 2)
        workspace = counts.held
        step = ours(job, "eager", "cuda", tiny).step
        for _ in range(2):
            step()
        counts.clear()
        step()
        return counts.most - workspace


def of_torch(job: Job, tiny: bool) -> int:
    """The same of PyTorch."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    stays = mock.patch.object(torch.nn.Module, "to", lambda module, *_: module)  # fake parameters cannot be exchanged
    fused = mock.patch.object(torch.optim, "Adam", functools.partial(torch.optim.Adam, fused=True))  # as on a GPU
    with FakeTensorMode(), stays, fused, _counting() as counts:
        step = torch_jobs.theirs(job, "eager", "cpu", tiny).step
        for _ in range(2):
            step()
        counts["most"] = counts["held"]
        step()
        return counts["most"]


@contextlib.contextmanager
def _counting() -> Iterator[dict[str, int]]:
    """A block in which storages that operations return are counted for as long as they are there."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    counts, known = {"held": 0, "most": 0}, {}

    def gone(key: int) -> None:
        counts["held"] -= known.pop(key)

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = call(*args, **(kwargs or {}))
            for each in tree_leaves(found):
                if isinstance(each, torch.Tensor):
                    storage = each.untyped_storage()
                    if storage._cdata not in known:
                        known[storage._cdata] = -(-storage.nbytes() // 512) * 512
                        counts["held"] += known[storage._cdata]
                        counts["most"] = max(counts["most"], counts["held"])
                        weakref.finalize(storage, gone, storage._cdata)
            return found

    with Counting():
        yield counts


def measure(tiny: bool) -> dict[str, Any]:
    """The record: the bytes of each job on either side."""
    sides: dict[str, Callable[[Job, bool], int]] = {"gpugrad": of_ours}
    if torch_jobs.available("cpu"):
        sides["torch"] = of_torch
    found = {}
    for job in COUNTED:
        found[job.name] = {side: count(job, tiny) for side, count in sides.items()}
        kernel_data.cache_clear()
        gc.collect()
    return {"machine": machine.describe(), "tiny": tiny, "bytes": found}


def table(record: dict[str, Any]) -> str:
    """The record as text."""
    versions = record["machine"]["versions"]
    known = ", ".join(f"{name} {v}" for name, v in versions.items() if name.startswith(("gpugrad", "torch", "cupy")))
    lines = [
        "# Peak memory of training steps and kernels on a GPU",
        "",
        "Counted without a device, from what the host asks for; parameters, states of Adam and data are in it, the "
        f"workspace of matrix products is not. PyTorch: eager, fused Adam. {known}, {record['machine']['date']}.",
        "",
        "| step | gpugrad, MiB | PyTorch, MiB | of PyTorch's |",
        "|---|---|---|---|",
    ]
    for name, of in record["bytes"].items():
        theirs = of.get("torch")
        peer = f"{theirs / 2**20:.2f} | {of['gpugrad'] / theirs:.3f}" if theirs else "- | -"
        lines.append(f"| {name} | {of['gpugrad'] / 2**20:.2f} | {peer} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Counts and writes `gpu-peaks.json` and `gpu-peaks.md`; 2 where it cannot be counted here."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu.peaks", description=__doc__.split("\n")[0])
    parser.add_argument("--tiny", action="store_true", help="a rehearsal on small arrays: its figures mean little")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the two files go")
    options = parser.parse_args(arguments)
    if reason := why_not():
        print(f"benchmarks.gpu.peaks: not counted: {reason}", file=sys.stderr)
        return 2
    record = measure(options.tiny)
    written(options.out, "gpu-peaks", record, table(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
