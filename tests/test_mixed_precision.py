"""Autocast and the gradient scaler: types by operation, casts and their cache, transforms, PyTorch's scale."""

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import casting, nn
from gpugrad.nn import likelihoods, losses, margins
from gpugrad.ops.core import Elementwise
from gpugrad.primitive import ELEMENTWISE, REGISTRY
from tests.ops import table

F = nn.functional
HALVES = ["float16", "bfloat16"]


@pytest.fixture(autouse=True)
def _halves(request: pytest.FixtureRequest) -> None:
    if "bfloat16" in request.node.name:
        pytest.importorskip("ml_dtypes")


def network() -> nn.Sequential:
    gg.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))


def data() -> tuple[gg.Tensor, gg.Tensor]:
    rng = np.random.default_rng(0)
    return gg.tensor(rng.standard_normal((8, 6)).astype(np.float32)), gg.tensor(rng.integers(0, 3, 8))


@pytest.mark.parametrize("dtype", HALVES)
def test_products_are_in_half_precision_and_losses_in_float32(dtype: str) -> None:
    x, y = data()
    model = network()
    with gg.autocast(dtype):
        hidden = model[0](x)
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        types = [hidden, x @ x.T, gg.einsum("ij,kj->ik", x, x), model[1](hidden), logits.softmax(-1), logits.sum()]
        found = [t.dtype.name for t in types]
        image = F.conv2d(gg.ones(1, 2, 5, 5), gg.ones(3, 2, 3, 3), gg.ones(3))
        flat = F.conv_transpose2d(image, gg.ones(3, 2, 3, 3))
        normed = F.batch_norm(image, weight=gg.ones(3), bias=gg.zeros(3), training=True)
    assert found == [dtype, dtype, dtype, "float32", "float32", "float32"]
    assert (image.dtype.name, flat.dtype.name, normed.dtype.name) == (dtype, dtype, dtype)
    assert logits.dtype.name == dtype
    assert loss.dtype == np.float32
    loss.backward()
    assert {p.grad.dtype.name for p in model.parameters()} == {"float32"}


