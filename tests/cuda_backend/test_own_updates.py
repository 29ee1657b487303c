"""Updates that a user's optimizer defines: taken back on the device under a loss scale, recorded, or waited for."""

import warnings
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.cuda_backend.test_mixed_precision_on_cuda import BAD, Scaled
from tests.standin import State


class Signs(gg.optim.Optimizer):
    """Sign descent with momentum, by plain operations on arrays."""

    name = "Signs"

    def __init__(self, params: Any, lr: float = 0.1, decay: float = 0.9) -> None:
        self.decay = decay
        super().__init__(params, {"lr": lr, "weight_decay": 0.0})

    def new_state(self, group: Any) -> tuple[str, ...]:
        """One mean."""
        return ("mean",)

    def update(self, bucket: Any, grads: Any, group: Any) -> None:
        """In place, whatever the gradients hold."""
        xp = bucket.backend.xp
        for w, g, mean in zip(bucket.arrays, grads, bucket.state["mean"], strict=True):
            mean *= self.decay
            mean += g * (1 - self.decay)
            w -= xp.sign(mean) * group["lr"] + mean * 0.125


class Halved(gg.optim.Adam):
    """Adam on other gradients."""

    def update(self, bucket: Any, grads: Any, group: Any) -> None:
        """gg.optim's, on halves."""
        super().update(bucket, [g * 0.5 for g in grads], group)


class Warming(Signs):
    """Reads how many steps there were."""

    def update(self, bucket: Any, grads: Any, group: Any) -> None:
        """A rate that grows."""
        super().update(bucket, grads, {**group, "lr": group["lr"] * (bucket.step + 1)})


class Counting(Signs):
    """Counts on the host."""

    calls = 0

    def update(self, bucket: Any, grads: Any, group: Any) -> None:
        """A rate that the object counts for."""
        self.calls += 1
        super().update(bucket, grads, {**group, "lr": group["lr"] / self.calls})


class Remembering(Signs):
    """Has a list."""

    def __init__(self, params: Any) -> None:
        self.past: list[int] = []
        super().__init__(params)

    def update(self, bucket: Any, grads: Any, group: Any) -> None:
        """A rate by its length."""
        self.past.append(1)
        super().update(bucket, grads, {**group, "lr": group["lr"] / len(self.past)})


class Noting(Signs):
    """Keeps more state than it says."""

    def update(self, bucket: Any, grads: Any, group: Any) -> None:
        """A rate by what the parameters' state says."""
        for p in bucket.parameters:
            self.state[p]["seen"] = self.state[p].get("seen", 0) + 1
        super().update(bucket, grads, {**group, "lr": group["lr"] / self.state[bucket.parameters[0]]["seen"]})


class Drawing(Signs):
    """Adds noise."""

    def update(self, bucket: Any, grads: Any, group: Any) -> None:
        """Random signs."""
        super().update(bucket, grads, group)
        for w in bucket.arrays:
            w += bucket.backend.random("uniform", w.shape, w.dtype) * 0.01


WITHOUT_WAITING = {"signs": Signs, "halved": Halved}
WAITING = {
    "warming": Warming, "counting": Counting, "remembering": Remembering, "noting": Noting, "drawing": Drawing,
}  # fmt: skip


def decided_by_the_host(made: Any) -> Any:
    """The same optimizer, whose steps the host leaves out."""

    class ByHost(made):  # type: ignore[misc]
        def can_skip(self) -> bool:
            return False

    return ByHost


def steps(make: Any, factors: Any = BAD, **options: Any) -> Any:
    """The outcome of steps under a loss scale."""
    gg.manual_seed(3)
    return Scaled(make, "cuda", **options).run(factors).outcome()


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("name", list(WITHOUT_WAITING))
def test_they_are_taken_back_without_waiting(gpu: State, name: str, dtype: Any) -> None:
    want = steps(decided_by_the_host(WITHOUT_WAITING[name]), dtype=dtype)
    scaled = Scaled(WITHOUT_WAITING[name], "cuda", dtype=dtype)
    gpu.clear()
    scaled.run()
    assert gpu.syncs == []
    found = scaled.outcome()
    assert found[:2] == want[:2]
    if name == "signs":
        assert found[2] == want[2]
    else:  # the kernels compute Adam's corrections on the device
        for a, b in zip(found[2], want[2], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5 if dtype is np.float32 else 2e-3)


