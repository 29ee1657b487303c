"""The profiler on the GPU branch: device events, no waiting inside a step, one device's time for each layer."""

from itertools import pairwise

import pytest

import gpugrad as gg
from gpugrad.cli import main
from gpugrad.cost.ceilings import Ceilings
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


def test_the_memory_of_a_step_on_a_gpu_is_predicted(gpu: State) -> None:
    """Without the scratch memory that the kernels of the CPU take within a call."""
    peaks = []
    for device in ("cpu", "cuda"):
        model = gg.nn.Sequential(gg.nn.Linear(64, 64), gg.nn.GELU(), gg.nn.LayerNorm(64), gg.nn.Linear(64, 10)).to(
            device
        )
        x, y = gg.rand(128, 64, device=device), gg.randint(0, 10, (128,), device=device)

        def loss(model: gg.nn.Sequential = model, x: object = x, y: object = y) -> object:
            return gg.nn.functional.cross_entropy(model(x), y)

        launched = len(gpu.launches)
        peaks.append(gg.tape_memory(loss).peak_bytes)
        assert len(gpu.launches) == launched, "nothing is computed"
    assert peaks[1] <= peaks[0]
    loss().backward()  # compiles, and makes the workspace of the products
    for p in model.parameters():
        p.grad = None
    gg.cuda.reset_peak_memory_stats()
    held = gg.cuda.memory_allocated()
    loss().backward()
    assert gg.cuda.max_memory_allocated() - held == pytest.approx(peaks[1], rel=0.1)
    gg.cuda.stop_peak_memory_stats()


@pytest.mark.parametrize("kind", ["relu", "gelu"])
@pytest.mark.parametrize("nvmath", [True, False])
def test_activations_inside_products_are_predicted_and_shown_with_their_layer(
    request: pytest.FixtureRequest, kind: str, nvmath: bool
) -> None:
    gpu = request.getfixturevalue("gpu" if nvmath else "gpu_without_nvmath")
    acts = {"relu": gg.nn.ReLU, "gelu": lambda: gg.nn.GELU("tanh")}[kind]
    widths = (256, 512, 256, 8)
    layers: list[object] = []
    for m, n in pairwise(widths):
        layers += [gg.nn.Linear(m, n), acts()]
    model = gg.nn.Sequential(*layers[:-1]).to("cuda")
    x = gg.rand(64, 256, device="cuda")

    def loss() -> gg.Tensor:
        return model(x).square().mean()

    loss().backward()  # the workspace is there, and the gradients
    found = gg.tape_memory(loss)
    before = gpu.used_bytes[0]
    kept = loss()
    held = gpu.used_bytes[0] - before
    assert gpu.calls["cublasLt.RELU_AUX_BIAS"] == (4 if nvmath and kind == "relu" else 0)
    assert abs(found.forward_bytes - held) < 4096, "each piece of memory is rounded up to 512 bytes"
    del kept
    with gg.profile(device="cuda", ceilings=False) as p:
        loss().backward()
    assert p.report.layer("0").forward.seconds > 0
    assert p.report.layer("2").backward.seconds > 0


def test_the_command_measures_a_gpu(
    gpu: State, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sizes grow until a call is long enough, which it never is by the clock of the stand-in.
    monkeypatch.setattr("gpugrad.cost.measure.measure_ceilings", lambda backend: Ceilings(1e12, 1e12))
    sizes = ["--width", "8", "--depth", "2", "--batch", "4", "--repeats", "2", "--warmup", "1", "--quiet"]
    assert main(["bench", "mlp", *sizes, "--device", "cuda"]) == 0
    printed = capsys.readouterr().out
    assert "\ncuda:0: " in printed
    assert "ceilings, measured in this run" in printed
