"""`vmap` itself: axes, structures, what is shared, nesting with the other transforms, errors, and networks."""

import dataclasses
import gc
import re
import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp
from gpugrad import BatchError
from gpugrad.batching import USED

RNG = np.random.default_rng(11)
X = RNG.standard_normal((4, 3))
W = RNG.standard_normal((3, 2))


def host(x: Any) -> Any:
    return np.asarray(getattr(x, "data", x))


def close(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(host(ours), host(expected), rtol=1e-10, atol=1e-12)


# ---- arguments and results


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclasses.dataclass
class Settings:
    scale: Any
    shift: Any


def test_axes_by_structure_and_by_the_upper_part_of_one() -> None:
    tree = {"pair": Pair(X, X.T), "settings": Settings(2.0, X[0]), "list": [X, None]}

    def f(t: Any) -> Any:
        return (t["pair"].first + t["pair"].second + t["settings"].shift + t["list"][0]) * t["settings"].scale

    axes = {"pair": Pair(0, 1), "settings": Settings(None, None), "list": 0}
    close(gg.vmap(f, in_axes=(axes,))(tree), (X + X + X[0] + X) * 2)
    axes = {"pair": Pair(0, 1), "settings": None, "list": [0, None]}
    close(gg.vmap(f, in_axes=(axes,))(tree), (X + X + X[0] + X) * 2)


def test_results_in_any_structure_each_with_its_axis() -> None:
    def f(x: Any) -> Any:
        return {"double": x * 2, "pair": Pair(x.sum(), np.outer(x, x)), "constant": 3.0}

    out = gg.vmap(f, out_axes={"double": 1, "pair": Pair(0, -1), "constant": None})(X)
    close(out["double"], X.T * 2)
    assert gg.vmap(lambda x: W)(X).flags.writeable  # copies, not views of what is shared
    close(out["pair"].first, X.sum(1))
    close(out["pair"].second, np.einsum("ni,nj->ijn", X, X))
    assert out["constant"].shape == ()
    assert gg.vmap(f)(X)["constant"].shape == (4,)


def test_keyword_arguments_are_mapped_over_axis_0() -> None:
    close(gg.vmap(lambda x, *, y: x * y, in_axes=1)(X, y=X.T), X.T * X.T)


def test_what_is_not_mapped_stays_what_it_is() -> None:
    def f(x: Any, power: Any, name: Any) -> Any:
        assert type(power) is int
        assert name == "cube"
        return x**power

    close(gg.vmap(f, in_axes=(0, None, None))(X, 3, "cube"), X**3)


def test_arrays_give_arrays_and_tensors_tensors() -> None:
    assert type(gg.vmap(gg.sin)(X)) is np.ndarray
    assert type(gg.vmap(lambda x: gg.zeros(2))(X)) is np.ndarray
    assert isinstance(gg.vmap(gg.sin)(gg.tensor(X)), gg.Tensor)
    assert isinstance(gg.vmap(lambda x: 1.0)(gg.tensor(X)), gg.Tensor)
    shared = gg.tensor(W, requires_grad=True)
    assert gg.vmap(lambda x: x @ shared)(X).requires_grad  # a gradient is never lost on the way


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gg.vmap(lambda x, y: x)(X, X[:2]), r"differ in length \(\(4, 3\) over axis 0: 4, \(2, 3\) .*: 2\)"),
        (lambda: gg.vmap(lambda x: x, in_axes=2)(X), r"axis 2 for array 0 .* shape \(4, 3\); expected -2 <= axis < 2"),
        (lambda: gg.vmap(lambda x: x)(3.0), r"a single number has no axis"),
        (lambda: gg.vmap(lambda x: x, in_axes=None)(X), r"no argument is mapped"),
        (lambda: gg.vmap(lambda x: x, in_axes=(0, 0))(X), r"in_axes = \(0, 0\) for 1 positional arguments"),
        (lambda: gg.vmap(lambda x: x["a"], in_axes=({"b": 0},))({"a": X}), r"does not fit dict with \['a'\]"),
        (lambda: gg.vmap(lambda x: x, out_axes=3)(X), r"out_axes = 3 for a result of shape \(3,\)"),
        (lambda: gg.vmap(lambda x: x, out_axes=(0, 0))(X), r"out_axes = \(0, 0\) does not fit"),
        (lambda: gg.vmap(lambda x: x, out_axes=None)(X), r"out_axes is None for a result .* differs from example"),
    ],
)
def test_arguments_that_do_not_fit(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: float(x[0]),
        lambda x: x[0].item(),
        lambda x: x.tolist(),
        lambda x: [1, 2, 3][x.astype(int)[0]],
        np.asarray,
        lambda x: list(range(int(x[0]))),
    ],
)
@pytest.mark.parametrize("wrap", [np.asarray, gg.tensor])
def test_values_of_single_examples_are_refused(f: Any, wrap: Any) -> None:
    with pytest.raises(BatchError, match=r"\[vmap\] .* differs from example to example .* gg\.where"):
        gg.vmap(f)(wrap(X))


