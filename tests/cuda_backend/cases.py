"""Inputs that are computed on both devices, here on the stand-in and in tests/gpu on a real device."""

from collections.abc import Callable
from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad import nn
from gpugrad.backend import Backend, cpu_rows, cuda_rows
from gpugrad.backend.step_sizes import Schedule
from gpugrad.fusion import Formula, trace
from tests.cuda_backend.parity import same

# ---- formulas: (shapes of x and y, the entry point that they should take)

AXPY = trace(lambda x, y, a: x * a + y, "axpy")
LAYOUTS: list[tuple[Any, str]] = [
    (((64,), (64,)), "contiguous"),
    (((5, 8), (5, 8)), "contiguous"),
    (((5, 8), (8,)), "rows"),
    (((5, 8), (5, 1)), "rows"),
    (((5, 7), (7,)), "strided"),
    (((4, 1, 3), (2, 3)), "strided"),
    (((), ()), "contiguous"),
    (((3, 4), ()), "rows"),
    (((), (2,)), "rows"),
]
INTEGERS: list[Formula] = [
    trace(lambda x, y: x * y + 3.0, "integers"),
    trace(lambda x, y: x > y, "compare"),
    trace(lambda x, y: (x > 2.0) + y, "count"),
    trace(lambda x, y: (x > 2.0) - (y > 2.0), "difference"),
    trace(lambda x, y: gg.where(x > y, x, 0.0), "pick"),
    trace(lambda x, y: x // y, "divide_down"),
    trace(lambda x, y: gg.relu(x - y), "positive_part"),
]

# ---- row kernels: every form, a single element, and rows that shared memory holds in part (226 KiB) and whole

SHAPES = [(5, 7), (2, 3, 40), (9, 130), (3, 300), (3, 1030), (2, 1040), (1, 1)]
SHAPES += [(2, 3001), (2, 5000), (2, 8200), (2, 60001)]
NORMS = [(300, 6), (2, 3, 33), (2, 1030), (2, 130), (300, 8), (2, 3, 32), (3, 1032), (2500, 4), (2, 2052), (2, 5000)]
NORMS += [(2, 8200)]


def normal(rng: np.random.Generator, shape: Any, dtype: Any = np.float32) -> Any:
    """Normal numbers of a dtype."""
    return rng.standard_normal(shape).astype(dtype)


def both(
    cuda: Backend, call: Callable[[Any], Any], *arrays: Any, order: str = "C", rtol: float | None = None
) -> tuple[Any, ...]:
    """`call(rows, *arrays)` on both devices; asserts that the results agree, and returns the CPU's."""
    want = call(cpu_rows, *arrays)
    device = [a if a is None else cuda.from_host(a) for a in arrays]
    if order == "F":
        device = [a if a is None else cuda.xp.ascontiguousarray(a.T).T for a in device]
    have = call(cuda_rows, *device)
    want, have = (r if isinstance(r, tuple) else (r,) for r in (want, have))
    same("result", [h.get() for h in have], list(want), rtol)
    return want


# ---- sums: an array and what it is summed to; maxout of k = 3 neighbours, with ties and nans; dropout

SUMS: list[Any] = [
    ((700, 40), (40,)), ((3, 40), (40,)), ((2, 3, 40), (1, 3, 40)), ((2, 3, 40), (1, 1, 40)), ((6, 40), (6, 1)),
    ((6, 1030), (6, 1)), ((2, 3, 4), (2, 3, 1)), ((2, 3, 4), (2, 1, 1)), ((5, 3001), ()), ((5, 7), (1, 1)),
    ((4, 1, 3), (3,)), ((2, 5, 3, 7), (2, 1, 3, 1)),
]  # fmt: skip
# Reductions: a shape, its axes in memory (slowest first), the axes that go.
NAMES = ("sum", "mean", "prod", "max", "min")
REDUCTIONS: list[Any] = [
    ((20_000, 10), (0, 1), (0,)), ((20_000, 13), (0, 1), (0,)), ((3000, 128), (0, 1), (0,)), ((64, 4001), (0, 1), (1,)),
    ((100_003,), (0,), None), ((30, 70, 24), (0, 1, 2), (1,)), ((30, 70, 24), (2, 0, 1), (1,)),
    ((8, 6, 20, 20), (0, 1, 2, 3), (0, 2, 3)), ((8, 6, 20, 20), (0, 2, 3, 1), (0, 2, 3)), ((4000, 3), (0, 1), (1,)),
    ((9, 9, 9), (1, 2, 0), None),
]  # fmt: skip
TOLERANCES = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 2e-5, "float64": 1e-12}


