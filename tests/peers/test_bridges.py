"""Gradients that cross the border to PyTorch and JAX, both ways and back again, against the peer alone."""

import numpy as np
import pytest

import gpugrad as gg

pytestmark = pytest.mark.peers
X = np.array([0.3, 0.7, -0.4])


def test_a_pass_through_pytorch_has_the_gradients_of_pytorch_alone(torch) -> None:
    x = gg.tensor(X, requires_grad=True)
    w = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64, requires_grad=True)
    gg.sum(gg.from_torch(torch.sin(gg.to_torch(gg.exp(x))) * w) ** 2).backward()
    x_, w_ = torch.tensor(X, requires_grad=True), w.detach().clone().requires_grad_()
    ((torch.sin(torch.exp(x_)) * w_) ** 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), x_.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(w.grad.numpy(), w_.grad.numpy(), rtol=1e-12)


def test_a_pass_through_gpugrad_has_the_gradients_of_pytorch_alone(torch) -> None:
    v = gg.tensor([1.0, -1.0, 2.0], dtype=np.float64, requires_grad=True)
    x = torch.tensor(X, requires_grad=True)
    (gg.to_torch(gg.tanh(gg.from_torch(x**2)) * v).exp().sum()).backward()
    x_, v_ = torch.tensor(X, requires_grad=True), torch.tensor([1.0, -1.0, 2.0]).double().requires_grad_()
    (torch.tanh(x_**2) * v_).exp().sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), x_.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(v.grad.numpy(), v_.grad.numpy(), rtol=1e-12)


def test_functions_of_pytorch_have_second_derivatives_here(torch) -> None:
    def f(a, b):
        return gg.sum(gg.from_torch(lambda p, q: torch.sin(p) * torch.exp(q * p))(gg.sin(a), b) ** 2 * a)

    gg.check_grads(f, (X, X[::-1].copy()), order=2, modes=("rev",))


def test_functions_of_gpugrad_have_second_derivatives_in_pytorch(torch) -> None:
    f = gg.to_torch(lambda a, b: {"out": gg.sin(a) * gg.exp(b * a)})
    a, b = (torch.tensor(v, requires_grad=True) for v in (X, X[::-1].copy()))
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda a, b: f(a.sin(), b)["out"] * a, (a, b))


def test_complex_gradients_keep_each_librarys_convention(torch) -> None:
    z = torch.tensor([0.3 + 0.2j, -0.5 + 0.1j], dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(gg.to_torch(lambda a: gg.exp(a) * a), (z,))
    cube = gg.from_torch(lambda t: torch.exp(t) * t)
    gg.check_grads(lambda a: gg.real(gg.sum(cube(a) * (1 + 2j))), (z.detach().numpy(),), order=1, modes=("rev",))
    gg.check_grads(lambda a: gg.imag(gg.sum(cube(a))), (z.detach().numpy(),), order=1, modes=("rev",))


def test_a_module_of_pytorch_is_trained_from_here(torch) -> None:
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2).double()
    x = gg.tensor(X, requires_grad=True)
    gg.sum(gg.from_torch(module)(x)).backward()
    np.testing.assert_allclose(module.weight.grad.numpy(), [X, X])
    np.testing.assert_allclose(x.grad.numpy(), module.weight.detach().numpy().sum(0))


def test_gradients_asked_for_by_name_leave_other_leaves_alone(torch) -> None:
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    g = gg.grad(lambda a: gg.sum(gg.from_torch(gg.to_torch(a) * w)))(X)
    np.testing.assert_array_equal(g, np.ones(3))
    assert w.grad is None


def test_backward_runs_again_while_graphs_are_kept(torch) -> None:
    x = gg.tensor(X, requires_grad=True)
    y = gg.to_torch(x * 2.0)
    (y.sum() + (y * 3).sum()).backward(retain_graph=True)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [10.0] * 3)
    z = gg.sum(gg.from_torch(torch.tensor(X, requires_grad=True)))
    z.backward()
    with pytest.raises(gg.GradientError, match="freed"):
        z.backward()


def test_memory_is_shared_with_pytorch(torch) -> None:
    t = torch.zeros(3)
    x = gg.from_torch(t)
    t[0] = 5.0
    assert x.tolist() == [5.0, 0.0, 0.0]
    back = gg.to_torch(x)
    back[1] = 6.0
    assert t.tolist() == [5.0, 6.0, 0.0]
    assert not back.requires_grad
    assert gg.from_torch(torch.ones(2, requires_grad=True)).requires_grad
    with gg.no_grad():
        assert not gg.from_torch(torch.ones(2, requires_grad=True)).requires_grad
    assert gg.to_torch(np.broadcast_to(np.ones(1), (3,))).tolist() == gg.to_torch(np.ones(3)[::-1]).tolist()
    half = gg.from_torch(torch.tensor([1.5, 2.5], dtype=torch.bfloat16))
    assert half.dtype == gg.bfloat16
    assert gg.to_torch(half).dtype == torch.bfloat16
    assert np.shares_memory(gg.from_dlpack(t).data, t.numpy())


