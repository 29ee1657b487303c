"""What is measured: every job, its sizes, and the goal that gpugrad sets itself.

A job is plain data, so that it can be sent to a worker process as JSON. How a library does a job is in
`benchmarks/libs/`; how the time is taken is in `worker.py` and `paired.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks import loops
from benchmarks.layers import LAYERS, NETWORKS, SMOKE
from benchmarks.operations import SHAPES

RATIO = "x torch"
PER_OP = "us/op"

# The two ways to run gpugrad on a CPU: with the `cpu` extra (Numba) and with NumPy alone.
WITH_NUMBA = "gpugrad"
NUMPY_ALONE = "gpugrad-numpy"

SUITES = ("mlp", "tape", "elementwise", "operations", "convolution", "adam", "transforms", "loops", "memory")
SCALES = ("full", "quick", "smoke")

# Name in gpugrad.nn.functional (PyTorch's name, but for `step`); identity is left out because PyTorch returns
# its argument there, and Maxout because it is a reduction.
ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "prelu",
    "elu",
    "selu",
    "celu",
    "gelu",
    "gelu_tanh",
    "silu",
    "mish",
    "softplus",
    "sigmoid",
    "logsigmoid",
    "tanh",
    "hardtanh",
    "hardsigmoid",
    "hardswish",
    "softsign",
    "relu6",
    "step",
    "sin",
)

ELEMENTWISE_MEAN_GOAL = 1.0
ELEMENTWISE_WORST_GOAL = 1.6
ELEMENTWISE_LARGE_GOAL = 0.4
ELEMENTWISE_CACHE_SIZE = 1_000_000
# Of the measured bandwidth of a copy, on a GPU.
BANDWIDTH_GOAL = 0.85


@dataclass(frozen=True)
class Job:
    """One thing to measure.

    Args:
        name: what the tables print and what `--only` matches.
        suite: one of SUITES, "control" or "bandwidth".
        kind: which builder of a library does it: the name of its method (mlp, gemm, tape, per_example, ...).
        params: the sizes; JSON values only.
        goals: the largest value that passes, by library name; empty where no goal is set for the single job.
        unit: RATIO for a time relative to PyTorch's best, PER_OP for microseconds an operation.
        divisor: operations in one call, for PER_OP.
    """

    name: str
    suite: str
    kind: str
    params: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, float] = field(default_factory=dict)
    unit: str = RATIO
    divisor: int = 1

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values; `Job(**job.to_json())` is the same job."""
        return asdict(self)


def _mlp_goals(activation: str, optimizer: str, small: bool) -> dict[str, float]:
    if small:
        return {WITH_NUMBA: 0.80, NUMPY_ALONE: 0.90}
    alone = 0.70
    if activation == "gelu":
        alone = 0.80
    if optimizer == "adam":
        alone = 0.95
    return {WITH_NUMBA: 0.65, NUMPY_ALONE: alone}


def mlp_jobs(scale: str) -> Iterator[Job]:
    """One training step (zero_grad, forward, cross entropy, backward, update) in float32.

    Beside each shape its matrix products alone, by NumPy's BLAS and PyTorch's: no work on anything else brings a step
    below that ratio, which differs from machine to machine.
    """
    shapes: list[tuple[str, list[int], int]] = [
        ("784-128-10 B32", [784, 128, 10], 32),
        ("784-512-512-10 B128", [784, 512, 512, 10], 128),
        ("784-1024x3-10 B512", [784, 1024, 1024, 1024, 10], 512),
        ("2048x4-10 B512", [2048, 2048, 2048, 2048, 10], 512),
    ]
    if scale == "smoke":
        shapes = [("12-8-4 B6", [12, 8, 4], 6)]
    for label, sizes, batch in shapes:
        yield Job(f"mlp {label} matrix products alone", "mlp", "gemm", {"sizes": sizes, "batch": batch})
        for activation, optimizer in (("relu", "sgd"), ("gelu", "sgd"), ("tanh", "sgd"), ("relu", "adam")):
            small = max(sizes[1:]) <= 128
            yield Job(
                f"mlp {label} {activation} {optimizer}",
                "mlp",
                "mlp",
                {"sizes": sizes, "batch": batch, "activation": activation, "optimizer": optimizer},
                _mlp_goals(activation, optimizer, small),
            )


def tape_jobs(scale: str) -> Iterator[Job]:
    """A chain of multiplications and additions on 16 floats: the cost of an operation that does nothing."""
    ops = 40 if scale == "smoke" else 1000
    for phase, goal in (("forward", 1.2), ("backward", 0.6)):
        yield Job(
            f"tape {ops} ops {phase}",
            "tape",
            "tape",
            {"ops": ops, "width": 16, "phase": phase, "scale": 1.01, "shift": 0.1},
            {WITH_NUMBA: goal, NUMPY_ALONE: goal},
            PER_OP,
            ops,
        )


def elementwise_jobs(scale: str, sizes: tuple[int, ...] | None = None) -> Iterator[Job]:
    """Forward (no gradient wanted) and VJP (on a retained graph) of every activation."""
    if sizes is None:
        sizes = (1_000,) if scale == "smoke" else (ELEMENTWISE_CACHE_SIZE, 10_000_000)
    for n in sizes:
        for function in ACTIVATIONS:
            for phase in ("forward", "vjp"):
                if function == "step" and phase == "vjp":
                    continue  # PyTorch has no gradient of a hard threshold to compare with.
                large = n > ELEMENTWISE_CACHE_SIZE
                yield Job(
                    f"{function} {phase} {n:.0e}".replace("e+0", "e"),
                    "elementwise",
                    "elementwise",
                    {"function": function, "n": n, "phase": phase},
                    {WITH_NUMBA: ELEMENTWISE_LARGE_GOAL} if large else {},
                )


