"""What PyTorch's programs say about GPUs, as they say it: each line runs, and does what it says there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.nn.functional as F
from gpugrad import nn
from tests.standin import State

LINES = """
gg.backends.cudnn.benchmark = True
gg.backends.cudnn.deterministic = True; assert gg.backends.cudnn.deterministic
gg.backends.cuda.matmul.allow_tf32 = True; assert gg.get_float32_matmul_precision() == "high"
gg.backends.cuda.matmul.allow_tf32 = False; assert gg.get_float32_matmul_precision() == "highest"
gg.backends.cudnn.allow_tf32 = True; assert gg.backends.cudnn.allow_tf32 is False
gg.use_deterministic_algorithms(True); assert gg.are_deterministic_algorithms_enabled()
gg.manual_seed(0); gg.cuda.manual_seed(0); gg.cuda.manual_seed_all(0)
device = gg.device("cuda", 0); assert device == gg.device("cuda:0") == gg.device(0) and device.type == "cuda"
net = net.to(device, non_blocking=True).to(memory_format=gg.channels_last).to(0).cuda().cuda(0)
net = net.to(device=device, dtype=gg.float32)
pinned = x.pin_memory(); assert not pinned.is_cuda and (pinned == x).all() and pinned.data is not x.data
assert (pinned.to(device, non_blocking=True).cpu() == x).all()
x = x.to(device, non_blocking=True, memory_format=gg.channels_last)
assert x.is_cuda and not x.is_cpu and x.get_device() == 0 and x.stride() == (192, 1, 24, 3)
y = y.cuda(non_blocking=True)
assert x.to(x) is x and x.to(y.device) is x and x.to(x.device, copy=True) is not x
opt = gg.optim.AdamW(net.parameters(), lr=1e-3, fused=True, capturable=True)
opt = gg.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, foreach=True)
scaler = gg.amp.GradScaler("cuda"); scaler = gg.cuda.amp.GradScaler(enabled=True); scaler = gg.GradScaler("cuda")
with gg.cuda.amp.autocast(): assert net[0](x).dtype == gg.float16
with gg.amp.autocast("cuda"): assert net[0](x).dtype == gg.float16
with gg.autocast("cuda", dtype=gg.bfloat16): assert net[0](x).dtype == gg.bfloat16
with gg.autocast(device_type="cuda", dtype=gg.float16): loss = F.cross_entropy(net(x), y)
scaler.scale(loss).backward(); scaler.unscale_(opt); scaler.step(opt); scaler.update(); opt.zero_grad(set_to_none=True)
gg.cuda.synchronize(); gg.cuda.empty_cache(); assert gg.cuda.current_device() == 0
assert gg.cuda.get_device_properties(0).total_memory == gg.cuda.mem_get_info()[1] and gg.cuda.is_bf16_supported()
start, end = gg.cuda.Event(enable_timing=True), gg.cuda.Event(enable_timing=True)
start.record(); net(x); end.record(); end.synchronize(); assert start.elapsed_time(end) > 0 and end.query()
s = gg.cuda.Stream(); s.wait_stream(gg.cuda.current_stream())
with gg.cuda.stream(s): z = x + 1; assert gg.cuda.current_stream().cuda_stream == s.cuda_stream
gg.cuda.current_stream().wait_stream(s); s.record_event().wait(); s.synchronize(); assert s.query()
assert gg.cuda.OutOfMemoryError is gg.OutOfMemoryError
assert net.bfloat16()[0].weight.dtype == gg.bfloat16 and x.bfloat16().dtype == gg.bfloat16; net.float()
model = gg.compile(net, mode="reduce-overhead", fullgraph=True, dynamic=False, backend="inductor", disable=True)
assert model is net
g = gg.Generator(device="cuda").manual_seed(1); assert gg.randn(3, generator=g, device="cuda").is_cuda
""".strip().splitlines()


def run_lines() -> None:
    """One after the other, in one namespace."""
    gg.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    names = {"gg": gg, "nn": nn, "F": F, "net": net, "x": gg.randn(2, 3, 8, 8), "y": gg.tensor([1, 3])}
    for line in LINES:
        exec(compile(line, line, "exec"), names)


@pytest.mark.filterwarnings("ignore:.*cudnn.*")
def test_each_line_runs(gpu: State) -> None:
    run_lines()


def test_events_and_streams_say_what_is_missing(gpu: State) -> None:
    start, end = gg.cuda.Event(), gg.cuda.Event(enable_timing=True)
    end.record()
    with pytest.raises(RuntimeError, match="enable_timing=True"):
        start.elapsed_time(end)
    assert start.query()
    start.wait()


def test_orders_in_memory_keep_numbers_and_gradients(gpu: State) -> None:
    for device in ("cpu", "cuda"):
        x = gg.arange(48.0, device=device).reshape(2, 3, 4, 2).requires_grad_()
        y = x.to(memory_format=gg.channels_last)
        assert y.is_contiguous(memory_format=gg.channels_last)
        assert not y.is_contiguous()
        assert y.contiguous(memory_format=gg.channels_last) is y
        assert y.to(memory_format=gg.preserve_format) is y
        np.testing.assert_array_equal(y.detach().cpu().numpy(), x.detach().cpu().numpy())
        (y * y).sum().backward()
        np.testing.assert_array_equal(x.grad.cpu().numpy(), 2 * x.detach().cpu().numpy())
        with pytest.raises(ValueError, match=r"channels_last_3d of a tensor of shape \(2, 3, 4, 2\); expected 5 axes"):
            x.contiguous(memory_format=gg.channels_last_3d)
    with pytest.raises(TypeError, match="unknown 'where'"):
        x.to(where="cpu")
    with pytest.raises(TypeError, match=r"init_scale=4\.0"):
        gg.GradScaler(4.0)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_generators_have_numbers_of_their_own(gpu: State, device: str) -> None:
    def draws(g: Any) -> list[Any]:
        weights = gg.tensor([0.2, 0.5, 0.3], device=device)
        return [
            gg.rand(3, device=device, generator=g).tolist(),
            gg.randn(2, 2, device=device, generator=g).tolist(),
            gg.randint(0, 9, (4,), device=device, generator=g).tolist(),
            gg.randperm(5, device=device, generator=g).tolist(),
            gg.normal(1.0, 2.0, (2,), device=device, generator=g).tolist(),
            gg.bernoulli(weights, generator=g).tolist(),
            gg.multinomial(weights, 2, generator=g).tolist(),
        ]

    gg.manual_seed(7)
    expected = draws(None)
    gg.manual_seed(5)
    after = draws(None)
    gg.manual_seed(5)
    one, two = gg.Generator(device).manual_seed(7), gg.Generator(device)
    first = draws(one)
    assert first == expected
    assert draws(one) != first
    assert draws(two.manual_seed(7)) == first
    assert two.initial_seed() == 7
    assert draws(None) == after  # nothing was taken from the others' stream


def test_a_generator_is_not_recorded(gpu: State) -> None:
    g = gg.Generator("cuda")
    step = gg.compile(lambda x: x + gg.rand(3, device="cuda", generator=g), warmup=1)
    x = gg.zeros(3, device="cuda")
    with pytest.warns(RuntimeWarning, match="draws from a Generator"):
        found = [tuple(step(x).tolist()) for _ in range(4)]
    assert len(set(found)) == 4


def test_hooks_keep_layers_out_of_joined_products(gpu: State) -> None:
    gg.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).to("cuda")
    x, seen = gg.randn(5, 3, device="cuda"), []
    net(x).square().sum().backward()
    expected = [p.grad.tolist() for p in net.parameters()]
    net.zero_grad()
    net[1].register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].shape, go[0].shape)))
    net(x).square().sum().backward()
    assert seen == [((5, 4), (5, 4))]
    for p, g in zip(net.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.cpu().numpy(), g, rtol=1e-5)
