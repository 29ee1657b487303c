"""The Transformer's layers and stacks: PyTorch's numbers, names and masks, and what holds without PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import gpugrad as gg

FUTURE = np.triu(np.ones((4, 4), bool), 1)
PADDING = np.array([[False] * 5, [False, False, False, True, True]])


def alike(torch, ours, theirs):
    """Two modules with one state."""
    rng = np.random.default_rng(0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = {k: rng.standard_normal(tuple(v.shape)) * 0.4 for k, v in theirs.state_dict().items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    ours.load_state_dict(state)


def compare(torch, ours, theirs, *shapes, **masks):
    rng = np.random.default_rng(4)
    values = [rng.standard_normal(shape) for shape in shapes]
    xs = [gg.tensor(v, requires_grad=True) for v in values]
    ts = [torch.tensor(v, requires_grad=True) for v in values]
    y = ours(*xs, **masks)
    expected = theirs(*ts, **{k: torch.tensor(m) if isinstance(m, np.ndarray) else m for k, m in masks.items()})
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), atol=1e-10)
    (y**3).sum().backward()
    (expected**3).sum().backward()
    grads = dict(theirs.named_parameters())
    pairs = [*zip(xs, ts, strict=True), *((p, grads[name]) for name, p in ours.named_parameters())]
    for a, b in pairs:
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-8)


@pytest.mark.peers
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_decoder_is_pytorchs(norm_first, bias, torch):
    def build(nn, dtype):
        layer = nn.TransformerDecoderLayer(
            6, 2, 10, 0.0, "gelu", batch_first=True, norm_first=norm_first, bias=bias, dtype=dtype
        )
        return nn.TransformerDecoder(layer, 2, nn.LayerNorm(6, dtype=dtype))

    ours, theirs = build(gg.nn, np.float64), build(torch.nn, torch.float64)
    alike(torch, ours, theirs)
    masks = {"tgt_mask": FUTURE, "memory_key_padding_mask": PADDING, "tgt_key_padding_mask": PADDING[:, 1:]}
    compare(torch, ours, theirs, (2, 4, 6), (2, 5, 6), **masks)


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:The PyTorch API of nested")
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_whole_is_pytorchs(batch_first, torch):
    options = {"dim_feedforward": 7, "dropout": 0.0, "batch_first": batch_first}
    ours = gg.nn.Transformer(6, 3, 2, 1, dtype=np.float64, **options)
    theirs = torch.nn.Transformer(6, 3, 2, 1, dtype=torch.float64, **options)
    alike(torch, ours, theirs)
    shapes = ((2, 5, 6), (2, 4, 6)) if batch_first else ((5, 2, 6), (4, 2, 6))
    future = gg.nn.Transformer.generate_square_subsequent_mask(4, dtype=np.float64).numpy()
    theirs_future = torch.nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64)
    np.testing.assert_array_equal(future, theirs_future.numpy())
    numbers = np.where(PADDING, -np.inf, 0.0)
    masks = {"tgt_mask": future, "src_key_padding_mask": numbers, "memory_key_padding_mask": numbers}
    compare(torch, ours, theirs, *shapes, tgt_is_causal=True, **masks)


def test_a_decoder_sees_no_later_place_and_all_of_the_memory():
    gg.manual_seed(0)
    layer = gg.nn.TransformerDecoderLayer(4, 2, 8, 0.0, batch_first=True)
    tgt, memory = gg.randn(1, 5, 4, requires_grad=True), gg.randn(1, 3, 4, requires_grad=True)
    layer(tgt, memory, tgt_is_causal=True)[0, 2].sum().backward()
    assert (tgt.grad.numpy() != 0).any(-1).tolist() == [[True, True, True, False, False]]
    assert (memory.grad.numpy() != 0).any(-1).all()
    masked = layer(tgt, memory, gg.nn.Transformer.generate_square_subsequent_mask(5))
    np.testing.assert_allclose(masked.tolist(), layer(tgt, memory, tgt_is_causal=True).tolist(), rtol=1e-5)


def test_the_whole_is_its_parts_and_takes_others():
    gg.manual_seed(1)
    whole = gg.nn.Transformer(4, 2, 1, 2, 8, 0.0)
    src, tgt = gg.randn(3, 2, 4), gg.randn(5, 2, 4)
    assert whole(src, tgt).tolist() == whole.decoder(tgt, whole.encoder(src)).tolist()
    assert len(whole.decoder.layers) == 2
    other = gg.nn.Transformer(4, 2, custom_encoder=whole.encoder, num_decoder_layers=1, dropout=0.0)
    assert other.encoder is whole.encoder
    assert other(src, tgt).shape == tgt.shape
    with pytest.raises(ValueError, match=r"\[TransformerDecoderLayer\] activation = 'rely'"):
        gg.nn.TransformerDecoderLayer(4, 2, activation="rely")


def test_dropout_is_for_training_alone():
    gg.manual_seed(2)
    layer = gg.nn.TransformerDecoderLayer(4, 2, 8, 0.5)
    x, memory = gg.randn(3, 1, 4), gg.randn(2, 1, 4)
    assert layer(x, memory).tolist() != layer(x, memory).tolist()
    layer.eval()
    assert layer(x, memory).tolist() == layer(x, memory).tolist()