def test_a_result_that_is_no_array_is_named() -> None:
    with pytest.raises(TypeError, match=r"\[vmap\] the function returned str 'a name'; expected arrays"):
        gg.vmap(lambda x: (x, "a name"))(X)
    assert gg.vmap(lambda x: (x, None))(X)[1] is None


def test_the_map_is_left_on_the_way_out_of_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        gg.vmap(lambda x: 1 / 0)(X)
    assert gg.rand(2).data.shape == (2,)
    assert isinstance(gg.rand(2).data, np.ndarray)


# ---- gradients


def test_a_shared_tensor_gets_the_sum_of_the_examples_gradients() -> None:
    w = gg.tensor(W, requires_grad=True)
    gg.vmap(lambda x: gg.tanh(x @ w).sum())(X).sum().backward()
    expected = gg.grad(lambda w: gg.tanh(gg.tensor(X) @ w).sum())(W)
    assert w.grad is not None
    close(w.grad, expected)


def test_a_shared_argument_has_a_gradient_for_each_example_inside_the_map() -> None:
    gradient = gg.grad(lambda w, x: gg.tanh(x @ w).sum())
    close(gg.vmap(gradient, in_axes=(None, 0))(W, X), np.stack([gradient(W, x) for x in X]))


def test_both_at_once() -> None:
    """The map is differentiated with respect to what its inner gradient shares: second derivatives, summed."""

    def outer(w: Any) -> Any:
        inner = gg.grad(lambda v, x: (gg.tanh(x @ v) ** 2).sum())
        return (gg.vmap(lambda x: (inner(w, x) ** 2).sum())(X)).sum()

    def loop(w: Any) -> Any:
        inner = gg.grad(lambda v, x: (gg.tanh(x @ v) ** 2).sum())
        return sum((inner(w, x) ** 2).sum() for x in X)

    close(gg.grad(outer)(W), gg.grad(loop)(W))


def test_results_that_do_not_depend_on_the_example() -> None:
    close(gg.grad(lambda w: gg.vmap(lambda x: (w * w).sum())(X).sum())(W), 4 * 2 * W)
    close(gg.grad(lambda w: gg.vmap(lambda x: w, out_axes=1)(X)[0].sum())(W), np.r_[[[4.0, 4.0]], np.zeros((2, 2))])


def test_nested_maps_over_different_axes() -> None:
    table = gg.vmap(gg.vmap(lambda a, b: (a * b).sum(), (None, 0)), (0, None))
    close(table(X, X + 1), X @ (X + 1).T)
    close(gg.grad(lambda x: (table(x, X) ** 2).sum())(X), 2 * X @ X.T @ X)


def test_values_of_an_outer_map_are_shared_by_an_inner_one() -> None:
    def f(x: Any) -> Any:
        return gg.vmap(gg.grad(lambda z: (z * x).sum() * z[0]))(X)

    expected = np.stack([[y * 0 + x * y[0] + np.r_[(y * x).sum(), 0, 0] for y in X] for x in X])
    close(gg.vmap(f)(X), expected)


def test_what_only_an_outer_map_has_is_summed_over_an_inner_one() -> None:
    def f(x: Any) -> Any:
        return gg.grad(lambda x: gg.vmap(lambda y: gg.sin(x * y).sum())(X).sum())(x)

    close(gg.vmap(f)(X), np.stack([(np.cos(x * X) * X).sum(0) for x in X]))


