"""The jobs of `python -m benchmarks.gpu`, and how gpugrad does them: training steps, kernels and convolutions."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.backend import backend_for
from gpugrad.backend.conv import Geometry
from gpugrad.cost.ceilings import copy_ceiling, product_ceiling


@dataclass(frozen=True)
class Job:
    """One thing to measure.

    Attributes:
        name: in the report.
        what: in words.
        kind: "mlp", "kernel", "conv" or "resnet".
        sizes: of it; mlp: (batch, *widths), kernel: (rows, columns), conv: (batch, in, out, kernel, stride, pixels),
            resnet: (batch, pixels).
        tiny: the same in a rehearsal.
        precision: "float32", "tf32" or "bfloat16".
        ceiling: which of `ceilings` its arithmetic is held against.
        ways: of gpugrad: "eager", "captured" where `gg.compile` is there, "cudnn" and "im2col" for who convolves.
        part: of a convolution: "forward", "images" or "kernels" (their gradients); of a kernel: its name.
    """

    name: str
    what: str
    kind: str
    sizes: tuple[int, ...]
    tiny: tuple[int, ...]
    precision: str = "float32"
    ceiling: str = ""
    ways: tuple[str, ...] = ("eager",)
    part: str = ""

    def chosen(self, tiny: bool) -> tuple[int, ...]:
        """The sizes of this run."""
        return self.tiny if tiny else self.sizes

    def flops(self, tiny: bool) -> int:
        """Arithmetic of a step: of a network forward and backward (three products of each matrix but the first).

        Of a convolution that of its part; 0 if not counted.
        """
        sizes = self.chosen(tiny)
        if self.kind == "mlp":
            batch, *widths = sizes
            products = [2 * batch * m * n for m, n in itertools.pairwise(widths)]
            return 3 * sum(products) - products[0]
        if self.kind == "conv":
            batch, channels, out, kernel, stride, pixels = sizes
            return 2 * batch * out * channels * kernel**2 * math.ceil(pixels / stride) ** 2
        return 0


    def bytes(self, tiny: bool) -> int:
        """What a kernel forward and backward must read and write: each array once; 0 if not counted.

        x and y, then g, what is kept of x or y, and the gradient; a loss of each row writes no y and reads no g.
        """
        if self.kind != "kernel":
            return 0
        rows, columns = self.chosen(tiny)
        return (3 if self.part == "cross_entropy" else 5) * 4 * rows * columns


@dataclass
class Side:
    """One way to do a job: a step, what waits for it, and the most memory it took (None where nobody knows)."""

    step: Callable[[], Any]
    synchronize: Callable[[], Any]
    peak: Callable[[], int | None]


_CAPTURED = ("eager", "captured") if hasattr(gg, "compile") else ("eager",)
_LARGE, _SMALL = (8192, *[4096] * 9), (128, 784, 256, 128, 10)
_KERNELS = ("silu", "gelu", "softmax", "layer_norm", "cross_entropy")
# (in, out, kernel, stride, pixels) of ResNet-50's convolutions that differ in kind, on images of 224 pixels.
_LAYERS = (
    (3, 64, 7, 2, 224), (64, 64, 1, 1, 56), (64, 64, 3, 1, 56), (64, 256, 1, 1, 56), (256, 128, 1, 1, 56),
    (128, 128, 3, 2, 56), (256, 512, 1, 2, 56), (128, 128, 3, 1, 28), (512, 256, 1, 1, 28), (256, 256, 3, 1, 14),
    (1024, 2048, 1, 2, 14), (512, 512, 3, 1, 7),
)  # fmt: skip

JOBS: tuple[Job, ...] = (
    Job("mlp large bf16", "8 layers of 4096, batch 8192, Adam, autocast", "mlp", _LARGE, (8, 16, 16, 16), "bfloat16",
        "bfloat16 products", _CAPTURED),
    Job("mlp large tf32", "the same in TF32", "mlp", _LARGE, (8, 16, 16, 16), "tf32", "tf32 products", _CAPTURED),
    Job("mlp small", "784-256-128-10, batch 128, Adam, float32", "mlp", _SMALL, (8, 12, 8, 4), "float32",
        "float32 products", _CAPTURED),
    *(
        Job(f"{name} {size}", f"forward and backward, {rows} rows of {columns}, float32", "kernel", (rows, columns),
            (3, 8), ceiling="copy", ways=_CAPTURED, part=name)
        for size, rows, columns, names in (
            ("10^7", 2560, 4096, _KERNELS),
            ("10^8", 24576, 4096, _KERNELS),
            ("10^8 wide", 2048, 50257, ("softmax", "cross_entropy")),
            ("10^8 narrow", 1572864, 64, ("softmax", "layer_norm")),
        )
        for name in names
    ),
    Job("resnet50 bf16", "a training step on 64 images of 224 pixels, autocast, channels last", "resnet", (64, 224),
        (2, 32), "bfloat16", ways=("cudnn", "im2col", *_CAPTURED[1:])),
    *(
        Job(f"conv {i}-{o} {k}x{k}/{s} {p} {precision} {part}", "batch 64, channels last", "conv", (64, i, o, k, s, p),
            (1, min(i, 4), min(o, 4), k, s, 8), precision, f"{precision} products", ("cudnn", "im2col"), part)
        for precision in ("bfloat16", "tf32")
        for i, o, k, s, p in _LAYERS
        for part in ("forward", "images", "kernels")
        if (i, part) != (3, "images")  # nobody asks for the gradient of the pictures
    ),
)  # fmt: skip


# What arithmetic and traffic are held against: the rates of large matrix products by type, and of a copy in bytes.
CEILINGS: dict[str, tuple[Any, str]] = {
    "float32 products": (np.float32, "highest"),
    "tf32 products": (np.float32, "high"),
    "bfloat16 products": (gg.bfloat16, "highest"),
    "copy": (None, "highest"),
}


def ceiling(name: str, device: str, tiny: bool) -> float:
    """One of `CEILINGS` as it is measured, a second."""
    dtype, precision = CEILINGS[name]
    if tiny:
        return 1e12
    with multiplying(precision):
        if dtype is None:
            return copy_ceiling(backend_for(device))
        return product_ceiling(backend_for(device), dtype)


@contextlib.contextmanager
def multiplying(precision: str) -> Any:
    """A block in which float32 products are "highest" (float32) or "high" (TF32)."""
    before = gg.get_float32_matmul_precision()
    gg.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        gg.set_float32_matmul_precision(before)


def ours(job: Job, way: str, device: str, tiny: bool) -> Side:
    """The job in gpugrad."""
    gg.manual_seed(0)
    rng = np.random.default_rng(0)
    with _on(device):
        make = {"mlp": _mlp, "kernel": _kernel, "resnet": _resnet, "conv": _conv}[job.kind]
        step = make(job, job.chosen(tiny), device, rng)
    compiled: Any = None
    if way == "captured":  # its device is that of its arguments, so it has one
        plain, argument = step, gg.zeros(1, device=device)

        def nothing_back(_: Any) -> None:  # results of a graph are copied for the caller, which nobody asked for
            plain()

        compiled = gg.compile(nothing_back)
        step = functools.partial(compiled, argument)

    def run() -> Any:
        convolving = gg.cuda.convolution(way if way in ("cudnn", "im2col") else "auto")
        with convolving, multiplying("high" if job.precision == "tf32" else "highest"):
            return step()

    def peak() -> int | None:
        cuda = gg.device(device).type == "cuda"
        if cuda and compiled is not None and not compiled.graphs:
            raise RuntimeError("gg.compile made no graph of this step: what was timed is the plain one")
        if not cuda:
            return None
        if compiled is not None:  # a replay allocates nothing: its pool is its own
            stats = gg.cuda.memory_stats(device)
            return int(stats.in_use_bytes + stats.graph_bytes)
        gg.cuda.reset_peak_memory_stats(device)
        run()
        most = gg.cuda.max_memory_allocated(device)
        gg.cuda.stop_peak_memory_stats()
        return most

    return Side(run, backend_for(device).synchronize, peak)


@contextlib.contextmanager
def _on(device: str) -> Any:
    before = gg.default_device()
    gg.set_default_device(device)
    try:
        yield
    finally:
        gg.set_default_device(before)


def _mlp(job: Job, sizes: tuple[int, ...], device: str, rng: Any) -> Callable[[], Any]:
    batch, *widths = sizes
    layers: list[Any] = []
    for m, n in itertools.pairwise(widths):
        layers += [gg.nn.Linear(m, n), gg.nn.ReLU()]
    model = gg.nn.Sequential(*layers[:-1])
    x = gg.tensor(rng.standard_normal((batch, widths[0])).astype(np.float32), device=device)
    y = gg.tensor(rng.integers(0, widths[-1], batch), device=device)
    return _training(job, model, gg.optim.Adam(model.parameters(), lr=1e-4), x, y)


@functools.lru_cache(maxsize=1)
def kernel_data(job: Job, sizes: tuple[int, ...]) -> tuple[Any, ...]:
    """The input, the cotangent of the result, a weight, a bias and labels, on the host; the same for every side."""
    rng, (rows, columns) = np.random.default_rng(0), sizes
    drawn = rng.standard_normal(1 << 16, dtype=np.float32)
    x, w, b = (np.resize(drawn, s) for s in ((rows, columns), (columns,), (columns,)))
    g = np.float32(1) if job.part == "cross_entropy" else np.resize(drawn[::-1], (rows, columns))
    return x, g, w, b, rng.integers(0, columns, rows)


def _kernel(job: Job, sizes: tuple[int, ...], device: str, rng: Any) -> Callable[[], Any]:
    x, g, w, b, y = (gg.tensor(a, device=device) for a in kernel_data(job, sizes))
    inputs = (x, w, b) if job.part == "layer_norm" else (x,)
    for each in inputs:
        each.requires_grad_()
    F = gg.nn.functional  # noqa: N806 - its name everywhere
    functions: dict[str, Callable[[], Any]] = {
        "silu": lambda: F.silu(x),
        "gelu": lambda: F.gelu(x),
        "softmax": lambda: F.softmax(x, -1),
        "layer_norm": lambda: F.layer_norm(x, (sizes[1],), w, b),
        "cross_entropy": lambda: F.cross_entropy(x, y),
    }
    function = functions[job.part]

    def step() -> Any:
        for each in inputs:
            each.grad = None
        out = function()
        out.backward(g)
        return (out.detach(), *(each.grad for each in inputs))

    return step


def _resnet(job: Job, sizes: tuple[int, ...], device: str, rng: Any) -> Callable[[], Any]:
    batch, pixels = sizes
    classes = 1000 if pixels > 100 else 10
    model = gg.nn.models.resnet50(classes) if pixels > 100 else gg.nn.models.resnet18(classes, width=4)
    x = gg.tensor(rng.standard_normal((batch, 3, pixels, pixels)).astype(np.float32), device=device)
    y = gg.tensor(rng.integers(0, classes, batch), device=device)
    return _training(job, model, gg.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9), x, y)


def _training(job: Job, model: Any, optimizer: Any, x: Any, y: Any) -> Callable[[], Any]:
    def step() -> Any:
        optimizer.zero_grad()
        with gg.autocast("bfloat16") if job.precision == "bfloat16" else contextlib.nullcontext():
            loss = gg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def layer(job: Job, sizes: tuple[int, ...], rng: Any) -> tuple[Any, Any, Any, int, int]:
    """Images, kernels and the results' gradient of a convolution, on the host; its stride and padding."""
    batch, channels, out, kernel, stride, pixels = sizes
    side = (pixels + 2 * (kernel // 2) - kernel) // stride + 1
    shapes = (batch, channels, pixels, pixels), (out, channels, kernel, kernel), (batch, out, side, side)
    # The same million numbers again and again: drawing hundreds of millions would take the time of the measurement.
    drawn = rng.standard_normal(1 << 20, dtype=np.float32)
    x, w, g = (np.resize(drawn, s) for s in shapes)
    return x, w, g, stride, kernel // 2


def _conv(job: Job, sizes: tuple[int, ...], device: str, rng: Any) -> Callable[[], Any]:
    x, w, g, stride, pad = layer(job, sizes, rng)
    backend, kind = backend_for(device), gg.bfloat16 if job.precision == "bfloat16" else np.dtype(np.float32)
    at = Geometry((stride,) * 2, ((pad, pad),) * 2, (1, 1), 1)

    def last(a: Any) -> Any:
        there = backend.xp.moveaxis(backend.from_host(a), 1, -1)
        return backend.xp.moveaxis(backend.xp.ascontiguousarray(there).astype(kind), -1, 1)

    images, kernels, given = last(x), backend.from_host(w.astype(kind)), last(g)
    parts: dict[str, Callable[[], Any]] = {
        "forward": lambda: backend.conv(images, kernels, at),
        "images": lambda: backend.conv_input(given, kernels, x.shape[2:], at),
        "kernels": lambda: backend.conv_weight(images, given, w.shape[2:], at),
    }
    return parts[job.part]