@pytest.mark.parametrize(("dtype", "eps"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_gradients_are_those_of_float32_to_half_precision(dtype: str, eps: float) -> None:
    x, y = data()
    grads = []
    for enabled in (False, True):
        model = network()
        with gg.autocast(dtype, enabled=enabled):
            loss = F.cross_entropy(model(x), y)
        loss.backward()
        grads.append([p.grad.numpy() for p in model.parameters()])
    for full, half in zip(*grads, strict=True):
        assert abs(half - full).max() < 4 * eps * max(abs(full).max(), 0.1)
    assert any((half != full).any() for full, half in zip(*grads, strict=True)), "something was computed in halves"


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("layer", ["linear", "feed_forward"])
def test_gradients_of_cast_operands_are_not_rounded_to_halves(dtype: str, layer: str) -> None:
    """The products' sums in float32, of operands in half precision; PyTorch's are rounded between."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in ((40, 7), (5, 7), (40, 5))]
    x, w, g = (gg.tensor(a, requires_grad=True) for a in arrays)
    with gg.autocast(dtype):
        y = F.linear(x, w) if layer == "linear" else F.feed_forward(x, [(w, None, None)])
    assert y.dtype.name == dtype
    y.backward(g.detach().to(dtype))
    a, b, c = (v.detach().to(dtype).float().numpy() for v in (x, w, g))
    np.testing.assert_allclose(w.grad.numpy(), c.T @ a, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), c @ b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("first", ["linear", "matmul"])
def test_cotangents_of_one_cast_may_come_in_both_types(dtype: str, first: str) -> None:
    rng = np.random.default_rng(0)
    x, w = (gg.tensor(rng.standard_normal((4, 4)).astype(np.float32), requires_grad=True) for _ in range(2))
    calls = [lambda: F.linear(x, w), lambda: gg.matmul(x, w), lambda: F.linear(x, w)]
    with gg.autocast(dtype):
        y = [f() for f in (calls if first == "linear" else calls[1:])]
    (gg.stack(y).float() * gg.arange(len(y) * 16.0).reshape(len(y), 4, 4)).sum().backward()
    half = w.grad.numpy()
    w.grad = None
    z = [f() for f in (calls if first == "linear" else calls[1:])]
    (gg.stack(z) * gg.arange(len(y) * 16.0).reshape(len(y), 4, 4)).sum().backward()
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, w.grad.numpy(), rtol=0.05, atol=0.05 * abs(half).max())


def test_the_same_types_as_pytorchs_autocast_on_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("ml_dtypes")
    x = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4)
    w = np.ones((5, 4), np.float32)
    with gg.autocast("bfloat16"), torch.autocast("cpu", torch.bfloat16):
        ours, theirs = (
            F.linear(gg.tensor(x), gg.tensor(w)),
            torch.nn.functional.linear(torch.tensor(x), torch.tensor(w)),
        )
        assert ours.dtype.name == str(theirs.dtype).removeprefix("torch.")
        np.testing.assert_allclose(ours.numpy().astype(np.float32), theirs.float().numpy(), rtol=8e-3)
        for name in ("relu", "tanh", "sigmoid"):
            mine, other = getattr(gg, name)(ours), getattr(torch, name)(theirs)
            assert mine.dtype.name == str(other.dtype).removeprefix("torch."), name


@pytest.mark.parametrize("training", [True, False])
def test_batch_normalisation_of_halves_beside_float32_is_pytorchs(training: bool) -> None:
    torch = pytest.importorskip("torch")
    half = np.dtype(pytest.importorskip("ml_dtypes").bfloat16)
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((4, 3, 5, 6)).astype(half).astype(np.float32) for _ in range(2))
    w, b = rng.standard_normal((2, 3)).astype(np.float32)
    ours = [gg.tensor(a, requires_grad=True) for a in (x.astype(half), w, b)]
    theirs = [torch.tensor(x).bfloat16().requires_grad_(), *(torch.tensor(a).requires_grad_() for a in (w, b))]
    running, beside = ([make(a) for a in (np.zeros(3, "f"), np.ones(3, "f"))] for make in (gg.tensor, torch.tensor))
    y = F.batch_norm(ours[0], *running, *ours[1:], training=training)
    z = torch.nn.functional.batch_norm(theirs[0], *beside, *theirs[1:], training=training)
    y.backward(gg.tensor(g.astype(half)))
    z.backward(torch.tensor(g).bfloat16())
    have, want = (y, *(t.grad for t in ours), *running), (z, *(t.grad for t in theirs), *beside)
    for mine, other in zip(have, want, strict=True):
        assert mine.dtype.name == str(other.dtype).removeprefix("torch.")
        wanted = other.detach().float().numpy()
        np.testing.assert_allclose(mine.detach().numpy().astype(np.float32), wanted, rtol=2e-2, atol=2e-2)


def test_a_network_with_batch_normalisation_stays_in_half_precision() -> None:
    pytest.importorskip("ml_dtypes")
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    seen = []
    for layer in model:
        layer.register_forward_hook(lambda layer, args, out: seen.append(out.dtype.name))
    with gg.autocast("bfloat16"):
        model(gg.randn(2, 3, 8, 8)).sum().backward()
        model.eval()
        model(gg.randn(2, 3, 8, 8))
    assert seen == ["bfloat16"] * 8
    assert {p.grad.dtype.name for p in model.parameters()} == {"float32"}
    assert model[1].running_mean.dtype == np.float32


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("layer", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_and_attention_run_in_half_precision(layer: str, dtype: str) -> None:
    gg.manual_seed(1)
    cell, x = getattr(nn, layer)(4, 6), gg.randn(5, 3, 4)
    full = cell(x)[0]
    with gg.autocast(dtype):
        half = cell(x)[0]
        scores = F.scaled_dot_product_attention(x, x, x)
    half.sum().backward()
    assert (half.dtype.name, scores.dtype.name) == (dtype, dtype)
    assert {p.grad.dtype.name for p in cell.parameters()} == {"float32"}
    np.testing.assert_allclose(half.detach().numpy().astype(np.float32), full.detach().numpy(), atol=1e-2)


def test_float64_integers_and_bare_arrays_stay_as_they_are() -> None:
    x = gg.ones(2, 3, dtype="float64")
    with gg.autocast("float16"):
        assert (x @ x.T).dtype == np.float64
        assert gg.matmul(np.ones((2, 3), np.float32), np.ones((3, 2), np.float32)).dtype == np.float32
        assert gg.exp(x).dtype == np.float64
        assert gg.sum(gg.tensor([1, 2])).dtype.kind == "i"


def test_outside_of_the_block_nothing_is_cast_and_nothing_is_asked() -> None:
    x, _ = data()
    with pytest.raises(RuntimeError, match="on purpose"), gg.autocast("float16"):
        raise RuntimeError("on purpose")
    assert casting.CASTING == []
    assert (x @ x.T).dtype == np.float32


def test_blocks_nest_and_switch_off_and_decorate() -> None:
    x, _ = data()
    with gg.autocast("float16"):
        with gg.autocast("float16", enabled=False):
            assert (x @ x.T).dtype == np.float32
        assert (x @ x.T).dtype == np.float16

    @gg.autocast("float16")
    def product(x: Any) -> Any:
        return x @ x.T

    assert product(x).dtype == np.float16
    assert (x @ x.T).dtype == np.float32


def test_another_thread_is_not_in_the_block() -> None:
    x, _ = data()
    found = []
    with gg.autocast("float16"):
        thread = threading.Thread(target=lambda: found.append((x @ x.T).dtype))
        thread.start()
        thread.join()
    assert found == [np.float32]


def test_a_parameter_is_cast_once_in_a_block_and_again_after_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    casts = []
    convert = casting._converted
    monkeypatch.setattr(casting, "_converted", lambda x, t: casts.append((x.shape, t.name)) or convert(x, t))
    w = gg.ones(2, 2, requires_grad=True)
    x = gg.ones(3, 2).astype("float16")
    optimizer = gg.optim.SGD([w], lr=0.25)
    with gg.autocast("float16"):
        first, second = F.linear(x, w), F.linear(x, w)
        assert casts.count(((2, 2), "float16")) == 1
        first.sum().backward()
        second.sum().backward()  # the cast is walked twice
        optimizer.step()
        after = F.linear(x, w)
        assert casts.count(((2, 2), "float16")) == 2
    np.testing.assert_array_equal(after.detach().numpy(), np.full((3, 2), 2 * (1 - 0.25 * 6), np.float16))
    np.testing.assert_array_equal(w.grad.numpy(), np.full((2, 2), 6.0, np.float32))


def test_a_cast_made_without_recording_is_not_used_where_gradients_are_wanted() -> None:
    w = gg.ones(2, 2, requires_grad=True)
    with gg.autocast("float16"):
        with gg.no_grad():
            F.linear(gg.ones(1, 2), w)
        F.linear(gg.ones(1, 2), w).sum().backward()
    assert w.grad is not None


def test_transforms_go_through_the_casts() -> None:
    w = gg.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4))
    x = gg.tensor(np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4))

    @gg.autocast("float16")
    def loss(w: Any) -> Any:
        return gg.tanh(F.linear(x, w)).sum()

    def plain(w: Any) -> Any:
        return gg.tanh(F.linear(x, w)).sum()

    close = {"rtol": 2e-2, "atol": 5e-3}
    np.testing.assert_allclose(gg.grad(loss)(w).numpy(), gg.grad(plain)(w).numpy(), **close)
    _, tangent = gg.jvp(loss, (w,), (gg.ones_like(w),))
    _, want = gg.jvp(plain, (w,), (gg.ones_like(w),))
    np.testing.assert_allclose(tangent.numpy(), want.numpy(), **close)
    batch = gg.stack([w, 2 * w])
    np.testing.assert_allclose(gg.vmap(gg.grad(loss))(batch).numpy(), gg.vmap(gg.grad(plain))(batch).numpy(), **close)
    np.testing.assert_allclose(gg.hvp(loss, (w,), (w,)).numpy(), gg.hvp(plain, (w,), (w,)).numpy(), **close)


def test_checkpoint_runs_again_under_the_autocast_of_the_first_time() -> None:
    x, y = data()
    grads = []
    for wrap in (lambda f: f, gg.checkpoint):
        model = network()
        with gg.autocast("float16"):
            model[0](x)  # the parameter's cast is in the block's cache before the checkpointed call
            loss = F.cross_entropy(wrap(model)(x), y)
        loss.backward()
        grads.append([p.grad.numpy() for p in model.parameters()])
    for plain, again in zip(*grads, strict=True):
        np.testing.assert_array_equal(again, plain)


def test_another_dtype_is_refused() -> None:
    for wrong in ("float64", "gpu", int):
        with pytest.raises(ValueError, match=r"\[autocast\] dtype = .*expected \"float16\" or \"bfloat16\""):
            gg.autocast(wrong)


def test_the_documented_lists_are_the_ones_in_force_and_name_operations() -> None:
    assert table.rows(), "every module of operations is imported"
    rooms = (losses, likelihoods, margins)
    formulas = {name for room in rooms for name, value in vars(room).items() if isinstance(value, Elementwise)}
    assert (casting.LOW | casting.FLOAT32).issubset(REGISTRY.keys() | ELEMENTWISE.keys() | formulas)
    rows = (Path(__file__).parents[1] / "docs" / "mixed-precision.md").read_text().splitlines()
    low, full = (
        set(re.findall(r"`(\w+)`", next(row for row in rows if row.startswith(start)).partition("made of")[0]))
        for start in ("| the block's", "| float32")
    )
    assert low == casting.LOW
    assert full == casting.FLOAT32


# ---- half precision on the CPU


@pytest.mark.parametrize("dtype", HALVES)
def test_products_of_halves_have_their_type_and_add_up_in_float32(dtype: str) -> None:
    a = gg.full((2, 4096), 0.01).astype(gg.autocast(dtype)._dtype)
    product = a @ a.T
    assert product.dtype == a.dtype
    exact = float(np.asarray(a.numpy()[0, 0], np.float64)) ** 2 * 4096
    np.testing.assert_allclose(product.numpy().astype(np.float64), exact, rtol=1e-2 if dtype == "bfloat16" else 1e-3)


# ---- the scaler


def scaled(values: Any) -> tuple[gg.Tensor, gg.optim.SGD]:
    w = gg.zeros(len(values), requires_grad=True)
    w.grad = gg.tensor(np.asarray(values, np.float32))
    return w, gg.optim.SGD([w], lr=1.0)


def test_small_gradients_survive_float16_with_a_scaler_only() -> None:
    x = gg.full((1, 4), 2e-4)
    grads = []
    for enabled in (False, True):
        scaler = gg.GradScaler(enabled=enabled)
        w = gg.ones(2, 4, requires_grad=True)
        optimizer = gg.optim.SGD([w], lr=1.0)
        with gg.autocast("float16"):
            loss = F.linear(x, w).sum() * 1e-8
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        grads.append(w.grad.numpy())
    assert (grads[0] == 0).all()
    np.testing.assert_allclose(grads[1], 2e-12, rtol=2e-3)


@pytest.mark.parametrize("bad", [np.inf, np.nan, -np.inf])
def test_an_overflow_skips_the_step_and_halves_the_scale(bad: float) -> None:
    w, optimizer = scaled([1.0, bad])
    scaler = gg.GradScaler(init_scale=8.0)
    assert scaler.step(optimizer) is None
    np.testing.assert_array_equal(w.detach().numpy(), 0)
    scaler.update()
    assert scaler.get_scale() == 4.0


def test_a_skipped_step_leaves_moments_and_step_counts_alone() -> None:
    w = gg.ones(3, requires_grad=True)
    optimizer = gg.optim.Adam([w], lr=0.1)
    w.grad = gg.tensor([1.0, np.inf, 0.0])
    scaler = gg.GradScaler()
    scaler.step(optimizer)
    scaler.update()
    assert optimizer.state_dict()["state"] == {}


def test_the_scale_grows_after_an_interval_without_overflow() -> None:
    scaler = gg.GradScaler(init_scale=2.0, growth_interval=3)
    for expected in (2.0, 2.0, 4.0, 4.0):
        _, optimizer = scaled([2.0])
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == expected


def test_the_scale_moves_as_pytorchs_over_a_run_with_overflows() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=2)
    ours = gg.GradScaler(init_scale=64.0, growth_interval=2)
    p = torch.zeros(2, requires_grad=True)
    w = gg.zeros(2, requires_grad=True)
    torch_sgd, sgd = torch.optim.SGD([p], lr=0.5), gg.optim.SGD([w], lr=0.5)
    theirs.scale(torch.zeros(()))  # makes its tensors
    for value in (64.0, np.inf, 3.0, 5.0, np.nan, 1.0, 2.0, 4.0):
        p.grad, w.grad = torch.full((2,), value), gg.full((2,), value, dtype="float32")
        theirs.step(torch_sgd)
        ours.step(sgd)
        theirs.update()
        ours.update()
        assert ours.get_scale() == theirs.get_scale()
        np.testing.assert_allclose(w.detach().numpy(), p.detach().numpy(), rtol=1e-6)
    assert ours.state_dict() == theirs.state_dict()


def test_the_state_goes_into_a_checkpoint_and_back() -> None:
    first = gg.GradScaler(init_scale=32.0, growth_interval=5)
    _, optimizer = scaled([1.0])
    first.step(optimizer)
    first.update()
    second = gg.GradScaler()
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert second.state_dict()["_growth_tracker"] == 1
    with pytest.raises(ValueError, match="'scale' is missing"):
        second.load_state_dict({})


def test_clipping_sees_gradients_without_the_scale() -> None:
    w, optimizer = scaled([3.0 * 4, 4.0 * 4])
    scaler = gg.GradScaler(init_scale=4.0)
    scaler.unscale_(optimizer)
    assert nn.utils.clip_grad_norm_([w], 1.0).item() == pytest.approx(5.0)
    scaler.step(optimizer)
    np.testing.assert_allclose(w.detach().numpy(), [-0.6, -0.8], rtol=1e-5)


def test_calls_out_of_order_are_refused() -> None:
    scaler = gg.GradScaler()
    _, optimizer = scaled([1.0])
    with pytest.raises(RuntimeError, match=r"no gradients were unscaled"):
        scaler.update()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\] called twice"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"step\] called twice"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match=r"unscale_\] called after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(TypeError, match=r"the loss is float16"):
        scaler.scale(gg.ones((), dtype="float16"))
    with pytest.raises(ValueError, match="backoff_factor = 2"):
        gg.GradScaler(backoff_factor=2)


def test_without_a_scaler_everything_passes() -> None:
    scaler = gg.GradScaler(enabled=False)
    w, optimizer = scaled([1.0])
    loss = gg.ones(())
    assert scaler.scale(loss) is loss
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 1.0
    assert scaler.state_dict() == {}
    np.testing.assert_array_equal(w.detach().numpy(), [-1.0])
