"""PyTorch's names on the GPU branch: nothing waits, and a recorded step gives what the plain one does."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.nn import functional as F
from tests.standin import State

CALLS = {
    "cummax": lambda x, at: x.cummax(1).values,
    "logcumsumexp": lambda x, at: x.logcumsumexp(0),
    "mode": lambda x, at: x.mode(1).values,
    "kthvalue": lambda x, at: x.kthvalue(2).values,
    "scatter_reduce": lambda x, at: x.scatter_reduce(1, at, x * 2, "amax"),
    "index_fill": lambda x, at: x.index_fill(0, at[0, :2] % 3, 1.0),
    "bucketize": lambda x, at: gg.bucketize(x, at[0].float()),
    "isin": lambda x, at: gg.isin(at, at[0, :1]),
    "lerp": lambda x, at: x.lerp(x * 2, 0.7).addcmul(x, x).frac(),
    "cdist": lambda x, at: gg.cdist(x, x + 1, 2, "use_mm_for_euclid_dist"),
    "in place": lambda x, at: (x * 1).exp_().clamp_max_(1).scatter_add_(1, at, x).tril_(),
    "polar": lambda x, at: gg.view_as_real(gg.polar(x, x)),
}


@pytest.mark.parametrize("name", CALLS)
def test_nothing_waits_and_a_replay_is_the_plain_call(gpu: State, name: str) -> None:
    at = gg.tensor([[0, 2, 1, 1], [3, 3, 3, 0], [1, 0, 2, 3]], device="cuda")

    def inputs(i: int) -> Any:
        return gg.arange(12.0, device="cuda").reshape(3, 4) * (0.1 + i) - 0.3

    def step(x: Any) -> Any:
        return CALLS[name](x, at)

    xs = [inputs(i) for i in range(5)]
    plain = [step(x) for x in xs]
    gpu.clear()
    step(xs[0])
    assert gpu.syncs == []
    run = gg.compile(step)
    assert [run(x).tolist() for x in xs] == [y.tolist() for y in plain]
    assert run.graphs == 1


@pytest.mark.parametrize("name", CALLS)
def test_calls_run_on_the_gpu_of_their_arguments(two_gpus: State, name: str) -> None:
    found = []
    for device in ("cpu", "cuda:1"):
        at = gg.tensor([[0, 2, 1, 1], [3, 3, 3, 0], [1, 0, 2, 3]], device=device)
        found.append(CALLS[name](gg.arange(12.0).reshape(3, 4).to(device) * 0.1, at))
    assert str(found[1].device) == "cuda:1"
    np.testing.assert_allclose(found[1].cpu().numpy(), found[0].numpy(), rtol=1e-4, atol=1e-3)


def test_draws_and_losses_run_on_the_gpu_of_their_arguments(two_gpus: State) -> None:
    x = gg.full((4, 4), 0.5, device="cuda:1")
    named = gg.tensor([[1, -1, 0, 0]] * 4, device="cuda:1")
    for y in (
        gg.bernoulli(x), gg.multinomial(x, 2), gg.multinomial(x, 2, True), F.gumbel_softmax(x, hard=True),
        F.alpha_dropout(x, 0.5, True), F.multilabel_margin_loss(x, named), gg.unravel_index(named[0, :1], (2, 2))[0],
        gg.nn.init.trunc_normal_(x), gg.nn.init.sparse_(x, 0.5), gg.normal(x, x), F.pdist(x),
        gg.nn.Transformer.generate_square_subsequent_mask(3, "cuda:1"),
    ):  # fmt: skip
        assert str(y.device) == "cuda:1"
