"""Modules, losses and optimizers on a GPU: the CPU's values and gradients, device of results, mixed devices refused."""

import copy

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nn
from gpugrad.nn import functional as F

pytestmark = pytest.mark.gpu

LABELS = np.array([0, 3, -100, 1, 2])
LOSSES = {
    "cross_entropy": lambda x, t, i: F.cross_entropy(x, i),
    "cross_entropy sum smooth": lambda x, t, i: F.cross_entropy(x, i, reduction="sum", label_smoothing=0.2),
    "cross_entropy ignoring 3": lambda x, t, i: F.cross_entropy(x, F.relu(i), ignore_index=3),
    "cross_entropy probabilities": lambda x, t, i: F.cross_entropy(x, t),
    "nll_loss": lambda x, t, i: F.nll_loss(x, i),
    "mse_loss": lambda x, t, i: F.mse_loss(x, t),
    "l1_loss": lambda x, t, i: F.l1_loss(x, t),
    "huber_loss": lambda x, t, i: F.huber_loss(x, t, delta=0.5),
    "smooth_l1_loss": lambda x, t, i: F.smooth_l1_loss(x, t, beta=0.5),
    "binary_cross_entropy": lambda x, t, i: F.binary_cross_entropy(gg.sigmoid(x), t),
    "binary_cross_entropy_with_logits": lambda x, t, i: F.binary_cross_entropy_with_logits(x, t),
    "kl_div": lambda x, t, i: F.kl_div(x, t),
    "hinge_loss": lambda x, t, i: F.hinge_loss(x, F.relu(i)),
    "perceptron_loss": lambda x, t, i: F.perceptron_loss(x, F.relu(i)),
}
MODULES = {
    "Linear": lambda: nn.Linear(6, 3), "LayerNorm": lambda: nn.LayerNorm(6), "RMSNorm": lambda: nn.RMSNorm(6),
    "Maxout": lambda: nn.Maxout(6, 2, 3), "PReLU": lambda: nn.PReLU(4), "Softmax": lambda: nn.Softmax(1),
    "LogSoftmax": nn.LogSoftmax, "Flatten": nn.Flatten, "GELU": nn.GELU, "Threshold": lambda: nn.Threshold(0.1, 2.0),
    "Sequential": lambda: nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 2)),
}  # fmt: skip


def on(device, array, requires_grad=False):
    return gg.tensor(array, device=device, requires_grad=requires_grad)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_its_gradient_are_the_cpus(name, rng):
    x, t = rng.normal(size=(5, 4)).astype(np.float32), rng.uniform(size=(5, 4)).astype(np.float32)
    found = []
    for device in ("cpu", "cuda"):
        a = on(device, x, True)
        loss = LOSSES[name](a, on(device, t), on(device, LABELS))
        loss.backward()
        assert loss.device == a.grad.device == a.device
        found.append((loss.detach().cpu().numpy(), a.grad.cpu().numpy()))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MODULES)
def test_module_moves_and_computes_the_cpus_values(name, rng):
    here = MODULES[name]()
    there = copy.deepcopy(here).to("cuda")
    array = rng.normal(size=(3, 4, 6)).astype(np.float32)
    x, z = on("cpu", array, True), on("cuda", array, True)
    y, w = here(x), there(z)
    assert w.device == gg.device("cuda")
    np.testing.assert_allclose(w.detach().cpu().numpy(), y.detach().numpy(), rtol=1e-4, atol=1e-5)
    (y * y).sum().backward()
    (w * w).sum().backward()
    np.testing.assert_allclose(z.grad.cpu().numpy(), x.grad.numpy(), rtol=1e-3, atol=1e-4)
    for p, q in zip(here.parameters(), there.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.cpu().numpy(), p.grad.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}), ("SGD", {"maximize": True}),
        ("Adam", {"amsgrad": True}), ("AdamW", {}), ("RMSprop", {"centered": True, "momentum": 0.5}),
        ("Adagrad", {"lr_decay": 0.1}), ("Adadelta", {}), ("Adamax", {"weight_decay": 0.1}), ("NAdam", {}),
        ("RAdam", {"betas": (0.9, 0.6), "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ],
    ids=str,
)  # fmt: skip
def test_optimizer_takes_the_cpus_steps(name, options, rng):
    arrays = [rng.normal(size=s).astype(np.float32) for s in ((5, 3), (3,), (40, 30))]
    found = []
    for device in ("cpu", "cuda"):
        parameters = [on(device, a, True) for a in arrays]
        optimizer = getattr(gg.optim, name)(parameters, lr=0.01, **options)
        for step in range(5):
            for p, a in zip(parameters, arrays, strict=True):
                p.grad = on(device, np.cos(a * (step + 1)))
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
        found.append([p.detach().cpu().numpy() for p in parameters])
        again = getattr(gg.optim, name)(parameters, lr=0.5)
        again.load_state_dict(optimizer.state_dict())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


def test_dropout_is_masked_the_same_way_forward_and_backward():
    gg.manual_seed(0)
    x = on("cuda", np.ones((100, 100), np.float32), True)
    y = F.dropout(x, 0.25)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.cpu().numpy(), y.detach().cpu().numpy())
    assert abs((y.detach().cpu().numpy() == 0).mean() - 0.25) < 0.03


def test_a_label_out_of_range_gives_nan_because_nobody_waits_to_look():
    loss = F.cross_entropy(on("cuda", np.zeros((2, 3), np.float32)), on("cuda", np.array([0, 7])), reduction="none")
    np.testing.assert_array_equal(np.isnan(loss.cpu().numpy()), [False, True])


def test_a_batch_on_another_device_is_refused():
    with pytest.raises(gg.DeviceError, match=r"cpu.*cuda|cuda.*cpu"):
        nn.Linear(3, 2).to("cuda")(gg.ones(1, 3, device="cpu"))
