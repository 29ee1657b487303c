"""In-place writes and views: what shows the memory sees the write, with its gradient, or the write is refused.

The programs are run by PyTorch too where it is installed; the closed forms beside them hold without it.
"""

import gc
import sys

import numpy as np
import pytest

import gpugrad as gg

PROGRAMS = {}


def program(function):
    PROGRAMS[function.__name__] = function
    return function


@program
def a_view_taken_before_a_write_to_its_base(m, x):
    h = x * 2.0
    v = h[0]
    h[0] = 5.0
    return v * 1.0 + (h * h).sum()


@program
def a_view_taken_before_its_base_is_added_to(m, x):
    h = x * 2.0
    v = h[1:]
    h += x
    return (v * v).sum()


@program
def a_write_to_a_view_reaches_its_base(m, x):
    h = x * 2.0
    v = h[1:]
    v *= 3.0
    return (h * h).sum() + v.sum()


@program
def adding_to_items_and_slices(m, x):
    h = x * 2.0
    h[0] += x[1] * x[1]
    h[1:] *= x[:-1]
    return (h * h).sum()


@program
def sums_collected_in_a_constant(m, x):
    o = m.zeros(4)
    o[0] += x[0]
    o[1:3] += x[1:] * x[0]
    o[0] *= x[2]
    return (o * o).sum()


@program
def a_view_of_a_constant_taken_before_a_recorded_write(m, x):
    o = m.zeros(4)
    v = o[1:]
    o[1] = x[0]
    o[2] = x[1] * x[0]
    return (v * v).sum()


@program
def a_recorded_write_to_a_view_of_a_constant(m, x):
    o = m.zeros(4)
    v = o[1:]
    v[0] = x[0]
    return (o * o).sum() + v[0] * v[0]


@program
def a_view_of_a_view_and_a_base_that_is_gone(m, x):
    v = (x * 2.0).reshape(3, 1)[1:]
    w = v[0]
    v[0] = x[2]
    return (v * v * v).sum() + w.sum()


@program
def halves_of_a_base_that_is_gone(m, x):
    h = x * 2.0
    a, b = h[:2], h[2:]
    del h
    c = a[0]
    a += 1.0
    b *= x[0]
    return (a * a).sum() + (b * b).sum() + c


@program
def transposed_and_sliced(m, x):
    h = x.reshape(3, 1) * x
    v = h.T
    v[0] = x * x
    h[1] += 1.0
    v[2, 1] = 7.0
    return (h * v).sum() + (v[0] * h[0]).sum()


@program
def a_detached_tensor_sees_the_value_only(m, x):
    h = x * 2.0
    d = h.detach()
    h[0] = x[1]
    return (h * d).sum()


@program
def a_mask_as_index(m, x):
    h = x * x
    v = h[:2]
    h[h > 1.0] = 0.5
    return (h * x).sum() + (v * x[:2]).sum()


@program
def items_swapped(m, x):
    h = x * 2.0
    a, b = h[0], h[1]
    t = a.clone()
    h[0] = b
    h[1] = t
    return (h * x).sum() + a * 3.0 + b * x[0]


@program
def a_double_loop_of_sums(m, x):
    o = m.zeros(3)
    for i in range(3):
        for j in range(i + 1):
            o[i] += x[j] * x[i]
    return (o * o).sum()


@program
def an_item_read_before_the_whole_is_scaled(m, x):
    h = x * 2.0
    a = h[0]
    h *= 2.0
    return a * h[0]


@program
def a_tensor_whose_gradient_is_retained(m, x):
    h = x * 2.0
    h.retain_grad()
    v = h[1:]
    h[1] = x[0]
    return (v * v).sum()


@program
def zeroing_a_view(m, x):
    h = x * 2.0
    v = h[:2]
    v.zero_()
    return (h * h).sum()


@program
def a_broadcast_view_of_what_is_written_to(m, x):
    h = x * 2.0
    v = m.broadcast_to(h, (2, 3))
    h[0] = x[1]
    return (v * v).sum()


@program
def rows_of_a_matrix_one_after_the_other(m, x):
    h = x.reshape(3, 1) * x
    rows = [h[i] for i in range(3)]
    for i in range(1, 3):
        rows[i] += rows[i - 1].clone() * x
    return (h * h).sum() + (rows[2] * rows[0]).sum()