def check_reduction(cuda: Backend, name: str, x: Any, there: Any, axes: Any, keepdims: bool) -> Any:
    """Assert that a reduction on the device is NumPy's in float64, in the dtype of `x`; return it."""
    have = cuda.reduce(name, there, axes, keepdims)
    want = getattr(np, name)(x.astype(np.float64), axis=axes, keepdims=keepdims)
    assert (have.shape, have.dtype) == (want.shape, x.dtype)
    tolerance = TOLERANCES[x.dtype.name]
    np.testing.assert_allclose(have.get().astype(np.float64), want, rtol=tolerance, atol=tolerance)
    return have


def check_case(
    cuda: Backend, rng: np.random.Generator, name: str, dtype: Any, shape: Any, order: Any, axes: Any
) -> None:
    """Assert it for one of `REDUCTIONS`, twice with the same bits."""
    x = rng.uniform(-1, 1, shape).astype(dtype)
    if name == "prod":
        x = np.where(x < 0, -1, 1).astype(dtype)  # every product of these is exact
    there = cuda.from_host(np.ascontiguousarray(x.transpose(order))).transpose(np.argsort(order).tolist())
    first = check_reduction(cuda, name, x, there, axes, False).get()
    assert first.tobytes() == cuda.reduce(name, there, axes, False).get().tobytes()


MAXOUTS = [(4, 12), (2, 3, 6), (300, 96), (1, 3)]
DROPOUTS = [(4001, 0.25, 0), (16, 0.5, 2), (1003, 0.3, 7), (1, 0.5, 2**33 + 1), (64, 1 - 1e-12, 4), (64, 0.0, 4)]


