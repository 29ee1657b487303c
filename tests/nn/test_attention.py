"""Attention and the Transformer's encoder: blocks, masks, dropout, memory, errors, and PyTorch's numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.ops.attention as ops
from gpugrad.nn import functional as F


def three(*shape, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [gg.tensor(rng.standard_normal(shape).astype(dtype), requires_grad=True) for _ in range(3)]


def run(inputs, g, **options):
    """The output and the gradients."""
    for x in inputs:
        x.grad = None
    y = F.scaled_dot_product_attention(*inputs, **options)
    y.backward(gg.asarray(g))
    return [y.detach().numpy(), *(x.grad.numpy() for x in inputs)]


@pytest.mark.parametrize("mask", [None, "causal", (2, 1, 7, 7), (1, 3, 7, 7), (2, 3, 1, 7), (7, 1)])
def test_results_do_not_depend_on_the_blocks(mask, monkeypatch):
    causal = mask == "causal"
    rng = np.random.default_rng(1)
    inputs, g = three(2, 3, 7, 4), rng.standard_normal((2, 3, 7, 4))
    if isinstance(mask, tuple):
        inputs.append(gg.tensor(rng.standard_normal(mask), requires_grad=True))
    whole = run(inputs, g, is_causal=causal)
    monkeypatch.setattr(ops, "CAUSAL_ROWS", 3)
    for budget in (10, 7 * 7 + 1, 2 * 7 * 7):
        monkeypatch.setitem(ops.BUDGET, "cpu", budget)
        for ours, expected in zip(run(inputs, g, is_causal=causal), whole, strict=True):
            np.testing.assert_allclose(ours, expected, atol=1e-12)


def test_blocks_cover_every_score_once_and_leave_out_what_a_causal_mask_hides():
    for heads, rows, keys, budget in itertools.product((1, 5), (1, 300), (1, 290), (1, 1000, 10**6)):
        for causal in (False, True):
            seen = np.zeros((heads, rows, keys), int)
            for block in ops.blocks(heads, rows, keys, causal, budget):
                seen[block.heads, block.rows, : block.keys] += 1
            lower = np.tril(np.ones((rows, keys), int)) if causal else 1
            assert (seen <= 1).all()
            assert (seen >= lower).all()
    taken = sum((b.rows.stop - b.rows.start) * b.keys for b in ops.blocks(1, 1024, 1024, True, 10**9))
    assert taken < 0.6 * 1024 * 1024


def test_what_may_look_at_nothing_is_zero_and_so_are_its_gradients():
    inputs = three(1, 3, 2)
    keep = np.array([[True, True, False], [False, False, False], [True, True, True]])
    for mask in (keep, np.where(keep, 0.0, -np.inf)):
        y, dq, dk, dv = run(inputs, np.ones((1, 3, 2)), attn_mask=mask)
        np.testing.assert_array_equal(y[0, 1], 0)
        np.testing.assert_array_equal(dq[0, 1], 0)
        assert np.isfinite([y, dq, dk, dv]).all()


def test_dropout_is_the_same_forward_backward_and_in_the_second_derivative(monkeypatch):
    monkeypatch.setitem(ops.BUDGET, "cpu", 30)

    def loss(q, k, v):
        gg.manual_seed(3)
        return (F.scaled_dot_product_attention(q, k, v, dropout_p=0.4) ** 2).sum()

    gg.check_grads(loss, [x.detach().numpy() for x in three(2, 5, 5)], order=2)
    gg.manual_seed(3)
    ones = np.ones((400, 5, 1))
    y = F.scaled_dot_product_attention(np.zeros((400, 5, 1)), np.zeros((400, 5, 1)), ones, dropout_p=0.4)
    assert abs(y.mean() - 1) < 0.02
    assert len(np.unique(y.round(6))) > 3


def test_examples_of_a_map_drop_different_shares():
    x = np.ones((4, 1, 3, 2))
    y = gg.vmap(lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5))(x)
    assert len({np.asarray(one).tobytes() for one in np.asarray(y)}) > 1


def test_nothing_of_the_size_of_the_scores_is_kept():
    n = 512
    x = three(2, n, 8, dtype=np.float32)
    y = F.scaled_dot_product_attention(*x)
    kept = sum(a.nbytes for a in y._node.saved if a is not None)
    assert kept <= 3 * x[0].data.nbytes


def test_a_mask_with_true_means_look_here_and_leave_out_in_the_layer():
    layer = gg.nn.MultiheadAttention(4, 2, batch_first=True, dtype=np.float64)
    x = gg.asarray(np.random.default_rng(0).standard_normal((2, 3, 4)))
    hidden = np.triu(np.ones((3, 3), bool), 1)
    by_mask, shares = layer(x, x, x, attn_mask=hidden)
    by_word, none = layer(x, x, x, need_weights=False, is_causal=True)
    assert none is None
    np.testing.assert_allclose(by_mask.detach().numpy(), by_word.detach().numpy(), atol=1e-12)
    assert (shares.detach().numpy()[:, hidden] == 0).all()
    np.testing.assert_allclose(shares.detach().numpy().sum(-1), 1)


def test_a_mask_of_numbers_goes_with_half_precision_too():
    layer = gg.nn.MultiheadAttention(4, 2, batch_first=True)
    x = gg.asarray(np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32))
    mask = np.triu(np.full((3, 3), -np.inf, np.float32), 1)
    with gg.autocast("float16"):
        found, _ = layer(x, x, x, attn_mask=mask, need_weights=False)
    expected, _ = layer(x, x, x, attn_mask=mask, need_weights=False)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=2e-3)


def test_state_is_pytorchs():
    layer = gg.nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
    assert list(layer.state_dict()) == [
        "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias",
    ]  # fmt: skip
    encoder = gg.nn.TransformerEncoder(gg.nn.TransformerEncoderLayer(4, 2, 8), 2)
    assert [k.removeprefix("layers.1.") for k in encoder.state_dict()][-12:] == [
        "self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight", "self_attn.out_proj.bias",
        "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias",
        "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias",
    ]  # fmt: skip


def test_a_layer_can_be_copied_after_its_activation_has_run():
    layer = gg.nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    layer(np.ones((64, 64, 4), np.float32))
    encoder = gg.nn.TransformerEncoder(layer, 2)
    assert encoder.layers[0].activation is layer.activation
    assert encoder.layers[0].linear1.weight is not layer.linear1.weight


def layer():
    return gg.nn.MultiheadAttention(4, 2, batch_first=True, dtype=np.float64)


A = np.zeros((2, 3, 5, 4))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: F.scaled_dot_product_attention(A, A[..., :3], A), ValueError, r"key \(2, 3, 5, 3\)"),
        (lambda: F.scaled_dot_product_attention(A, A[:, :, :4], A), ValueError, "shapes do not fit"),
        (lambda: F.scaled_dot_product_attention(A, A[:, :, :0], A[:, :, :0]), ValueError, "there are no keys"),
        (lambda: F.scaled_dot_product_attention(A, A[:, :2], A[:, :2]), ValueError, "enable_gqa=True"),
        (lambda: F.scaled_dot_product_attention(A, A[:, :2], A[:, :2], enable_gqa=True), ValueError, "divide"),
        (lambda: F.scaled_dot_product_attention(A, A, A, np.ones((5, 5), bool), 0, True), ValueError, "one of them"),
        (lambda: F.scaled_dot_product_attention(A, A, A, np.ones((5, 5), int)), TypeError, "truth values"),
        (lambda: F.scaled_dot_product_attention(A, A, A, np.ones((4, 5), bool)), ValueError, r"attn_mask \(4, 5\)"),
        (lambda: F.scaled_dot_product_attention(A, A, A.astype("f")), TypeError, "float32"),
        (lambda: F.scaled_dot_product_attention(A, A, A, dropout_p=1), ValueError, "dropout_p = 1"),
        (lambda: gg.nn.MultiheadAttention(5, 2), ValueError, "heads that divide"),
        (lambda: layer()(A[0], A[0], A[0, ..., :3]), ValueError, r"value has shape \(3, 5, 3\)"),
        (lambda: layer()(A[0], A[0], A[0], A[0, :, :3, 0]), ValueError, r"key_padding_mask.*\(3, 5\)"),
        (lambda: layer()(A[0], A[0], A[0], attn_mask=A[0]), ValueError, r"attn_mask has shape \(3, 5, 4\)"),
        (lambda: gg.nn.TransformerEncoderLayer(4, 2, activation="rely"), ValueError, "'rely'"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_shapes(call, error, said):
    with pytest.raises(error, match=said):
        call()


def same(ours, theirs, atol=1e-11):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=atol)


def alike(torch, ours, theirs, seed=0):
    """Two modules with one state."""
    rng = np.random.default_rng(seed)
    state = {k: rng.standard_normal(tuple(v.shape)) * 0.4 for k, v in theirs.state_dict().items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    ours.load_state_dict(state)


def gradients_are_the_same(ours, theirs):
    expected = dict(theirs.named_parameters())
    assert [name for name, _ in ours.named_parameters()] == list(expected)
    for name, p in ours.named_parameters():
        same(p.grad.numpy(), expected[name].grad)


@pytest.mark.peers
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_first": True},
        {"bias": False},
        {"kdim": 3, "vdim": 5},
        {"add_bias_kv": True, "add_zero_attn": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("masks", ["none", "truth", "numbers", "each head"])
def test_attention_of_several_heads_is_pytorchs(options, masks):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    ours = gg.nn.MultiheadAttention(6, 2, dtype=np.float64, **options)
    theirs = torch.nn.MultiheadAttention(6, 2, dtype=torch.float64, **options)
    alike(torch, ours, theirs)
    batch_first = options.get("batch_first", False)
    shapes = [(3, n, size) if batch_first else (n, 3, size) for n, size in ((4, 6), (5, options.get("kdim", 6)))]
    shapes.append((*shapes[1][:2], options.get("vdim", 6)))
    padding = np.zeros((3, 5), bool)
    padding[1, 3:] = padding[2, :2] = True
    mask = {
        "none": {},
        "truth": {"key_padding_mask": padding, "attn_mask": np.eye(4, 5, dtype=bool)},
        "numbers": {
            "key_padding_mask": np.where(padding, -np.inf, 0.0), "attn_mask": rng.standard_normal((4, 5)),
        },
        "each head": {"attn_mask": rng.standard_normal((6, 4, 5))},
    }[masks]  # fmt: skip
    values = [rng.standard_normal(s) for s in shapes]
    xs, ts = [gg.tensor(v, requires_grad=True) for v in values], [torch.tensor(v, requires_grad=True) for v in values]
    for need, average in ((True, True), (True, False), (False, True)):
        told = {"need_weights": need, "average_attn_weights": average}
        y, shares = ours(*xs, **mask, **told)
        expected, theirs_shares = theirs(*ts, **{k: torch.tensor(v) for k, v in mask.items()}, **told)
        same(y.detach().numpy(), expected)
        if need:
            same(shares.detach().numpy(), theirs_shares)
        g = rng.standard_normal(y.shape)
        y.backward(gg.asarray(g))
        expected.backward(torch.tensor(g))
    for x, t in zip(xs, ts, strict=True):
        same(x.grad.numpy(), t.grad)
    gradients_are_the_same(ours, theirs)


@pytest.mark.peers
def test_self_attention_and_one_example_without_a_batch_are_pytorchs():
    torch = pytest.importorskip("torch")
    for batch_first in (False, True):
        ours = gg.nn.MultiheadAttention(6, 3, batch_first=batch_first, dtype=np.float64)
        theirs = torch.nn.MultiheadAttention(6, 3, batch_first=batch_first, dtype=torch.float64)
        alike(torch, ours, theirs)
        for shape in ((4, 2, 6), (4, 6)):
            value = np.random.default_rng(3).standard_normal(shape)
            x, t = gg.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
            (y, shares), (expected, theirs_shares) = ours(x, x, x), theirs(t, t, t)
            same(y.detach().numpy(), expected)
            same(shares.detach().numpy(), theirs_shares)
            (y**2).sum().backward()
            (expected**2).sum().backward()
            same(x.grad.numpy(), t.grad)
        gradients_are_the_same(ours, theirs)


@pytest.mark.peers
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_the_transformers_encoder_is_pytorchs(norm_first, activation):
    torch = pytest.importorskip("torch")
    options = {"dropout": 0.0, "activation": activation, "norm_first": norm_first, "batch_first": True}

    def build(nn, dtype, **more):
        layer = nn.TransformerEncoderLayer(6, 2, 10, dtype=dtype, **options)
        return nn.TransformerEncoder(layer, 2, nn.LayerNorm(6, dtype=dtype), **more)

    ours, theirs = build(gg.nn, np.float64), build(torch.nn, torch.float64, enable_nested_tensor=False)
    alike(torch, ours, theirs)
    value = np.random.default_rng(4).standard_normal((2, 5, 6))
    padding = np.array([[False] * 5, [False, False, False, True, True]])
    x, t = gg.tensor(value, requires_grad=True), torch.tensor(value, requires_grad=True)
    y = ours(x, np.triu(np.ones((5, 5), bool), 1), padding)
    expected = theirs(t, torch.triu(torch.ones(5, 5, dtype=torch.bool), 1), torch.tensor(padding))
    same(y.detach().numpy(), expected)
    (y**3).sum().backward()
    (expected**3).sum().backward()
    same(x.grad.numpy(), t.grad, 1e-9)
    expected_grads = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        same(p.grad.numpy(), expected_grads[name].grad, 1e-9)