@pytest.mark.peers
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_with_views_and_writes_equal_pytorch(name, torch):
    start = np.array([0.7, 1.3, -0.4])
    theirs = torch.tensor(start, requires_grad=True)
    ours = gg.tensor(start, requires_grad=True)
    before = torch.get_default_dtype(), gg.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    gg.set_default_dtype(np.float64)
    try:
        expected, found = PROGRAMS[name](torch, theirs), PROGRAMS[name](gg, ours)
    finally:
        torch.set_default_dtype(before[0])
        gg.set_default_dtype(before[1])
    expected.backward()
    found.backward()
    np.testing.assert_allclose(found.item(), expected.item(), rtol=1e-12)
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("size", [4, 1 << 20])
@pytest.mark.parametrize("view", [lambda y: y.reshape(2, -1), lambda y: y[: len(y) // 2], lambda y: y.reshape(2, -1).T])
def test_a_recorded_write_to_a_view_reaches_what_it_was_taken_of_whatever_its_size(size, view):
    x = gg.tensor(np.ones(size, np.float32), requires_grad=True)
    y = x * 2.0
    v = view(y)
    v *= 3.0
    shown = view(np.arange(size)).reshape(-1)
    expected = np.full(size, 2.0)
    expected[shown] = 6.0
    np.testing.assert_array_equal(y.data, expected)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, expected)


@pytest.mark.parametrize("size", [4, 1 << 18])
def test_a_recorded_write_to_a_view_of_a_constant_reaches_the_constant(size):
    buffer, x = gg.zeros(size), gg.tensor([2.0], requires_grad=True)
    v = buffer[1:]
    v[0] = x[0] * x[0]
    assert buffer.requires_grad
    (buffer[1] * buffer[1] + buffer.sum()).backward()
    np.testing.assert_allclose(x.grad.data, [4 * 2.0**3 + 2 * 2.0])


def test_a_view_of_a_leaf_is_refused_with_the_line_that_writes():
    w = gg.tensor([1.0, 2.0], requires_grad=True)
    v = w[1:]
    with pytest.raises(gg.GradientError, match=r"view.*leaf.*test_views.py:\d+: v \+= 1.0"):
        v += 1.0


def test_a_write_to_an_argument_of_a_transform_is_refused():
    def f(x):
        x[0] = 1.0
        return (x * x).sum()

    for argument in (np.ones(2), gg.tensor([1.0, 2.0], requires_grad=True)):
        with pytest.raises(gg.GradientError, match=r"in place on .*x\[0\] = 1.0"):
            gg.grad(f)(argument)


def test_a_write_to_a_broadcast_view_is_refused_with_the_line_that_writes():
    h = gg.tensor([1.0, 2.0], requires_grad=True) * 2.0
    v = gg.broadcast_to(h, (30_000, 2))
    with pytest.raises(gg.GradientError, match=r"broadcast.*test_views.py:\d+: v \+= 1.0"):
        v += 1.0


def test_constants_that_overlap_in_part_are_refused_with_the_line_that_writes():
    buffer = np.zeros(4)
    left, right = gg.asarray(buffer[:3]), gg.asarray(buffer[1:])
    x = gg.tensor(np.ones(1), requires_grad=True)
    with pytest.raises(gg.GradientError, match=r"share.*test_views.py:\d+: left\[1\] = x\[0\]"):
        left[1] = x[0]
    assert not right.requires_grad


def test_what_was_computed_from_a_tensor_before_a_write_keeps_its_gradient():
    x = gg.tensor([0.5, 1.0], requires_grad=True)
    h = gg.exp(x)
    y = h * h
    h += 1.0
    (y.sum() + h.sum()).backward()
    np.testing.assert_allclose(x.grad.data, 2 * np.exp(2 * x.data) + np.exp(x.data), rtol=1e-6)


def test_a_write_through_no_grad_is_seen_by_views_and_refused_where_it_was_saved():
    x = gg.tensor([1.0, 2.0], requires_grad=True)
    h = x * 2.0
    v = h[:1]
    y = v * v
    with gg.no_grad():
        h[0] = 9.0
    assert v.item() == 9.0
    with pytest.raises(gg.GradientError, match="changed in place by setitem"):
        y.sum().backward()


def test_second_derivatives_through_writes_to_views():
    def f(x):
        h = x * x
        v = h[1:]
        v *= x[:2]
        h[0] = v[1] * x[2]
        return (h * x).sum()

    def plain(x):
        v = x[1:] ** 2 * x[:2]
        return v[1] * x[2] * x[0] + (v * x[1:]).sum()

    x = np.array([0.7, 1.3, -0.4])
    np.testing.assert_allclose(gg.hessian(f)(x), gg.hessian(plain)(x), atol=1e-12)


def test_writes_to_views_inside_a_map_are_the_examples_own():
    def f(x):
        out = gg.zeros(3, dtype=np.float64) * x[0]
        out[0] = x[1]
        v = out[1:]
        v += x[0] * x[0]
        return (out * out).sum()

    x = np.random.default_rng(0).normal(size=(4, 2))
    expected = np.stack([gg.grad(f)(row) for row in x])
    np.testing.assert_allclose(gg.vmap(gg.grad(f))(x), expected)


def test_views_that_are_gone_leave_nothing_behind():
    h = gg.tensor([1.0, 2.0], requires_grad=True) * 2.0
    for _ in range(1000):
        h[0]
    assert len(h._node.views) < 70
    before = sys.getrefcount(h)
    gc.collect()
    assert sys.getrefcount(h) == before


def test_every_operation_whose_result_shows_its_input_says_so():
    from gpugrad.primitive import REGISTRY
    from tests.ops.table import rows

    for row in rows():
        tensors = [gg.tensor(a, requires_grad=True) for a in row.sample()]
        for t in tensors:
            result = row.call(t, *tensors[1:]) if t is tensors[0] else None
            for out in result if isinstance(result, tuple) else (result,):
                node = getattr(out, "_node", None)
                if node is not None and any(np.may_share_memory(out.data, i.data) for i in tensors):
                    prim = REGISTRY[node.name]
                    assert prim.view, f"{row.name}: {prim} returns a view and does not say view=True"


@pytest.fixture
def thawed():
    """What a test freezes is given back to the collector."""
    yield
    gc.unfreeze()


@pytest.mark.parametrize("size", [6, 1 << 18], ids=["small", "pooled"])
@pytest.mark.parametrize("part", [False, True], ids=["whole", "part"])
def test_a_constant_and_its_detached_self_are_one_memory(size, part):
    w = gg.tensor(5.0, requires_grad=True)
    x = gg.zeros(size)[1:] if part else gg.zeros(size)
    y = x.detach()
    x[0] = w * 2.0
    assert y[0].item() == 10.0
    y.sum().backward()
    assert w.grad.item() == 2.0


@pytest.mark.usefixtures("thawed")
@pytest.mark.parametrize("size", [6, 1 << 18], ids=["small", "pooled"])
@pytest.mark.parametrize("taken", [lambda x: x.detach(), lambda x: x[0:2]], ids=["detach", "part"])
def test_a_view_that_was_frozen_is_not_left_stale(size, taken):
    w = gg.tensor(5.0, requires_grad=True)
    x = gg.zeros(size)
    y = taken(x)
    gc.freeze()
    with pytest.raises(gg.GradientError, match=r"\[setitem\] .*gc\.freeze\(\) has put objects .*x\[0\] = w \* 2\.0"):
        x[0] = w * 2.0
    assert (x[0].item(), y[0].item()) == (0.0, 0.0)
    gc.unfreeze()
    x[0] = w * 2.0
    assert (x[0].item(), y[0].item()) == (10.0, 10.0)


@pytest.mark.usefixtures("thawed")
@pytest.mark.parametrize("size", [6, 1 << 18], ids=["small", "pooled"])
def test_what_explains_itself_may_be_written_to_after_a_freeze(size):
    w = gg.tensor(5.0, requires_grad=True)
    alone, saved = gg.zeros(size), gg.zeros(size)
    gc.freeze()
    young = gg.zeros(size)
    view, product = young[0:2], w * saved
    for x in (alone, saved, young):
        x[0] = w * 2.0
        assert x[0].item() == 10.0
    assert view[0].item() == 10.0
    product.sum().backward()
    assert w.grad.item() == 0.0


def test_nobody_is_looked_for_where_a_tensor_has_its_memory_alone(monkeypatch):
    w = gg.tensor(5.0, requires_grad=True)
    constants = [gg.zeros(6), gg.zeros(1 << 18), gg.zeros(6)[1:], gg.zeros(1 << 18)[1:]]

    def searched(generation):
        raise AssertionError("a search through all objects")

    monkeypatch.setattr(gc, "get_objects", searched)
    for x in constants:
        x[0] = w * 2.0
        assert x[0].item() == 10.0
