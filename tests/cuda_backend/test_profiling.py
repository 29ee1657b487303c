"""The profiler on the GPU branch: device events, no waiting inside a step, one device's time for each layer."""

import gpugrad as gg
from tests.standin import State


def test_layers_are_timed_by_events_and_a_step_does_not_wait(gpu: State) -> None:
    model = gg.nn.Sequential(gg.nn.Linear(8, 8), gg.nn.ReLU(), gg.nn.Linear(8, 4)).to("cuda")
    x, y = gg.rand(6, 8, device="cuda"), gg.randint(0, 4, (6,), device="cuda")

    def loss() -> object:
        return gg.nn.functional.cross_entropy(model(x), y)

    loss()
    with gg.profile(device="cuda", ceilings=False) as p:
        gpu.clear()
        loss().backward()
        inside = list(gpu.syncs)
    assert inside == []
    assert gpu.syncs, "the report waits for the device once, behind the step"
    # The stand-in's events are one millisecond apart, whatever lies between them.
    assert p.report.layer("0").forward.seconds >= 1e-3
    assert p.report.layer("2").backward.seconds >= 1e-3
    assert p.report.machine["device"] == "cuda:0"


def test_idle_time_is_what_a_step_takes_longer_than_on_a_device_that_is_kept_busy(gpu: State) -> None:
    weight = gg.rand(8, 8, device="cuda", requires_grad=True)
    report = gg.profile(lambda w: gg.sum(w @ w), weight, repeats=2, warmup=0, ceilings=False)
    assert report.machine["device"] == "cuda:0"
    # The stand-in computes at once: a fed device takes as long as any, and nothing is idle.
    assert report.total.forward.idle_seconds == 0