def test_a_shared_tensor_beneath_two_maps() -> None:
    w = gg.tensor(W[:, 0], requires_grad=True)
    gg.vmap(lambda x: gg.vmap(lambda y: gg.sin(x * w * y).sum())(X).sum())(X).sum().backward()
    assert w.grad is not None
    close(w.grad, sum(np.cos(x * W[:, 0] * y) * x * y for x in X for y in X))


def test_a_map_of_a_pullback_walks_a_map() -> None:
    """The later map is walked through the earlier one's examples; neither's axis is taken for the other's."""
    value, pullback = gg.vjp(gg.vmap(lambda r: gg.tanh(r) * r.sum()), X)
    cotangents = RNG.standard_normal((5, 4, 3))
    (mapped,) = gg.vmap(pullback)(cotangents)
    close(mapped, np.stack([pullback(c)[0] for c in cotangents]))
    assert value.shape == (4, 3)


def test_perturbations_are_not_confused() -> None:
    f = gg.grad(lambda x: x * gg.grad(lambda y: x * y)(2.0))
    close(gg.vmap(f)(np.array([1.0, 3.0])), [2.0, 6.0])
    close(gg.vmap(lambda x: gg.grad(lambda y: x + y)(1.0) * x)(np.array([1.0, 3.0])), [1.0, 3.0])


def test_second_derivatives_through_and_inside_maps() -> None:
    def f(x: Any) -> Any:
        return (gg.softmax(x) * x).sum()

    hessian = gg.jacrev(gg.grad(f))
    close(gg.vmap(hessian)(X), np.stack([hessian(x) for x in X]))
    outside = gg.jacrev(gg.grad(lambda x: gg.vmap(f)(x).sum()))(X)
    close(outside[1, :, 1], hessian(X[1]))
    close(outside[1, :, 0], np.zeros((3, 3)))


def test_backward_inside_a_map_reaches_what_is_outside() -> None:
    w = gg.tensor(W, requires_grad=True)

    def f(x: Any) -> Any:
        loss = (x @ w).sum()
        loss.backward(retain_graph=True)
        return loss

    gg.vmap(f)(X)
    assert w.grad is not None
    close(w.grad, np.repeat(X.sum(0)[:, None], 2, axis=1))


# ---- writing


def test_item_assignment_is_differentiated() -> None:
    def f(x: Any, i: Any) -> Any:
        y = x * 2
        y[1] = x[0] * x[2]
        y[i] = y[i] + 1
        y += x
        return (y * y * x).sum()

    places = np.array([0, 2, 1, 0])
    expected = np.stack([gg.grad(lambda x, i=i: f(x, int(i)))(x) for x, i in zip(X, places, strict=True)])
    close(gg.vmap(gg.grad(f))(X, places), expected)


@pytest.mark.parametrize("make", [lambda x: gg.zeros(3), gg.zeros_like, lambda x: x.detach().clone() * 0])
def test_tensors_made_inside_take_values_of_each_example(make: Any) -> None:
    def f(x: Any) -> Any:
        y = make(x)
        y[0] = x[1] * x[1]
        y[1:] = x[:2]
        y += 1
        return y

    tensors = gg.tensor(X)
    close(gg.vmap(f)(tensors), np.stack([f(x).data for x in tensors]))
    loss = gg.grad(lambda x: (f(x) ** 2).sum())
    close(gg.vmap(loss)(tensors), np.stack([loss(x).data for x in tensors]))


def test_tensors_from_outside_do_not_take_values_of_each_example() -> None:
    outside = gg.zeros(3)

    def write(x: Any) -> Any:
        outside[0] = x[0]
        return x

    with pytest.raises(gg.GradientError, match=r"\[setitem\] values that differ .* a tensor from outside .* \(3,\)"):
        gg.vmap(write)(gg.tensor(X))
    np.testing.assert_array_equal(outside.data, 0)


def test_lists_of_numbers_become_arrays() -> None:
    rows = gg.vmap(lambda x: gnp.array([[x[0], 1.0], [x.sum(), x[1]]]))
    expected = np.stack([np.array([[x[0], 1.0], [x.sum(), x[1]]]) for x in X])
    close(rows(X), expected)
    close(rows(gg.tensor(X)), expected)


