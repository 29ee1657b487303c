"""Mixed precision on the GPU branch: the CPU's losses, no waiting, the loss scale on the device and in a graph."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from tests.cuda_backend.cases import network
from tests.standin import State


def training(device: str, dtype: str, clip: bool = False) -> tuple[nn.Module, Callable[[], gg.Tensor]]:
    """A network and one step of it in mixed precision."""
    rng = np.random.default_rng(0)
    x = gg.tensor(rng.standard_normal((16, 12)).astype(np.float32), device=device)
    labels = gg.tensor(rng.integers(0, 5, 16), device=device)
    model = network("ReLU", device)
    optimizer = gg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = gg.GradScaler(enabled=dtype == "float16")

    def step() -> gg.Tensor:
        optimizer.zero_grad()
        with gg.autocast(dtype):
            loss = nn.functional.cross_entropy(model(x), labels)
        scaler.scale(loss).backward()
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        return loss

    return model, step


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_training_gives_the_cpus_losses_and_does_not_wait(gpu: State, dtype: str) -> None:
    pytest.importorskip("ml_dtypes")
    losses = []
    for device in ("cpu", "cuda"):
        _, step = training(device, dtype)
        step()
        gpu.clear()
        found = [step() for _ in range(2)]
        if device == "cuda":
            assert gpu.syncs == []
            assert gpu.uploads == []
        losses.append([loss.item() for loss in found])
    np.testing.assert_allclose(losses[1], losses[0], rtol=3e-2)


def casts_of(gpu: State) -> list[str]:
    return [name.removeprefix("gg_") for name in gpu.launches if name.startswith(("gg_casts", "gg_copy_f32_"))]


def test_parameters_are_cast_in_one_launch_from_the_second_block_on(gpu: State) -> None:
    kinds = {"float16": "f16", "bfloat16": "bf16"}
    for dtype, kind in kinds.items():
        model = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.Flatten(), nn.Linear(72, 5), nn.Linear(5, 5)).to("cuda")
        x = gg.tensor(np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32), device="cuda")
        alone = f"copy_f32_{kind}_contiguous"
        found: list[Any] = []
        for step in range(3):
            if step == 2:
                with gg.no_grad():
                    model[2].weight.mul_(0.5)
            gpu.clear()
            with gg.autocast(dtype):
                y = model(x)
            assert casts_of(gpu) == ([alone] * 7 if not step else [alone, f"casts_{kind}"]), "the input is cast, too"
            y.float().square().sum().backward()
            found.append([y.tolist(), *(p.grad.tolist() for p in model.parameters())])
            model.zero_grad()
        assert found[0] == found[1]
        assert found[1] != found[2], "a parameter that has changed is cast anew"
        assert model[0].weight.data.strides[1] == 4, "channels last"


def test_parameters_that_change_or_go_after_they_were_cast_are_cast_by_themselves(gpu: State) -> None:
    a, b, c = (gg.tensor(np.full((4, 4), v, np.float32), device="cuda", requires_grad=True) for v in (1, 2, 3))
    x = gg.ones(1, 4, device="cuda")

    def block(*weights: gg.Tensor, change: gg.Tensor | None = None) -> float:
        gpu.clear()
        with gg.autocast("float16"):
            y = x @ weights[0]
            if change is not None:
                with gg.no_grad():
                    change.fill_(5)
            for w in weights[1:]:
                y = y + x @ w
        return float(y[0, 0].item())

    assert block(a, b, c) == block(a, b, c) == 24
    assert "casts_f16" in casts_of(gpu)
    assert (casts_of(gpu).count("casts_f16"), len(casts_of(gpu))) == (1, 4), "the input comes three times"
    assert block(a, b, c, change=b) == 36
    assert (casts_of(gpu).count("casts_f16"), len(casts_of(gpu))) == (1, 5)
    assert block(a, c) == block(a, c) == 16
    del b
    c.requires_grad_(False)
    assert block(a, c) == 16
    with gg.autocast("bfloat16"):
        assert (x @ a).dtype.name == "bfloat16"


def test_parts_of_a_block_that_have_casts_of_their_own_remember_them_apart(gpu: State) -> None:
    """What a checkpoint runs again, and what is compiled within a block."""
    gg.manual_seed(0)
    first, last = (nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)).to("cuda") for _ in range(2))
    x = gg.ones(2, 4, device="cuda")
    for step in range(3):
        gpu.clear()
        with gg.autocast("float16"):
            y = last(gg.checkpoint(first, x)).float().sum()
        if step:
            assert casts_of(gpu).count("casts_f16") == 2, "the part, and what is around it"
        gpu.clear()
        y.backward()
        if step:
            assert casts_of(gpu).count("casts_f16") == 1
    compiled = gg.compile(first, warmup=2)
    for _ in range(4):
        with gg.autocast("float16"):
            gpu.clear()
            found = compiled(x)
    assert compiled.graphs == 1
    with gg.autocast("float16"):
        assert found.tolist() == first(x).tolist()


def test_a_block_that_is_watched_shows_each_cast(gpu: State) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).to("cuda")
    x = gg.ones(1, 4, device="cuda")

    def forward() -> gg.Tensor:
        with gg.autocast("float16"):
            return model(x).sum()

    forward()
    gpu.clear()
    with gg.profile(device="cuda", ceilings=False):
        forward()
    assert casts_of(gpu) == ["copy_f32_f16_contiguous"] * 5
    gpu.clear()
    forward()
    assert casts_of(gpu) == ["copy_f32_f16_contiguous", "casts_f16"]


def test_taking_the_scale_off_and_clipping_are_one_launch_each(gpu: State) -> None:
    _, step = training("cuda", "float16", clip=True)
    step()
    gpu.clear()
    step()
    assert gpu.launches.count("gg_scale_f32") == 2, "one for the scale, one for the clipping"
    assert gpu.launches.count("gg_norm_partials_f32") == 2
    assert gpu.launches.count("gg_sgd_f32") == 1


def test_an_overflow_on_the_device_skips_the_step(gpu: State) -> None:
    w = gg.zeros(3, device="cuda", requires_grad=True)
    optimizer, scaler = gg.optim.SGD([w], lr=1.0), gg.GradScaler(init_scale=4.0)
    for bad, want, scale in ((np.inf, 0.0, 2.0), (1.0, -0.5, 2.0)):
        w.grad = gg.tensor(np.array([1.0, bad, 1.0], np.float32), device="cuda")
        scaler.step(optimizer)
        scaler.update()
        np.testing.assert_array_equal(w.detach().numpy(), want)
        assert scaler.get_scale() == scale


UPDATES = {
    "sgd": lambda p: gg.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: gg.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: gg.optim.RMSprop(p, lr=0.01, momentum=0.5),
    "amsgrad": lambda p: gg.optim.Adam(p, lr=0.01, amsgrad=True),
    "centred": lambda p: gg.optim.RMSprop(p, lr=0.01, centered=True),
    "centred with momentum": lambda p: gg.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "adagrad": lambda p: gg.optim.Adagrad(p, lr=0.01, lr_decay=0.5),
    "adadelta": gg.optim.Adadelta,
    "adamax": lambda p: gg.optim.Adamax(p, lr=0.01),
    "nadam": lambda p: gg.optim.NAdam(p, lr=0.01, decoupled_weight_decay=True, weight_decay=0.1),
    "radam": lambda p: gg.optim.RAdam(p, lr=0.01, betas=(0.9, 0.9)),
}
BAD = (1.0, np.inf, 1.0, 1.0, 1.0, np.nan, 1.0, 1.0, 1.0, np.inf, 1.0)


class Scaled:
    """Steps under a loss scale, some of which overflow: the factor of each decides."""

    def __init__(
        self, make: Any, device: str, compiled: bool = False, interval: int = 2, dtype: Any = np.float32
    ) -> None:
        rng = np.random.default_rng(1)
        self.w = [gg.tensor(rng.standard_normal(s).astype(dtype), device=device) for s in ((7,), (3, 2))]
        for w in self.w:
            w.requires_grad_()
        self.optimizer = make(self.w)
        self.scaler = gg.GradScaler(init_scale=64.0, growth_interval=interval)
        self.device = device
        self.step = gg.compile(self.plain) if compiled else self.plain

    def plain(self, factor: Any) -> Any:
        self.optimizer.zero_grad()
        loss = sum(((w * w).sum() for w in self.w[1:]), (self.w[0] * self.w[0]).sum()).astype("float32") * factor
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def run(self, factors: Any = BAD) -> "Scaled":
        for factor in factors:
            self.step(gg.tensor(np.float32(factor), device=self.device))
        return self

    def outcome(self) -> tuple[Any, ...]:
        state = self.optimizer.state_dict()["state"]
        numbers = [s["step"] for s in state.values()]
        return self.scaler.state_dict(), numbers, [w.detach().numpy().tolist() for w in self.w]


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("name", list(UPDATES))
def test_a_captured_step_has_the_bits_of_the_plain_one_through_overflows(gpu: State, name: str, dtype: Any) -> None:
    plain = Scaled(UPDATES[name], "cuda", dtype=dtype).run()
    captured = Scaled(UPDATES[name], "cuda", compiled=True, dtype=dtype).run(BAD[:5])
    gpu.clear()
    captured.run(BAD[5:])
    assert gpu.calls["graph.launch"] == 6
    assert gpu.launches == []
    assert gpu.syncs == []
    assert captured.outcome() == plain.outcome()
    assert plain.outcome()[1] == [8, 8], "steps that were left out do not count"
    assert plain.outcome()[0]["scale"] == 64.0 / 2 * 2 / 2 * 2 / 2


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("name", list(UPDATES))
def test_the_device_decides_as_the_host_would(gpu: State, name: str, dtype: Any) -> None:
    gpu.clear()
    here = Scaled(UPDATES[name], "cuda", dtype=dtype).run()
    assert gpu.syncs == []
    there = Scaled(UPDATES[name], "cpu", dtype=dtype).run()
    (scale, steps, weights), (scale_, steps_, weights_) = here.outcome(), there.outcome()
    assert (scale, steps) == (scale_, steps_)
    for a, b in zip(weights, weights_, strict=True):
        np.testing.assert_allclose(a, b, rtol=5e-5 if dtype is np.float32 else 4e-3)


def test_parameters_of_several_types_and_memory_orders_do_not_wait(gpu: State) -> None:
    found = []
    for device in ("cuda", "cpu"):
        w = gg.tensor(np.linspace(1, 2, 6, dtype=np.float32).reshape(2, 3), device=device).T
        ws = [gg.tensor(np.ones(3, np.float16), device=device), w.detach()]
        optimizer, scaler = gg.optim.Adam([w.requires_grad_() for w in ws], lr=0.1), gg.GradScaler(init_scale=4.0)
        for bad in (1.0, np.inf, 1.0):
            for k, each in enumerate(ws):
                each.grad = gg.full(each.shape, 2.0 if k else bad, dtype=each.dtype, device=device)
            gpu.clear()
            scaler.step(optimizer)
            scaler.update()
            assert gpu.syncs == []
        assert not ws[1].data.flags.c_contiguous
        found.append([w.detach().numpy() for w in ws])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3)


def test_plain_steps_may_follow_scaled_ones(gpu: State) -> None:
    found = []
    for device in ("cuda", "cpu"):
        scaled = Scaled(UPDATES["adam"], device).run(BAD[:4])
        for w in scaled.w:
            w.grad = gg.ones_like(w)
        scaled.optimizer.step()
        found.append(scaled.outcome())
    assert found[0][1] == found[1][1] == [4, 4]
    np.testing.assert_allclose(found[0][2][0], found[1][2][0], rtol=2e-5)


def test_saving_the_optimizer_between_replays_changes_nothing(gpu: State) -> None:
    captured, plain = Scaled(UPDATES["adam"], "cuda", compiled=True), Scaled(UPDATES["adam"], "cuda")
    for factor in BAD:
        for each in (captured, plain):
            each.run([factor])
            each.outcome()
    assert captured.step.graphs == 1
    assert captured.outcome() == plain.outcome()


def test_a_scale_goes_over_to_a_new_scaler(gpu: State) -> None:
    first = Scaled(UPDATES["sgd"], "cuda").run(BAD[:3])
    second = Scaled(UPDATES["sgd"], "cuda").run(BAD[:1])
    second.scaler.load_state_dict(first.scaler.state_dict())
    assert second.scaler.state_dict() == first.scaler.state_dict()
    second.scaler.update(5.0)
    assert second.scaler.get_scale() == 5.0
    second.run([np.inf])
    assert second.scaler.get_scale() == 2.5