def adam_jobs(scale: str) -> Iterator[Job]:
    """One `optimizer.step()` of Adam over many arrays whose gradients are ready."""
    arrays, each = (4, 50) if scale == "smoke" else (50, 200_000)
    yield Job(
        f"adam {arrays} arrays {arrays * each:.0e}".replace("e+0", "e"),
        "adam",
        "adam",
        {"arrays": arrays, "each": each},
        {WITH_NUMBA: 1.1, NUMPY_ALONE: 1.6},
    )


def transform_jobs(scale: str) -> Iterator[Job]:
    """Gradients of every example of a batch, and the Jacobian of a layer at one input, in float32.

    The Jacobian's goal is 1.5 times its matrix products, one for the value and one for all rows: the job beside it.
    """
    sizes, batch, width = ([12, 8, 4], 6, 16) if scale == "smoke" else ([784, 256, 128, 10], 128, 512)
    yield Job(
        f"per-example gradients {'-'.join(map(str, sizes))} B{batch} tanh",
        "transforms",
        "per_example",
        {"sizes": sizes, "batch": batch, "activation": "tanh"},
        {WITH_NUMBA: 1.3, NUMPY_ALONE: 1.3},
    )
    yield Job(f"jacobian {width}-{width} tanh", "transforms", "jacobian", {"width": width})
    yield Job(f"jacobian {width}-{width} matrix products alone", "transforms", "jacobian_products", {"width": width})


def loop_jobs(scale: str) -> Iterator[Job]:
    """Parts of one array, read or written one after the other: no slower than PyTorch, whose time grows by squares."""
    for name, shape in loops.SHAPES["smoke" if scale == "smoke" else "full"].items():
        params = {"loop": name, "shape": list(shape), "steps": min(shape[0], loops.STEPS.get(name, shape[0]))}
        yield Job(f"{name} {shape[0]}x{shape[1]}", "loops", "loop", params, {WITH_NUMBA: 1.0, NUMPY_ALONE: 1.0})


def operation_jobs(scale: str) -> Iterator[Job]:
    """Matrix product, rows, reductions and a broadcast product: forward without a graph, and VJP on a kept one."""
    yield from _operations(scale, "operations", lambda name: not name.startswith("conv"))


def convolution_jobs(scale: str) -> Iterator[Job]:
    """Layers of images, forward and backward together; steps of networks; on bare arrays forward and VJP apart."""
    yield from _operations(scale, "convolution", lambda name: name.startswith("conv"))
    for name, layer in (SMOKE if scale == "smoke" else LAYERS).items():
        goals = {WITH_NUMBA: 1.0 if layer.kind == "max_pool2d" else 1.2}
        if layer.kind == "conv2d":
            goals = {WITH_NUMBA: 2.0, NUMPY_ALONE: 4.0}
        yield Job(f"{name} forward+backward", "convolution", "layer", {"layer": name, "fast": False}, goals)
        if layer.kind == "conv2d" and layer.weight[2:] == (3, 3) and min(layer.weight[:2]) >= 64 and layer.stride == 1:
            params = {"layer": name, "fast": True}
            yield Job(f"{name} forward+backward, fast", "convolution", "layer", params, {WITH_NUMBA: 0.7})
    if scale != "smoke":
        for name, shape in NETWORKS.items():
            for fast, goal in ((False, 1.2), (True, 1.0)):
                label = f"{name} step B{shape[0]}{', fast' if fast else ''}"
                yield Job(label, "convolution", "network", {"network": name, "fast": fast}, {WITH_NUMBA: goal})


def _operations(scale: str, suite: str, wanted: Callable[[str], bool]) -> Iterator[Job]:
    for function, shapes in SHAPES["smoke" if scale == "smoke" else "full"].items():
        if wanted(function):
            for phase in ("forward", "vjp"):
                params = {"function": function, "shapes": [list(shape) for shape in shapes], "phase": phase}
                yield Job(f"{function} {phase}", suite, "operation", params)


def control_job() -> Job:
    """A call that does nothing: what the measurement itself costs."""
    return Job("control: an empty call", "control", "control")


def bandwidth_jobs(scale: str, n: int = 100_000_000) -> Iterator[Job]:
    """A plain copy and every activation on an array far beyond any cache, for fractions of copy bandwidth."""
    if scale != "full":
        n = 100_000 if scale == "smoke" else n // 10
    yield Job(f"copy {n:.0e}".replace("e+0", "e"), "bandwidth", "copy", {"n": n})
    for job in elementwise_jobs(scale, (n,)):
        yield Job(f"bandwidth {job.name}", "bandwidth", job.kind, job.params)


def timed_jobs(suite: str, scale: str) -> list[Job]:
    """The jobs of one suite that the paired runner times (the memory suite has its own: `memory.py`)."""
    makers = {
        "mlp": mlp_jobs,
        "tape": tape_jobs,
        "elementwise": elementwise_jobs,
        "operations": operation_jobs,
        "convolution": convolution_jobs,
        "adam": adam_jobs,
        "transforms": transform_jobs,
        "loops": loop_jobs,
        "bandwidth": bandwidth_jobs,
    }
    return list(makers[suite](scale))