def test_a_value_changed_in_place_after_it_was_kept_is_noticed() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        z = gg.exp(y)
        out = z.sum()
        with gg.no_grad():
            z[0] = 0
        return out

    with pytest.raises(gg.GradientError, match="changed in place"):
        gg.vmap(gg.grad(f))(X)


# ---- random numbers


def test_random_numbers_differ_from_example_to_example() -> None:
    gg.manual_seed(0)
    for draw in (lambda x: gg.rand(5), gg.randn_like, lambda x: gg.dropout(x * 0 + 1, 0.5)):
        rows = host(gg.vmap(draw)(gg.tensor(RNG.standard_normal((6, 64)))))
        assert len({row.tobytes() for row in rows}) == 6
    orders = host(gg.vmap(lambda x: gg.randperm(50))(X))
    assert len({row.tobytes() for row in orders}) == 4
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.broadcast_to(np.arange(50), (4, 50)))


def test_random_numbers_differ_over_all_maps_around_them() -> None:
    x = np.ones((3, 40))
    for draw in (lambda r: gg.dropout(r, 0.5), lambda r: gg.dropout(gg.ones(40), 0.5), lambda r: gg.rand(40)):
        rows = host(gg.vmap(lambda y: gg.vmap(draw)(gg.tensor(x)))(np.zeros(4)))  # noqa: B023 - called at once
        assert rows.shape == (4, 3, 40)
        assert len({row.tobytes() for row in rows.reshape(12, 40)}) == 12
    shared = np.ones(40)
    rows = gg.vmap(lambda y: gg.dropout(shared, 0.5))(np.zeros(4))
    assert len({row.tobytes() for row in rows}) == 4
    gradient = gg.grad(lambda s: gg.vmap(lambda y: gg.dropout(s, 0.5))(np.zeros(4)).sum())(shared)
    assert set(gradient) <= {0.0, 2.0, 4.0, 6.0, 8.0}
    assert len(set(gradient)) > 2  # the sum over four masks


@pytest.mark.parametrize("length", [6, 7])
def test_dropout_backward_has_the_mask_of_forward(length: int) -> None:
    x = RNG.standard_normal((5, length))
    x[2, 1] = np.inf

    def f(r: Any) -> Any:
        y = gg.dropout(r, 0.5)
        return y.sum(), y

    gg.manual_seed(3)
    gradient, y = gg.vmap(gg.grad(f, has_aux=True))(x)
    kept = host(y) != 0
    np.testing.assert_array_equal(host(gradient), np.where(kept, 2.0, 0.0))
    np.testing.assert_array_equal(host(y)[kept], (2 * x)[kept])


def test_a_mapped_pullback_of_dropout_has_one_mask() -> None:
    jacobian = gg.jacrev(lambda x: gg.dropout(x, 0.5))(RNG.standard_normal(40))
    assert set(np.unique(jacobian)) == {0.0, 2.0}
    np.testing.assert_array_equal(jacobian, np.diag(np.diag(jacobian)))
    assert 5 < (np.diag(jacobian) != 0).sum() < 35


# ---- finding trouble


def test_debug_mode_looks_at_all_examples() -> None:
    x = X.copy()
    x[2, 1] = 0.0
    with gg.detect_anomaly():
        close(gg.vmap(gg.grad(lambda r: (gg.tanh(r) ** 2).sum()))(X), 2 * np.tanh(X) * (1 - np.tanh(X) ** 2))
        with pytest.raises(gg.AnomalyError, match=r"\[(divide|reciprocal)\]"), np.errstate(divide="ignore"):
            gg.vmap(gg.grad(lambda r: (1.0 / r).sum()))(x)


def test_examples_are_printed_by_their_shape() -> None:
    shown = []
    gg.vmap(lambda r: shown.append(repr(r)) or r)(gg.tensor(X))
    gg.vmap(lambda r: shown.append(repr(r)) or r)(X)
    assert re.fullmatch(r"tensor\(<4 examples, each \(3,\) float64, of vmap level \d+>\)", shown[0])
    assert re.fullmatch(r"<4 examples, each \(3,\) float64, of vmap level \d+>", shown[1])


