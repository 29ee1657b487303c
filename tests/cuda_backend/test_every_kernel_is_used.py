"""No dead kernels: each hand-written CUDA kernel is launched by something that a user can call."""

from typing import Any

import numpy as np

import gpugrad as gg
from gpugrad.backend import backend_for, cuda_launch
from gpugrad.fusion.cuda_sources import SOURCES
from gpugrad.nn import functional as F
from tests.standin import State


def backward(y: gg.Tensor) -> None:
    y.backward(gg.ones_like(y))


def use_everything(rng: np.random.Generator, rows: int, columns: int) -> None:
    """What launches the row kernels and updates, for one shape."""

    def tensor(*shape: int) -> gg.Tensor:
        return gg.tensor(rng.standard_normal(shape).astype(np.float32), device="cuda", requires_grad=True)

    x, w, b = tensor(rows, columns), tensor(columns), tensor(columns)
    for call in (gg.softmax, gg.log_softmax, gg.logsumexp):
        backward(call(x, axis=-1))
    backend_for("cuda").rows.softmax_causal(x.data, 1)  # of attention: as many queries would take their time here
    backward(gg.layer_norm(x, columns, w, b))
    backward(gg.rms_norm(x, columns, w))
    backward(F.cross_entropy(x, gg.zeros(rows, dtype="int64", device="cuda")))
    backward(F.cross_entropy(tensor(9000, 2), gg.zeros(9000, dtype="int64", device="cuda")))
    backward(F.maxout(x, 2))
    backward(F.dropout(x, 0.5))
    gg.rand(3, device="cuda")
    gg.randn(3, device="cuda")
    gg.randint(0, 3, (3,), device="cuda")
    backward(gg.linear(x, tensor(3, columns), tensor(3)))
    backward(x + tensor(columns))
    backward(x + tensor(rows, 1))
    backward(x * tensor())
    for reduction in (gg.sum, gg.max, gg.min, gg.prod):
        for axis in (None, 0, 1):
            reduction(x.detach(), axis)
        reduction(gg.ones(40_000, device="cuda"))
    for axis in (None, 0, 1):
        backward(gg.max(x, axis))
    backward(x[gg.tensor(np.array([0, 0, 1]), device="cuda")])
    backward(x[gg.zeros(5000, dtype="int64", device="cuda"), :][:, :1])
    backward(gg.take_along_axis(x, gg.argsort(tensor(rows, columns), 0), 0, unique=True))
    backward(tensor(40, 20).gather(0, gg.zeros((2, 20), dtype="int64", device="cuda")))
    backward(gg.take_along_axis(tensor(2, 20), gg.argsort(tensor(2, 20)), unique=True))
    for width in (4, 3):
        gg.concatenate([tensor(2, width), tensor(2, width)], 1)
    images, kernels = tensor(2, 8, 6, 6), tensor(4, 8, 3, 3)
    backward(gg.conv2d(images, kernels, stride=2, padding=1))
    backward(gg.conv2d(F.relu(gg.conv2d(images, tensor(8, 8, 1, 1))), kernels))
    backward(gg.conv2d(gg.conv2d(images, tensor(8, 8, 1, 1)), tensor(8, 1, 3, 3), groups=8))
    backward(gg.conv2d(tensor(2, 3, 6, 6), tensor(3, 1, 3, 3), groups=3))
    backward(F.max_pool2d(images, 2))
    backward(F.avg_pool2d(images, 2))
    for channels in (8, 3):
        backward(F.batch_norm(images[:, :channels], training=True))
        backward(F.batch_norm_relu(images[:, :channels], training=True))
    for _ in range(2):
        with gg.autocast("bfloat16"):
            gg.linear(x, w.detach().reshape(1, -1), gg.ones(1, device="cuda"))
            gg.matmul(x, w)
    updates: list[Any] = [gg.optim.SGD([x], lr=0.1), gg.optim.Adam([w], lr=0.1), gg.optim.RMSprop([b], lr=0.1)]
    updates += [getattr(gg.optim, name)([x]) for name in ("Adagrad", "Adadelta", "Adamax", "RAdam")]
    for update in updates:
        update.step()
    gg.nn.utils.clip_grad_norm_([x, w, b], 1.0)
    gg.nn.utils.clip_grad_value_([x, w, b], 1.0)
    scaler = gg.GradScaler()
    for update in (updates[0], updates[-1]):
        scaler.step(update)
    scaler.update()


def test_every_kernel_is_launched_by_something(rng: np.random.Generator, gpu: State) -> None:
    # Each form for rows, and the pieces of long ones.
    for shape in ((300, 6), *((2, columns) for columns in (100, 300, 1030, 2050, 4100, 8194, 32768))):
        use_everything(rng, *shape)
    gpu.shared_memory = 48 << 10  # no room for the sums of a norm's gradients
    cuda_launch.shared_memory.cache_clear()
    x = gg.tensor(rng.standard_normal((2, 12400)).astype(np.float32), device="cuda", requires_grad=True)
    for norm in (gg.layer_norm, gg.rms_norm):
        backward(norm(x, 12400, gg.ones(12400, device="cuda", requires_grad=True)))
    unused = {
        kernel
        for source in SOURCES.values()
        for kernel in source.kernels
        if not any(source.entry(kernel, dtype) in gpu.launches for dtype in source.dtypes)
    }
    assert not unused, f"nothing launches {sorted(unused)}: use them or delete them"
