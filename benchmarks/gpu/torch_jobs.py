"""How PyTorch does the jobs of `jobs`: eager, compiled, and as a CUDA graph; nothing where it is not installed."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu.jobs import Job, Side


def available(device: str) -> bool:
    """Whether PyTorch is installed and has the device."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return device == "cpu" or torch.cuda.is_available()


def ways(job: Job, device: str) -> tuple[str, ...]:
    """Eager everywhere; on a GPU compiled too, and for small networks a CUDA graph of the whole step.

    Its ResNet is torchvision's; without that package there is none.
    """
    if job.kind == "resnet" and importlib.util.find_spec("torchvision") is None:
        return ()
    if device == "cpu" or job.kind == "conv":
        return ("eager",)
    return ("eager", "compiled", "graph") if job.name == "mlp small" else ("eager", "compiled")


def theirs(job: Job, way: str, device: str, tiny: bool) -> Side:
    """The job in PyTorch."""
    import torch

    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job.precision == "tf32"
    rng = np.random.default_rng(0)
    make = {"mlp": _mlp, "resnet": _resnet, "conv": _conv}[job.kind]
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
    import torchvision

    batch, pixels = sizes
    model = torchvision.models.resnet50(num_classes=1000 if pixels > 100 else 10).to(device)
    model = model.to(memory_format=torch.channels_last)
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

    loss_of = torch.compile(loss_of) if way == "compiled" else loss_of

    def step() -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

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

    batch, channels, out, kernel, stride, pixels = sizes
    x = torch.tensor(rng.standard_normal((batch, channels, pixels, pixels)).astype(np.float32), device=device)
    w = torch.tensor(rng.standard_normal((out, channels, kernel, kernel)).astype(np.float32), device=device)
    x, w = (t.to(memory_format=torch.channels_last).requires_grad_() for t in (x, w))
    side = (pixels + 2 * (kernel // 2) - kernel) // stride + 1
    g = torch.ones(batch, out, side, side, device=device).to(memory_format=torch.channels_last)

    def step() -> Any:
        x.grad = w.grad = None
        y = torch.nn.functional.conv2d(x, w, stride=stride, padding=kernel // 2)
        y.backward(g)
        return y

    return step
