"""Recurrent layers and cells: lengths, directions, state, errors, and PyTorch's numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import gpugrad as gg

LAYERS = ("RNN", "LSTM", "GRU")


def states(layer, n, seed=0):
    """First states of a layer, as arrays."""
    rng = np.random.default_rng(seed)
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    found = [rng.standard_normal((count, n, layer.hidden_size)) for _ in range(2)]
    return tuple(found) if isinstance(layer, gg.nn.LSTM) else found[0]


def numpy(x):
    return tuple(map(numpy, x)) if isinstance(x, tuple) else x.detach().numpy()


@pytest.mark.parametrize("kind", LAYERS)
def test_what_lies_behind_the_end_of_a_sequence_changes_nothing(kind):
    rng = np.random.default_rng(1)
    layer = getattr(gg.nn, kind)(3, 4, num_layers=2, bidirectional=True, dtype=np.float64)
    x, lengths = rng.standard_normal((6, 3, 3)), np.array([6, 2, 4])
    first = states(layer, 3)
    moved = gg.tensor(x, requires_grad=True)
    y, last = layer(moved, first, lengths=lengths)
    (y**2).sum().backward()
    for k, length in enumerate(lengths):
        alone = tuple(s[:, k : k + 1] for s in first) if kind == "LSTM" else first[:, k : k + 1]
        expected, final = layer(x[:length, k : k + 1], alone)
        np.testing.assert_allclose(numpy(y)[:length, k], numpy(expected)[:, 0], atol=1e-12)
        np.testing.assert_array_equal(numpy(y)[length:, k], 0)
        np.testing.assert_array_equal(moved.grad.numpy()[length:, k], 0)
        for ours, theirs in zip(*((s if kind == "LSTM" else (s,)) for s in (numpy(last), numpy(final))), strict=True):
            np.testing.assert_allclose(ours[:, k], theirs[:, 0], atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_is_its_cell_step_by_step(kind):
    rng = np.random.default_rng(2)
    layer = getattr(gg.nn, kind)(3, 4, dtype=np.float64)
    cell = getattr(gg.nn, f"{kind}Cell")(3, 4, dtype=np.float64)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = rng.standard_normal((5, 2, 3))
    state = None
    y, last = layer(x)
    for t in range(5):
        state = cell(x[t], state)
        np.testing.assert_allclose(numpy(state[0] if kind == "LSTM" else state), numpy(y)[t], atol=1e-12)
    if kind == "LSTM":
        np.testing.assert_allclose(numpy(state[1]), numpy(last[1])[0], atol=1e-12)


def test_a_sequence_is_one_node_for_each_layer_and_direction():
    layer = gg.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    y, _ = layer(np.zeros((50, 2, 3), np.float32))
    names, stack, met = [], [y._node], set()
    while stack:
        node = stack.pop()
        if node is None or id(node) in met:
            continue
        met.add(id(node))
        names.append(node.name)
        stack.extend((node.parents,) if node.single else (node.parents or ()))
    assert names.count("lstm") == 4
    assert len(names) < 60


def test_dropout_is_between_layers_and_in_training_only():
    x = np.ones((3, 2, 3), np.float32)
    layer = gg.nn.GRU(3, 4, num_layers=2, dropout=0.5)
    gg.manual_seed(0)
    assert (numpy(layer(x)[0]) != numpy(layer(x)[0])).any()
    layer.eval()
    np.testing.assert_array_equal(numpy(layer(x)[0]), numpy(layer(x)[0]))


def test_state_and_repr_are_pytorchs():
    layer = gg.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    names = [f"{what}_l{k}{side}" for k in (0, 1) for side in ("", "_reverse")
             for what in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]  # fmt: skip
    assert list(layer.state_dict()) == names
    assert layer.weight_ih_l1_reverse.shape == (16, 8)
    assert repr(layer) == "LSTM(3, 4, num_layers=2, bidirectional=True)"
    assert list(gg.nn.GRUCell(3, 4).state_dict()) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert not list(gg.nn.RNN(3, 4, bias=False).state_dict())[2:]


def test_a_network_learns_to_remember_the_first_input():
    gg.manual_seed(1)
    layer, head = gg.nn.GRU(1, 12, batch_first=True), gg.nn.Linear(12, 1)
    step = gg.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)
    rng = np.random.default_rng(0)
    losses = []
    for _ in range(120):
        x = rng.standard_normal((32, 8, 1)).astype(np.float32)
        loss = gg.nn.functional.mse_loss(head(layer(x)[0][:, -1]), gg.asarray(x[:, 0]))
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])


X = np.zeros((5, 2, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: gg.nn.LSTM(4, 4)(X), ValueError, r"input has shape \(5, 2, 3\); expected \(length, n, 4\)"),
        (lambda: gg.nn.GRU(3, 4)(X[:0]), ValueError, "one step or more"),
        (lambda: gg.nn.GRU(3, 4)(X, X), ValueError, r"hx has shape.*expected \(1, 2, 4\)"),
        (lambda: gg.nn.LSTM(3, 4)(X, X), ValueError, r"the pair \(h, c\)"),
        (lambda: gg.nn.GRU(3, 4)(X, lengths=[5]), ValueError, r"lengths has shape \(1,\); expected \(2,\)"),
        (lambda: gg.nn.RNN(3, 4, nonlinearity="sin"), ValueError, "'sin'"),
        (lambda: gg.nn.RNN(3, 4, dropout=2), ValueError, "dropout = 2"),
        (lambda: gg.nn.RNN(3, 0), ValueError, "hidden_size = 0"),
        (lambda: gg.nn.GRUCell(4, 4)(X[0]), ValueError, r"expected \(n, 4\)"),
        (lambda: gg.nn.LSTMCell(3, 4)(X[0], (X[0], X[0])), ValueError, r"expected \(2, 4\)"),
        (lambda: gg.nn.GRU(3, 4)(X.astype("d")), TypeError, "float64.*float32"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_shapes(call, error, said):
    with pytest.raises(error, match=said):
        call()


def same(ours, theirs, atol=1e-11):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=atol)


def alike(torch, ours, theirs):
    rng = np.random.default_rng(5)
    state = {k: rng.standard_normal(tuple(v.shape)) * 0.5 for k, v in theirs.state_dict().items()}
    theirs.load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    ours.load_state_dict(state)


def compare(torch, ours, theirs, x, hx):
    """Outputs, last states, and all gradients."""
    wrap = [lambda v: gg.tensor(v, requires_grad=True), lambda v: torch.tensor(v, requires_grad=True)]
    moved = [w(x) for w in wrap]
    first = [None if hx is None else tuple(map(w, hx)) if isinstance(hx, tuple) else w(hx) for w in wrap]
    results = [ours(moved[0], first[0]), theirs(moved[1], first[1])]
    flat = [flattened(r) for r in results]
    for a, b in zip(*flat, strict=True):
        same(a.detach().numpy(), b)
    for parts in flat:
        sum([(p * (k + 1) * p).sum() for k, p in enumerate(parts)]).backward()
    same(moved[0].grad.numpy(), moved[1].grad)
    for a, b in zip(*([] if f is None else flattened(f) for f in first), strict=True):
        same(a.grad.numpy(), b.grad)
    expected = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        same(p.grad.numpy(), expected[name].grad, 1e-10)


def flattened(x):
    return [leaf for part in x for leaf in flattened(part)] if isinstance(x, tuple) else [x]


@pytest.mark.peers
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_pytorchs(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    for layers, both, batch_first, bias in itertools.product((1, 2), (False, True), (False, True), (False, True)):
        options = {"num_layers": layers, "bidirectional": both, "batch_first": batch_first, "bias": bias}
        if kind == "RNN":
            options["nonlinearity"] = "relu" if batch_first else "tanh"
        ours = getattr(gg.nn, kind)(3, 4, dtype=np.float64, **options)
        theirs = getattr(torch.nn, kind)(3, 4, dtype=torch.float64, **options)
        alike(torch, ours, theirs)
        x = rng.standard_normal((2, 5, 3) if batch_first else (5, 2, 3))
        compare(torch, ours, theirs, x, states(ours, 2) if bias else None)


@pytest.mark.peers
@pytest.mark.parametrize("kind", LAYERS)
def test_one_sequence_without_a_batch_and_packed_ones_are_pytorchs(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    ours = getattr(gg.nn, kind)(3, 4, bidirectional=True, dtype=np.float64)
    theirs = getattr(torch.nn, kind)(3, 4, bidirectional=True, dtype=torch.float64)
    alike(torch, ours, theirs)
    compare(torch, ours, theirs, rng.standard_normal((5, 3)), None)
    x, lengths = rng.standard_normal((5, 3, 3)), np.array([5, 3, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), torch.tensor(lengths))
    expected, last = theirs(packed)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(expected)
    y, final = ours(x, lengths=lengths)
    for a, b in zip(flattened((y, final)), flattened((padded, last)), strict=True):
        same(a.detach().numpy(), b)


@pytest.mark.peers
@pytest.mark.parametrize("kind", LAYERS)
def test_cells_are_pytorchs(kind):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    for bias, shape in itertools.product((False, True), ((2,), ())):
        ours = getattr(gg.nn, f"{kind}Cell")(3, 4, bias, dtype=np.float64)
        theirs = getattr(torch.nn, f"{kind}Cell")(3, 4, bias, dtype=torch.float64)
        alike(torch, ours, theirs)
        h, c = rng.standard_normal((*shape, 4)), rng.standard_normal((*shape, 4))
        x = rng.standard_normal((*shape, 3))
        wrapped = [Tupled(ours), Tupled(theirs)]
        compare(torch, *wrapped, x, (h, c) if kind == "LSTM" else h)


class Tupled:
    """A cell whose result is always a tuple."""

    def __init__(self, cell):
        self.cell, self.named_parameters = cell, cell.named_parameters

    def __call__(self, x, hx):
        found = self.cell(x, hx)
        return found if isinstance(found, tuple) else (found,)
