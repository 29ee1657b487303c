"""The tape: order of the walk, accumulation, freeing, errors, and that nothing is kept alive or leaked."""

import gc
import weakref

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import nodes
from gpugrad.primitive import REGISTRY, Primitive
from gpugrad.tensor import apply


@pytest.fixture
def primitive():
    """Make primitives for one test and take them out of the registry afterwards."""
    made = []

    def make(name, forward, rule, **kwargs):
        made.append(name)
        return Primitive(name, forward, rule, **kwargs)

    yield make
    for name in made:
        REGISTRY.pop(name, None)


def leaf(*values, dtype=np.float64):
    return gg.tensor(np.array(values, dtype), requires_grad=True)


def test_gradient_of_product_plus_term_and_its_differences():
    x1, x2, x3 = leaf(2.0), leaf(-3.0), leaf(0.5)
    (x1 * x2 + x3).backward()
    assert [float(x.grad) for x in (x1, x2, x3)] == [-3.0, 2.0, 1.0]


def test_total_derivative_through_two_paths():
    # f(x, y) = y + exp(xy), x = cos t, y = t^2
    t = leaf(0.7)
    x, y = gg.cos(t), t * t
    (y + gg.exp(x * y)).backward()
    c, s, v = np.cos(0.7), np.sin(0.7), 0.7
    expected = 2 * v + np.exp(c * v * v) * (-s * v * v + c * 2 * v)
    np.testing.assert_allclose(t.grad.data, [expected], rtol=1e-14)


def test_a_value_used_many_times_adds_up_its_cotangents():
    x = leaf(1.0, 2.0)
    y = x * 3.0
    (y + y + y * y).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.data, 3 * (2 + 2 * 3 * x.data))


def test_second_backward_adds_to_grad_and_zeroing_starts_anew():
    x = leaf(2.0)
    for _ in range(2):
        (x * x).backward()
    assert float(x.grad) == 8.0
    x.grad = None
    (x * x).backward()
    assert float(x.grad) == 4.0


def test_gradients_of_two_leaves_never_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (a + b).backward(np.ones(2))
    a.grad.data *= 10
    np.testing.assert_array_equal(b.grad.data, [1.0, 1.0])


def test_the_callers_gradient_array_is_neither_kept_nor_changed():
    x = leaf(1.0, 2.0)
    seed = np.ones(2)
    y = x + 1.0
    y.backward(seed)
    x.grad.data[:] = 7
    np.testing.assert_array_equal(seed, [1.0, 1.0])


def test_chain_of_100000_operations_needs_no_recursion():
    x = leaf(*np.ones(16, np.float32), dtype=np.float32)
    y = x
    for _ in range(50_000):
        y = y * 1.0001 + 0.001
    y.backward(np.ones(16, np.float32))
    np.testing.assert_allclose(x.grad.data, 1.0001**50_000, rtol=1e-2)
    del y


def test_wide_graph_of_general_nodes_needs_no_recursion():
    x = leaf(0.5)
    y = x
    for _ in range(20_000):
        y = gg.sin(y) + x
    y.backward()
    assert np.isfinite(float(x.grad))


def test_nodes_are_freed_by_reference_counting_alone():
    gc.disable()
    try:
        x = leaf(1.0, 2.0)
        y = gg.exp(x) * x
        node = weakref.ref(y._node)
        y.backward(np.ones(2))
        del y
        assert node() is None
    finally:
        gc.enable()


def test_the_node_does_not_keep_the_value_of_its_output():
    x = leaf(*np.zeros(1000))
    y = x + 1.0
    value = weakref.ref(y.data)
    z = y * 2.0
    del y
    assert value() is None
    z.backward(np.ones(1000))


def test_residuals_are_dropped_during_the_walk_not_after_it(primitive):
    alive = []
    first = primitive(
        "probe", lambda needs, x: (x * 1.0, ()), lambda g, needs: (alive.append(ref()) or g,), keeps=((),)
    )
    x = leaf(1.0, 2.0)
    y = apply(first, (x,), {})
    z = gg.exp(y)  # keeps its output
    kept = z.data
    ref = weakref.ref(kept)
    out = z * 1.0
    del kept, z
    out.backward(np.ones(2))
    assert alive == [None]


def test_retain_graph_allows_a_second_walk_and_freeing_refuses_it():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert float(x.grad) == 8.0
    with pytest.raises(gg.GradientError, match=r"freed.*multiply.*retain_graph=True"):
        y.backward()


@pytest.mark.parametrize(
    ("make", "gradient", "message"),
    [
        (lambda: leaf(1.0, 2.0) * 2.0, None, r"shape \(2,\).*gradient="),
        (lambda: leaf(1.0, 2.0) * 2.0, np.ones(3), r"shape \(3,\).*expected.*\(2,\)"),
        (lambda: gg.tensor([1.0]), None, r"does not require a gradient.*requires_grad=True"),
    ],
    ids=["no gradient for a vector", "wrong shape", "constant"],
)
def test_backward_refuses_with_what_to_do(make, gradient, message):
    with pytest.raises(gg.GradientError, match=message):
        make().backward(gradient)


