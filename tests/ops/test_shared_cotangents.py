"""Inputs of a formula whose derivatives are the same: their cotangent is computed once, and stays everybody's own."""

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.ops.core import ElementwiseNode


@gg.elementwise
def rectified_sum(a, b, c):
    return gg.relu(a + b) * c


def made(*shapes):
    rng = np.random.default_rng(4)
    return [gg.tensor(rng.standard_normal(s), requires_grad=True) for s in shapes]


def test_it_is_one_output_of_the_kernel():
    a, b, c = made((3, 4), (3, 4), (3, 4))
    node = rectified_sum(a, b, c)._node
    assert isinstance(node, ElementwiseNode)
    plan = node.op.plan(node.needs)
    assert len(plan.body.outputs) == 2
    assert plan.sources == (0, 0, 1)
    assert not node.fresh


@pytest.mark.parametrize("shapes", [((3, 4), (3, 4), (3, 4)), ((3, 4), (4,), ()), ((1, 4), (3, 1), (3, 4))])
def test_gradients_are_those_of_the_parts_one_by_one(shapes):
    tensors, others = made(*shapes), made(*shapes)
    for _ in range(2):  # the second time it is added to what is there
        rectified_sum(*tensors).sum().backward()
        (gg.relu(others[0] + others[1]) * others[2]).sum().backward()
    for have, want in zip(tensors, others, strict=True):
        np.testing.assert_allclose(have.grad.numpy(), want.grad.numpy(), rtol=1e-13)
    gg.check_grads(rectified_sum, [t.detach().numpy() for t in tensors])


def test_gradients_share_no_memory():
    a, b, c = made((3, 4), (3, 4), (3, 4))
    rectified_sum(a, b, c).sum().backward()
    assert not np.shares_memory(a.grad.data, b.grad.data)
    kept = b.grad.numpy().copy()
    a.grad.zero_()
    np.testing.assert_array_equal(b.grad.numpy(), kept)
    first, second = gg.grad(lambda a, b: rectified_sum(a, b, 2.0).sum(), (0, 1))(a.detach().numpy(), b.detach().numpy())
    assert not np.shares_memory(first, second)


def test_a_cotangent_that_waits_at_one_input_is_not_added_to_at_the_other():
    x, y = made((5,), (5,))
    a, b = x * 2.0, y * 3.0
    # Later uses of `a` reach it first: what the formula gives is added to them, and must not change for `b`.
    (rectified_sum(a, b, 1.0).sum() + (a * a).sum() + gg.sin(b).sum()).backward()
    slope = (2 * x.detach() + 3 * y.detach() > 0).numpy()
    np.testing.assert_allclose(x.grad.numpy(), 2 * (slope + 4 * x.detach().numpy()), rtol=1e-12)
    np.testing.assert_allclose(y.grad.numpy(), 3 * (slope + np.cos(3 * y.detach().numpy())), rtol=1e-12)