def test_bfloat16_is_taken_back_bit_by_bit(gpu: State) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert steps(Signs, dtype=ml_dtypes.bfloat16) == steps(decided_by_the_host(Signs), dtype=ml_dtypes.bfloat16)


@pytest.mark.parametrize("name", list(WAITING))
def test_what_changes_on_the_host_is_waited_for(gpu: State, name: str) -> None:
    scaled = Scaled(WAITING[name], "cuda")
    gg.manual_seed(3)
    gpu.clear()
    scaled.run()
    assert len(gpu.syncs) >= len(BAD) - 1
    assert scaled.outcome() == steps(decided_by_the_host(WAITING[name]))


def test_a_step_of_ones_own_is_decided_on_the_host(gpu: State) -> None:
    class Whole(Signs):
        """Another step."""

        def step(self, closure: Any = None) -> Any:
            """Twice."""
            super().step()
            return super().step()

    assert steps(Whole) == steps(decided_by_the_host(Whole))


def test_they_are_recorded_with_and_without_a_scale(gpu: State) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        captured = Scaled(Signs, "cuda", compiled=True).run(BAD[:5])
        gpu.clear()
        captured.run(BAD[5:])
    assert captured.step.graphs == 1
    assert (gpu.syncs, gpu.launches) == ([], [])
    assert captured.outcome() == steps(Signs)


def training(make: Any, compiled: bool, count: int = 9, rate: Any = None) -> Any:
    """Weights after steps without a loss scale."""
    w = gg.full((5,), 2.0, device="cuda", requires_grad=True)
    optimizer = make([w])

    def plain(x: Any) -> None:
        optimizer.zero_grad()
        (w * w * x).sum().backward()
        optimizer.step()

    step = gg.compile(plain) if compiled else plain
    gg.manual_seed(2)
    for i in range(count):
        if rate is not None:
            optimizer.param_groups[0]["lr"] = rate(i)
        step(gg.full((5,), float(i + 1), device="cuda"))
    state = {k: v for k, v in vars(optimizer).items() if k not in optimizer.bookkeeping}
    return w.detach().tolist(), optimizer.state_dict()["state"][0]["step"], state, getattr(step, "graphs", None)


def test_a_replay_updates_once(gpu: State) -> None:
    want, found = training(Signs, False), training(Signs, True)
    assert found[:3] == want[:3]
    assert found[3] == 1


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Warming, "reads the number of steps"),
        (Counting, "counts on the host"),
        (Remembering, "counts on the host"),
        (Noting, "counts on the host"),
        (Drawing, "counts on the host"),
        (Halved, "calls that of gg.optim"),
    ],
)
def test_what_a_replay_would_not_do_is_refused(gpu: State, make: Any, why: str) -> None:
    want = training(make, False)
    with pytest.warns(RuntimeWarning, match=why):
        found = training(make, True)
    assert found[:3] == want[:3]
    assert found[3] == 0


def test_options_that_change_are_seen(gpu: State) -> None:
    def rate(i: int) -> float:
        return 0.5 if i < 6 else 0.25

    want, found = training(Signs, False, 14, rate), training(Signs, True, 14, rate)
    assert found[:3] == want[:3]
    assert found[3] == 1


def test_options_that_always_change_end_in_plain_steps(gpu: State) -> None:
    def rate(i: int) -> float:
        return 1.0 / (i + 1)

    want = training(Signs, False, 60, rate)
    with pytest.warns(RuntimeWarning, match="replaced again and again"):
        found = training(Signs, True, 60, rate)
    assert found[:3] == want[:3]


def test_parameters_on_two_gpus_are_taken_back_on_each(two_gpus: State) -> None:
    outcomes = []
    for make in (Signs, decided_by_the_host(Signs)):
        ws = [gg.ones(3, device=d, requires_grad=True) for d in ("cuda:0", "cuda:1")]
        optimizer, scaler = make(ws), gg.GradScaler(init_scale=4.0)
        for bad in ((1.0, 1.0), (1.0, np.inf), (np.nan, 1.0), (2.0, 1.0)):
            for w, factor in zip(ws, bad, strict=True):
                w.grad = gg.full((3,), factor, device=w.device)
            two_gpus.clear()
            scaler.step(optimizer)
            scaler.update()
            assert bool(two_gpus.syncs) is (make is not Signs)
        outcomes.append(([w.detach().tolist() for w in ws], scaler.get_scale()))
    assert outcomes[0] == outcomes[1]
