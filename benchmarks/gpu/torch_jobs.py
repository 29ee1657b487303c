"""How PyTorch does the jobs of `jobs`: eager, compiled, and in CUDA graphs; nothing where it is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.jobs import Job, Side, kernel_data, layer


def available(device: str) -> bool:
    """Whether PyTorch is installed and has the device."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return device == "cpu" or torch.cuda.is_available()


def ways(job: Job, device: str) -> tuple[str, ...]:
    """Eager everywhere; on a GPU an MLP and kernels are compiled too, in both modes, a small MLP is one CUDA graph.

    "reduced" is the mode "reduce-overhead": CUDA graphs of the compiled parts, forward and backward.
    """
    if device == "cpu" or job.kind not in ("mlp", "kernel"):
        return ("eager",)
    compiled = ("eager", "compiled", "reduced")
    return (*compiled, "graph") if job.name == "mlp small" else compiled


def theirs(job: Job, way: str, device: str, tiny: bool) -> Side:
    """The job in PyTorch."""
    import torch

    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job.precision == "tf32"
    rng = np.random.default_rng(0)
    make = {"mlp": _mlp, "kernel": _kernel, "resnet": _resnet, "conv": _conv}[job.kind]
    step = make(job, job.chosen(tiny), device, way, rng)
    if way == "graph":
        step = _graphed(step)
    if device == "cpu":
        return Side(step, lambda: None, lambda: None)

    def peak() -> int | None:
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated()) if way != "graph" else None

    return Side(step, torch.cuda.synchronize, peak)


def _mlp(job: Job, sizes: tuple[int, ...], device: str, way: str, rng: Any) -> Callable[[], Any]:
    import torch

    batch, *widths = sizes
    layers: list[Any] = []
    for m, n in itertools.pairwise(widths):
        layers += [torch.nn.Linear(m, n), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1]).to(device)
    x = torch.tensor(rng.standard_normal((batch, widths[0])).astype(np.float32), device=device)
    y = torch.tensor(rng.integers(0, widths[-1], batch), device=device)
    fused = {"fused": True} if device != "cpu" else {}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, capturable=way == "graph", **fused)
    return _training(job, model, optimizer, x, y, way, device)


def _resnet(job: Job, sizes: tuple[int, ...], device: str, way: str, rng: Any) -> Callable[[], Any]:
    import torch

    batch, pixels = sizes
    model = resnet50(1000 if pixels > 100 else 10).to(device).to(memory_format=torch.channels_last)
    x = torch.tensor(rng.standard_normal((batch, 3, pixels, pixels)).astype(np.float32), device=device)
    y = torch.tensor(rng.integers(0, 1000 if pixels > 100 else 10, batch), device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    return _training(job, model, optimizer, x.to(memory_format=torch.channels_last), y, way, device)


def _training(job: Job, model: Any, optimizer: Any, x: Any, y: Any, way: str, device: str) -> Callable[[], Any]:
    import torch

    def loss_of(x: Any, y: Any) -> Any:
        half = job.precision == "bfloat16"
        with torch.autocast(device.partition(":")[0], torch.bfloat16) if half else contextlib.nullcontext():
            return torch.nn.functional.cross_entropy(model(x), y)

    loss_of = _compiled(loss_of, way)

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        if way == "reduced":  # what the graphs gave last time may be written over
            torch.compiler.cudagraph_mark_step_begin()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _compiled(function: Callable[..., Any], way: str) -> Callable[..., Any]:
    import torch

    modes = {"compiled": "default", "reduced": "reduce-overhead"}
    if way not in modes:
        return function
    torch._dynamo.reset()  # what it saw of other sizes would make it compile for sizes that change
    return torch.compile(function, mode=modes[way], dynamic=False)  # type: ignore[no-any-return]


def _kernel(job: Job, sizes: tuple[int, ...], device: str, way: str, rng: Any) -> Callable[[], Any]:
    import torch

    x, g, w, b, y = (torch.tensor(a, device=device) for a in kernel_data(job, sizes))
    inputs = (x, w, b) if job.part == "layer_norm" else (x,)
    for each in inputs:
        each.requires_grad_()
    F = torch.nn.functional  # noqa: N806 - its name everywhere
    functions: dict[str, Callable[..., Any]] = {
        "silu": lambda x, w, b: F.silu(x),
        "gelu": lambda x, w, b: F.gelu(x),
        "softmax": lambda x, w, b: F.softmax(x, -1),
        "layer_norm": lambda x, w, b: F.layer_norm(x, (sizes[1],), w, b),
        "cross_entropy": lambda x, w, b: F.cross_entropy(x, y),
    }
    function = _compiled(functions[job.part], way)

    def step() -> Any:
        for each in inputs:
            each.grad = None
        if way == "reduced":
            torch.compiler.cudagraph_mark_step_begin()
        out = function(x, w, b)
        out.backward(g)
        return (out.detach(), *(each.grad for each in inputs))

    return step


def _graphed(step: Callable[[], Any]) -> Callable[[], Any]:
    """The whole step as one CUDA graph, as PyTorch's notes on graphs have it."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def _conv(job: Job, sizes: tuple[int, ...], device: str, way: str, rng: Any) -> Callable[[], Any]:
    import torch

    *arrays, stride, pad = layer(job, sizes, rng)
    kind = torch.bfloat16 if job.precision == "bfloat16" else torch.float32
    x, w, g = (torch.tensor(a, device=device, dtype=kind).to(memory_format=torch.channels_last) for a in arrays)

    def gradient(*wanted: bool) -> Any:
        where = [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1
        return torch.ops.aten.convolution_backward(g, x, w, None, *where, [*wanted, False])

    parts: dict[str, Callable[[], Any]] = {
        "forward": lambda: torch.nn.functional.conv2d(x, w, stride=stride, padding=pad),
        "images": lambda: gradient(True, False),
        "kernels": lambda: gradient(False, True),
    }
    return parts[job.part]


def resnet50(classes: int) -> Any:
    """ResNet-50 (K. He et al. 2016) with the stride in the 3 x 3 convolution: what torchvision's is."""
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, channels: int, width: int, stride: int) -> None:
            super().__init__()
            out = 4 * width
            self.inner = nn.Sequential(
                nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                nn.Conv2d(width, out, 1, bias=False), nn.BatchNorm2d(out),
            )  # fmt: skip
            same = stride == 1 and channels == out
            shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            self.shortcut = nn.Identity() if same else shortcut

        def forward(self, x: Any) -> Any:
            return (self.inner(x) + self.shortcut(x)).relu_()

    layers: list[Any] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for width, count, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(count):
            layers.append(Bottleneck(channels, width, stride if i == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