def check_maxout(cuda: Backend, rng: np.random.Generator, shape: Any, dtype: Any) -> None:
    """Assert that maxout and its cotangent are the same bits on both devices, the share of each tie included."""
    x, g = rng.integers(-1, 2, shape).astype(dtype), normal(rng, (*shape[:-1], shape[-1] // 3), dtype)
    x[..., 0, 0] = np.nan
    (y,) = both(cuda, lambda rows, x: rows.maxout(x, 3), x, rtol=0)
    (dx,) = both(cuda, lambda rows, *a: rows.maxout_vjp(*a, 3), g, x, y, rtol=0)
    np.testing.assert_allclose(dx.reshape(*g.shape, 3).sum(-1, dtype=np.float64), g, rtol=2e-3, atol=2e-3)


def check_dropout(cuda: Backend, rng: np.random.Generator, size: int, p: float, offset: int, dtype: Any) -> None:
    """Assert that the dropout of one place in the stream is the same bits on both devices."""
    x = normal(rng, size, dtype)
    x[0] = np.inf  # what is dropped is 0 all the same
    both(cuda, lambda rows, x: rows.dropout(x, p, 2**64 - 5, offset), x, rtol=0)
    both(cuda, lambda rows, x: rows.dropout(x[1:], p, 7, offset), x, rtol=0)


INDICES: list[tuple[str, Any]] = [
    ("rows", np.array([0, 2, 2, -1])),
    ("pairs", (np.array([0, 1, 0]), np.array([1, 1, 1]))),
    ("mask", np.array([True, False, True, False])),
    ("slice", slice(1, 3)),
    ("number", 2),
    ("mixed", (slice(None), np.array([0, 0, 2]))),
]


def moved(cuda: Backend, index: Any) -> Any:
    """An index with its arrays on the device."""
    if isinstance(index, tuple):
        return tuple(moved(cuda, i) for i in index)
    return cuda.from_host(index) if isinstance(index, np.ndarray) else index


# ---- updates: (name, number of states, options); 1.5 states stand for the first and the third

UPDATES: list[tuple[str, float, dict[str, Any]]] = [
    ("sgd", 0, {"lr": 0.1}),
    ("sgd", 0, {"lr": 0.1, "weight_decay": 0.01, "maximize": True}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "first": True}),
    ("sgd", 1, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("adam", 2, {"lr": 1e-2, "bias1": 0.1, "bias2": 1e-3, "weight_decay": 0.1}),
    ("adam", 2, {"lr": 1e-2, "bias1": 1.0, "bias2": 1.0, "weight_decay": 0.1, "decoupled": True, "maximize": True}),
    ("adam", 3, {"lr": 1e-2, "bias1": 0.271, "bias2": 2.997e-3, "weight_decay": 0.1}),
    ("adam", 3, {"lr": 1e-2, "bias1": 0.271, "bias2": 2.997e-3, "weight_decay": 0.1, "decoupled": True}),
    ("rmsprop", 1, {"lr": 1e-2, "weight_decay": 0.1}),
    ("rmsprop", 1.5, {"lr": 1e-2, "momentum": 0.9}),
    ("rmsprop", 2, {"lr": 1e-2, "maximize": True}),
    ("rmsprop", 3, {"lr": 1e-2, "momentum": 0.9}),
    *[
        ("adaptive", 1 if kernel == "adagrad" else 2, {"kernel": kernel, "schedule": schedule, "lr": 1e-2, **rest})
        for kernel, schedule, rest in (
            ("adagrad", Schedule("adagrad", 0.1), {"step": 3, "eps": 1e-3, "weight_decay": 0.1}),
            ("adadelta", None, {"step": 3, "beta2": 0.8, "eps": 1e-3, "maximize": True}),
            ("adamax", Schedule("adamax", 0.9), {"step": 3, "beta1": 0.9, "beta2": 0.8, "eps": 1e-3}),
            ("moments", Schedule("nadam", 0.9, 0.8, 0.1, 1e-3), {"step": 3, "beta1": 0.9, "beta2": 0.8}),
            ("moments", Schedule("radam", 0.9, 0.8, eps=1e-3),
             {"step": 3, "beta1": 0.9, "beta2": 0.8, "weight_decay": 0.1, "decoupled": True}),
            ("moments", Schedule("radam", 0.9, 0.99, eps=1e-3), {"step": 30, "beta1": 0.9, "beta2": 0.99}),
        )
    ],
]  # fmt: skip
PARAMETERS = [(40, 300), (7,), (), (0, 3), (3, 5)]


def update_lists(name: str, rng: np.random.Generator, states: float, dtype: Any) -> list[Any]:
    """Parameters, gradients and states for one of `UPDATES`."""
    made: list[Any] = []
    for k in range(2 + (3 if states == 1.5 else int(states))):
        if states == 1.5 and k == 3:
            made.append(None)
            continue
        values = [np.asarray(rng.standard_normal(s) * 0.5) for s in PARAMETERS]
        if k == {"adam": 3, "rmsprop": 2}.get(name) or (name == "adaptive" and k > 1):  # running means of squares
            values = [abs(v) + 9.0 for v in values]
        made.append([np.asarray(v, dtype) for v in values])
    return made if len(made) > 2 or name != "sgd" else [*made, None]


# ---- training

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: gg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: gg.optim.Adam(p, lr=1e-2),
    "adamw": lambda p: gg.optim.AdamW(p, lr=1e-2, weight_decay=0.1),
    "rmsprop": lambda p: gg.optim.RMSprop(p, lr=1e-2),
    "radam": lambda p: gg.optim.RAdam(p, lr=1e-2, betas=(0.9, 0.9)),
}


def network(activation: str, device: str) -> nn.Sequential:
    """The same weights on every device: they are drawn on the CPU and moved."""
    gg.set_default_device("cpu")
    gg.manual_seed(3)
    layers = [nn.Linear(12, 20), nn.LayerNorm(20), getattr(nn, activation)(), nn.Linear(20, 5)]
    return nn.Sequential(*layers).to(device)


def training(
    device: str, activation: str = "ReLU", optimizer: str = "sgd", clip: bool = False
) -> tuple[Any, Callable[[], gg.Tensor]]:
    """A network and a function that takes one step on it and returns the loss."""
    rng = np.random.default_rng(0)
    x = gg.tensor(rng.standard_normal((16, 12)).astype(np.float32), device=device)
    labels = gg.tensor(rng.integers(0, 5, 16), device=device)
    model = network(activation, device)
    update = OPTIMIZERS[optimizer](model.parameters())

    def step() -> gg.Tensor:
        update.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels, label_smoothing=0.1)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        update.step()
        return loss

    return model, step


def check_training(activation: str, optimizer: str, clip: bool) -> None:
    """Assert that five steps on both devices give the same losses and weights."""
    losses, weights = [], []
    for device in ("cpu", "cuda"):
        model, step = training(device, activation, optimizer, clip)
        losses.append([step().item() for _ in range(5)])
        weights.append([p.detach().numpy() for p in model.parameters()])
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-5)
    assert losses[0][-1] < losses[0][0]
    for on_gpu, on_cpu in zip(weights[1], weights[0], strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, rtol=2e-4, atol=2e-5)


NETWORKS = [("ReLU", "sgd", False), ("GELU", "adam", True), ("Tanh", "adamw", False), ("SiLU", "rmsprop", False)]