def test_no_grad_records_nothing_and_is_restored_after_an_error():
    x = leaf(1.0)

    @gg.no_grad()
    def fail():
        assert not (x * 2.0).requires_grad
        with gg.enable_grad():
            assert (x * 2.0).requires_grad
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (x * 2.0).requires_grad
    assert not gg.no_grad()(lambda: x * 2.0)().requires_grad


def test_grad_mode_belongs_to_the_thread():
    import threading

    seen = []
    with gg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(gg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda g, needs: (g, g), "2 cotangents for 1 inputs"),
        (lambda g, needs: g, "expected a tuple"),
        (lambda g, needs: (g[:1].repeat(5),), r"shape \(5,\).*input of shape \(2,\)"),
        (lambda g, needs: ([1.0, 2.0],), "builtins.list"),
    ],
)
def test_a_rule_that_returns_what_does_not_fit_is_named(primitive, rule, message):
    bad = primitive("bad_rule", lambda needs, x: (x + 0, ()), rule)
    with pytest.raises(gg.GradientError, match=rf"bad_rule.*{message}"):
        apply(bad, (leaf(1.0, 2.0),), {}).backward(np.ones(2))


def test_cotangents_are_unbroadcast_and_cast_back():
    a = gg.tensor(np.ones((3, 1), np.float32), requires_grad=True)
    b = gg.tensor(np.ones((2, 1, 4), np.float64), requires_grad=True)
    gg.multiply(a, b).backward(np.ones((2, 3, 4)))
    assert a.grad.shape == (3, 1)
    assert a.grad.dtype == np.float32
    np.testing.assert_array_equal(a.grad.data, np.full((3, 1), 8.0))
    assert b.grad.dtype == np.float64
    np.testing.assert_array_equal(b.grad.data, np.full((2, 1, 4), 3.0))


def test_half_precision_cotangents_are_summed_in_float32():
    x = gg.tensor(np.zeros(1, np.float16), requires_grad=True)
    gg.add(x, np.zeros(5000, np.float16)).backward(np.ones(5000, np.float16))
    assert float(x.grad) == 5000.0  # a float16 sum stops at 2048


def test_outputs_of_one_operation_meet_again_at_its_node(primitive):
    split = primitive(
        "two_halves",
        lambda needs, x: ((x[:1] * 1.0, x[1:] * 2.0), (x.shape,)),
        lambda g, needs, shape: (
            np.concatenate([np.zeros(1) if g[0] is None else g[0], np.zeros(1) if g[1] is None else 2 * g[1]]),
        ),
        outputs=2,
    )
    x = leaf(1.0, 2.0)
    low, high = apply(split, (x,), {})
    (low * 3.0 + high).backward(np.ones(1))
    np.testing.assert_array_equal(x.grad.data, [3.0, 2.0])
    x.grad = None
    apply(split, (x,), {})[1].backward(np.ones(1))
    np.testing.assert_array_equal(x.grad.data, [0.0, 2.0])


def test_retain_grad_and_hooks_see_the_gradient_of_a_result():
    x = leaf(3.0)
    y = x * 2.0
    y.retain_grad()
    z = y * y
    z.register_hook(lambda g: g * 10.0)
    (z * 1.0).backward()
    assert float(y.grad) == 120.0
    assert float(x.grad) == 240.0


def test_higher_orders_through_backward_with_create_graph():
    x = leaf(2.0)
    y = x * x * x
    y.backward(create_graph=True)
    first = x.grad
    x.grad = None
    first.backward(create_graph=True)
    second = x.grad
    assert (first.item(), second.item()) == (12.0, 12.0)


def test_gradients_of_leaves_that_nobody_asked_for_are_not_computed(primitive):
    seen = []
    both = primitive("both", lambda needs, a, b: (a + b, ()), lambda g, needs: seen.append(needs) or (g, g))
    a, b = leaf(1.0), leaf(2.0)
    gg.grad(lambda v: apply(both, (v, b), {}))(a)
    assert seen == [(True, False)]
    assert b.grad is None


def test_ten_thousand_steps_leak_no_nodes():
    x = leaf(*np.ones(4))
    gc.collect()
    gc.disable()
    try:
        # `isinstance` would ask foreign objects for `__class__`, which some of PyTorch answer with a warning.
        before = sum(issubclass(type(o), nodes.Node) for o in gc.get_objects())
        for _ in range(1000):
            (gg.tanh(x) * x + 1.0).backward(np.ones(4))
        after = sum(issubclass(type(o), nodes.Node) for o in gc.get_objects())
    finally:
        gc.enable()
    assert after == before
