"""How much a step of common programs asks of a GPU: kernels, products and CuPy's functions cannot grow unseen."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F
from tests.standin import State

LENGTH, BATCH, WIDTH = 6, 3, 8


def asked(gpu: State) -> tuple[int, int, dict[str, int]]:
    """Launches of our kernels, products, and what was called of CuPy."""
    calls = {name: n for name, n in gpu.calls.items() if not name.startswith("cublasLt")}
    return len(gpu.launches), gpu.calls["cublasLt.matmul"], calls


@pytest.mark.parametrize(
    ("kind", "forward", "backward"),
    [("LSTM", (23, 14), (19, 17)), ("GRU", (18, 14), (21, 17)), ("RNN", (20, 14), (17, 17))],
)
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_step_in_time_is_a_product_and_a_formula_each_way(
    gpu: State, kind: str, forward: tuple[int, int], backward: tuple[int, int], batch_first: bool
) -> None:
    """Two layers: of 6 steps each, 12 formulas and 12 products, and what a layer does once."""
    layers = getattr(nn, kind)(WIDTH, WIDTH, 2, batch_first=batch_first).to("cuda")
    x = gg.tensor(
        np.zeros((BATCH, LENGTH, WIDTH) if batch_first else (LENGTH, BATCH, WIDTH), np.float32), device="cuda"
    )
    for _ in range(2):
        layers.zero_grad()
        gpu.clear()
        y = layers(x)[0].sum()
        ahead = asked(gpu)
        gpu.clear()
        y.backward()
        behind = asked(gpu)
    assert ahead == (*forward, {})
    assert behind == (backward[0] + batch_first, backward[1], {"broadcast_to": 1})
    assert gpu.syncs == gpu.uploads == []


@pytest.mark.parametrize("name", ["gather", "nll_loss"])
def test_one_element_of_each_row_is_put_back_without_sorting(gpu: State, name: str) -> None:
    x = gg.tensor(np.zeros((5, 4), np.float32), device="cuda", requires_grad=True)
    rows = gg.tensor(np.array([[1], [0], [3], [3], [0]]), device="cuda")
    y = x.gather(1, rows) if name == "gather" else F.nll_loss(x, rows[:, 0], reduction="none")
    gpu.clear()
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(np.nonzero(x.grad.cpu().numpy())[1], rows.cpu().numpy()[:, 0])
    assert "argsort" not in gpu.calls
    assert not any("segment" in kernel or "few_rows" in kernel for kernel in gpu.launches)


WORDS = 7


class Attention(nn.Module):
    """As `scaled_dot_product_attention` does it, or as people write it."""

    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.by_hand = by_hand
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.register_buffer("seen", gg.tril(gg.ones(LENGTH, LENGTH)))

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        n, length, width = x.shape
        q, k, v = (a.view(n, length, 4, width // 4).transpose(1, 2) for a in self.qkv(x).split(width, dim=2))
        if self.by_hand:
            scores = q @ k.transpose(-2, -1) * (width // 4) ** -0.5
            scores = scores.masked_fill(self.seen == 0, float("-inf"))
            y = F.dropout(F.softmax(scores, dim=-1), 0.5, self.training) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.5 if self.training else 0.0, is_causal=True)
        return self.proj(y.transpose(1, 2).contiguous().view(n, length, width))


class Block(nn.Module):
    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = Attention(by_hand)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        x = x + self.attention(self.before(x))
        return x + self.down(F.gelu(self.up(self.between(x))))


class Language(nn.Module):
    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.block, self.norm = Block(by_hand), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, numbers: gg.Tensor) -> gg.Tensor:
        x = self.words(numbers) + self.places(gg.arange(numbers.shape[1], device=numbers.device))
        return self.head(self.norm(self.block(x)))


@pytest.mark.parametrize(
    ("by_hand", "dtype", "forward", "backward"),
    [
        (False, "float32", (15, 7), (18, 15)),
        (False, "bfloat16", (21, 7), (23, 15)),
        (True, "float32", (20, 7), (21, 14)),
        (True, "bfloat16", (27, 7), (26, 14)),
    ],
)
def test_a_step_of_a_language_model(
    gpu: State, by_hand: bool, dtype: str, forward: tuple[int, int], backward: tuple[int, int]
) -> None:
    model = Language(by_hand).to("cuda")
    update = gg.optim.AdamW(model.parameters())
    numbers = gg.tensor(np.arange(BATCH * LENGTH).reshape(BATCH, LENGTH) % WORDS, device="cuda")
    for _ in range(2):
        gpu.clear()
        with gg.autocast("bfloat16", enabled=dtype == "bfloat16"):
            loss = F.cross_entropy(model(numbers).view(-1, WORDS), numbers.view(-1), ignore_index=0)
        found = [asked(gpu)]
        gpu.clear()
        loss.backward()
        found.append(asked(gpu))
        gpu.clear()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        update.step()
        update.zero_grad()
        found.append(asked(gpu))
    assert found == [(*forward, {}), (*backward, {}), (6, 0, {"array": 4})]
    assert gpu.syncs == gpu.uploads == []


def test_attention_by_hand_is_that_of_the_function(gpu: State) -> None:
    """In eval mode, forward and backward: stacks of heads are copied, and multiplied in one product."""
    ours = Attention(by_hand=True).to("cuda").eval()
    x = gg.tensor(np.random.default_rng(0).standard_normal((BATCH, LENGTH, WIDTH)), dtype="float32", device="cuda")
    found = []
    for ours.by_hand in (True, False):
        gpu.clear()
        y = ours(x)
        y.square().sum().backward()
        found.append([y.tolist(), *(p.grad.tolist() for p in ours.parameters())])
        assert gpu.calls["cublasLt.matmul"] == 11 + (not ours.by_hand), "the function makes scores twice"
        ours.zero_grad()
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