# ---- what stays behind


def test_maps_and_their_graphs_are_freed_without_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        before = len(USED)
        w = gg.tensor(W, requires_grad=True)
        loss = gg.vmap(lambda x: (gg.softmax(x @ w) ** 2).sum())(X).sum()
        gg.vmap(gg.grad(lambda x: (gg.layer_norm(x, 3) ** 3).sum()))(X)
        gg.jacrev(gg.tanh)(X)
        assert len(USED) == before + 1  # the graph of `loss`
        loss.backward()
        del loss
        assert len(USED) == before
    finally:
        gc.enable()


def test_each_thread_has_its_own_maps() -> None:
    wrong = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).standard_normal((20, 3))
        for _ in range(10):
            ours = gg.vmap(gg.grad(lambda r: (gg.tanh(r) * r).sum()))(x)
            if not np.allclose(ours, np.tanh(x) + x * (1 - np.tanh(x) ** 2)):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# ---- networks


def network() -> Any:
    gg.manual_seed(1)
    nn = gg.nn
    layers = nn.Linear(3, 8), nn.LayerNorm(8), nn.GELU(), nn.RMSNorm(8), nn.Maxout(8, 3, 2), nn.Linear(3, 4)
    return nn.Sequential(*layers).double()


LABELS = np.array([0, 3, 1, 2])


def loss_of(model: Any) -> Any:
    def loss(parameters: Any, x: Any, label: Any) -> Any:
        scores = gg.nn.functional_call(model, parameters, x)
        return gg.nn.functional.cross_entropy(scores, label, label_smoothing=0.1)

    return loss


def test_per_example_gradients_of_a_network() -> None:
    model = network()
    own = {k: v.detach() for k, v in model.named_parameters()}
    loss = loss_of(model)
    ours = gg.vmap(gg.grad(loss), in_axes=(None, 0, 0))(own, gg.tensor(X), LABELS)
    for i in range(4):
        model.zero_grad()
        gg.nn.functional.cross_entropy(model(gg.tensor(X[i])), gg.tensor(LABELS[i]), label_smoothing=0.1).backward()
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(ours[name].data[i], parameter.grad.data, rtol=1e-8, atol=1e-10)


def test_the_mean_of_mapped_losses_trains_like_the_loss_of_the_batch() -> None:
    model = network()
    own = dict(model.named_parameters())
    loss = loss_of(model)
    gg.vmap(loss, in_axes=(None, 0, 0))(own, gg.tensor(X), LABELS).mean().backward()
    found = {k: v.grad.data for k, v in own.items()}
    model.zero_grad()
    gg.nn.functional.cross_entropy(model(gg.tensor(X)), gg.tensor(LABELS), label_smoothing=0.1).backward()
    for name, parameter in own.items():
        np.testing.assert_allclose(found[name], parameter.grad.data, rtol=1e-8, atol=1e-10)


def test_many_networks_at_once() -> None:
    """An ensemble: the parameters are mapped, the input is shared; normalisation weights differ by example."""
    models = [network() for _ in range(3)]
    for i, model in enumerate(models):
        with gg.no_grad():
            for p in model.parameters():
                p += 0.1 * (i + 1)
    stacked = {k: gg.stack([dict(m.named_parameters())[k].detach() for m in models]) for k in models[0].state_dict()}
    run = gg.vmap(lambda p, x: gg.nn.functional_call(models[0], p, x), in_axes=(0, None))
    close(run(stacked, gg.tensor(X)), np.stack([m(gg.tensor(X)).data for m in models]))
    loss = loss_of(models[0])
    ours = gg.vmap(gg.grad(loss), in_axes=(0, None, None))(stacked, gg.tensor(X), LABELS)
    for i, model in enumerate(models):
        gg.nn.functional.cross_entropy(model(gg.tensor(X)), gg.tensor(LABELS), label_smoothing=0.1).backward()
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(ours[name].data[i], parameter.grad.data, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: gg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: gg.optim.AdamW(p, lr=0.1),
        lambda p: gg.optim.RMSprop(p, lr=0.1),
        lambda p: gg.optim.NAdam(p, lr=0.1),
        lambda p: gg.optim.Adagrad(p, lr=0.1),
    ],
)
def test_training_loops_in_a_map(make: Any) -> None:
    """Each example trains parameters of its own; one of them starts alike for all."""

    def train(start: Any, x: Any) -> Any:
        w, b = gg.nn.Parameter(start.clone()), gg.nn.Parameter(gg.zeros(2, dtype="float64"))
        optimizer = make([w, b])
        for _ in range(4):
            optimizer.zero_grad()
            (gg.tanh(x @ w + b) ** 2).sum().backward()
            gg.nn.utils.clip_grad_norm_([w, b], 0.5)
            optimizer.step()
        return w.detach(), b.detach()

    starts, x = gg.tensor(RNG.standard_normal((4, 3, 2))), gg.tensor(X)
    ours = gg.vmap(train)(starts, x)
    alone = [train(starts[i], x[i]) for i in range(4)]
    for k, found in enumerate(ours):
        close(found, np.stack([a[k].data for a in alone]))