def test_what_cannot_cross_to_pytorch_is_refused(torch) -> None:
    with pytest.raises(TypeError, match=r"\[from_torch\] int; expected"):
        gg.from_torch(3)
    with pytest.raises(TypeError, match="inside a vmap"):
        gg.vmap(lambda x: gg.to_torch(x) and x)(gg.ones(2, 3))
    with pytest.raises(gg.GradientError, match="goes backward only"):
        gg.jvp(gg.from_torch(torch.sin), (X,), (X,))
    with pytest.raises(BufferError, match="gradient"):
        gg.from_dlpack(torch.ones(2, requires_grad=True))


@pytest.fixture
def jnp(jax):
    jax.config.update("jax_enable_x64", True)
    return jax.numpy


def test_functions_of_jax_have_every_derivative_here(jax, jnp) -> None:
    f = gg.from_jax(jax.jit(lambda a, tree, n: {"y": jnp.sin(a) * tree["b"] ** n}))
    gg.check_grads(
        lambda a, b: gg.sum(f(gg.exp(a), {"b": b}, np.int64(3))["y"] ** 2), (X, X + 1), order=2, modes=("rev",)
    )
    np.testing.assert_allclose(gg.grad(gg.from_jax(jnp.sinc))(0.5), jax.grad(jnp.sinc)(0.5), rtol=1e-12)


def test_functions_of_gpugrad_have_every_derivative_in_jax(jax, jnp) -> None:
    from jax.test_util import check_grads

    f = gg.to_jax(lambda a, tree: gg.sum(gg.sin(a) * gg.exp(tree["b"])))
    a, b = jnp.asarray(X), jnp.asarray(X + 1)
    for g in (f, jax.jit(f)):
        check_grads(lambda a, b, g=g: g(jnp.exp(a), {"b": b}), (a, b), order=2, modes=("rev",))
    expected = jax.grad(lambda a: jnp.sum(jnp.sin(a) * jnp.exp(b)))
    found = jax.vmap(jax.grad(lambda a: f(a, {"b": b})))(jnp.stack([a, b]))
    np.testing.assert_allclose(found, jnp.stack([expected(a), expected(b)]), rtol=1e-12)


def test_complex_gradients_are_those_of_jax(jax, jnp) -> None:
    z = np.array([0.3 + 0.2j, -0.5 + 0.1j])
    ours = gg.grad(lambda a: gg.real(gg.sum(gg.from_jax(jnp.exp)(a) * a)))(z)
    np.testing.assert_allclose(ours, jax.grad(lambda a: jnp.real(jnp.sum(jnp.exp(a) * a)))(z), rtol=1e-12)


def test_arrays_of_jax_come_read_only_and_go_without_a_gradient(jax, jnp) -> None:
    a = jnp.arange(3.0)
    x = gg.from_jax(a)
    assert x.tolist() == gg.from_dlpack(a).tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1.0
    assert gg.to_jax(gg.tensor([1.0, 2.0])).tolist() == [1.0, 2.0]
    with pytest.raises(gg.GradientError, match=r"gg\.from_jax\(f\)\(x\), or take x\.detach\(\)"):
        gg.to_jax(gg.ones(2, requires_grad=True))
    with pytest.raises(TypeError, match=r"\[from_jax\] int; expected"):
        gg.from_jax(3)
    with pytest.raises(TypeError, match="tracing"):
        jax.jit(gg.from_jax)(a)


def test_jax_without_64_bits_is_named(jax, jnp) -> None:
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(TypeError, match="jax_enable_x64"):
            gg.to_jax(np.ones(3))
        assert gg.to_jax(np.ones(3, np.float32)).dtype == np.float32
    finally:
        jax.config.update("jax_enable_x64", True)


def test_a_backward_pass_that_is_recorded_fills_differentiable_gradients_on_both_sides(torch) -> None:
    x = torch.tensor(X, requires_grad=True)
    v = gg.tensor(X + 1, requires_grad=True)
    gg.sum(gg.from_torch(x) ** 3 * v).backward(create_graph=True)
    (x.grad.sum() + gg.to_torch(v.grad).sum()).backward()
    x_, v_ = torch.tensor(X, requires_grad=True), torch.tensor(X + 1, requires_grad=True)
    first = torch.autograd.grad((x_**3 * v_).sum(), (x_, v_), create_graph=True)
    second = torch.autograd.grad(first[0].sum() + first[1].sum(), (x_, v_))
    np.testing.assert_allclose(x.grad.detach(), (first[0] + second[0]).detach(), rtol=1e-12)
    np.testing.assert_allclose(v.grad.detach().numpy(), (first[1] + second[1]).detach(), rtol=1e-12)