@pytest.mark.parametrize("place", [0, 1])
def test_a_step_of_each_example_is_not_taken_by_a_parameter_that_they_share(place: int) -> None:
    shared = gg.nn.Parameter(np.ones(3))

    def step(x: Any) -> Any:
        parameters = [gg.nn.Parameter(x)]
        parameters.insert(place, shared)
        for p in parameters:
            p.grad = gg.tensor(x)
        gg.optim.SGD(parameters, lr=0.1).step()
        return x

    with pytest.raises(BatchError, match=r"\[vmap\].* \(3,\) float64 that all examples share"):
        gg.vmap(step)(X.copy())
    np.testing.assert_array_equal(shared.data, 1)


def test_functional_call_replaces_tied_parameters_and_restores_all() -> None:
    class Tied(gg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = gg.nn.Linear(3, 3)
            self.second = gg.nn.Linear(3, 3)
            self.second.weight = self.first.weight

        def forward(self, x: Any) -> Any:
            return self.second(self.first(x))

    model = Tied()
    kept = dict(model.named_parameters(remove_duplicate=False))
    zeros = {"first.weight": np.zeros((3, 3), np.float32)}
    out = gg.nn.functional_call(model, zeros, gg.ones(3))
    np.testing.assert_array_equal(out.data, model.second.bias.data)
    with pytest.raises(ValueError, match=r"\[functional_call\] first.bias has shape \(2,\); expected .* \(3,\)"):
        gg.nn.functional_call(model, {"first.bias": np.zeros(2)}, gg.ones(3))
    with pytest.raises(KeyError, match=r"has no 'third'; it has first.weight"):
        gg.nn.functional_call(model, {"third": np.zeros(2)}, gg.ones(3))
    with pytest.raises(KeyError, match=r"strict=True, but first.bias, second.bias"):
        gg.nn.functional_call(model, zeros, gg.ones(3), strict=True)
    with pytest.raises(ValueError, match="linear"):
        gg.nn.functional_call(model, zeros, gg.ones(4))
    after = dict(model.named_parameters(remove_duplicate=False))
    assert all(after[name] is kept[name] for name in kept)


@pytest.mark.peers
def test_per_example_gradients_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4)).double()
    ours = gg.nn.Sequential(gg.nn.Linear(3, 8), gg.nn.Tanh(), gg.nn.Linear(8, 4)).double()
    parameters = {k: v.detach() for k, v in theirs.named_parameters()}

    def loss(p: Any, x: Any, y: Any) -> Any:
        scores = torch.func.functional_call(theirs, p, (x,))
        return torch.nn.functional.cross_entropy(scores, y)

    expected = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(parameters, torch.tensor(X), torch.tensor(LABELS))

    def our_loss(p: Any, x: Any, y: Any) -> Any:
        return gg.nn.functional.cross_entropy(gg.nn.functional_call(ours, p, x), y)

    mapped = gg.vmap(gg.grad(our_loss), (None, 0, 0))
    found = mapped({k: v.numpy() for k, v in parameters.items()}, X, LABELS)
    for name, gradient in expected.items():
        np.testing.assert_allclose(host(found[name]), gradient.numpy(), rtol=1e-9, atol=1e-12)
