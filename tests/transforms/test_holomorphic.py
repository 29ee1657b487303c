"""Complex derivatives: of holomorphic functions, and of real functions of complex arguments, in JAX's convention."""

import numpy as np
import pytest

import gpugrad as gg
import gpugrad.numpy as gnp

Z = np.array([0.3 - 0.4j, 1.2 + 0.7j, -0.8 + 0.1j])


def polynomial(np_):
    """Holomorphic, C^3 to C^3."""
    return lambda z: np_.sin(z) * z[::-1] + z**2


def total(np_):
    """Holomorphic, C^3 to C."""
    return lambda z: np_.sum(np_.exp(z) * z[::-1] * (1 + 2j))


def energy(np_):
    """Real, of complex arguments, and nowhere holomorphic."""
    return lambda z: np_.sum(np_.abs(z) ** 3 + np_.real(z * z[::-1]) * np_.imag(z))


def test_a_holomorphic_function_has_its_complex_derivative():
    np.testing.assert_allclose(gg.grad(lambda z: gg.exp(z) * z, holomorphic=True)(Z[0]), np.exp(Z[0]) * (1 + Z[0]))
    value, slope = gg.value_and_grad(lambda z: (z**3, "aux"), has_aux=True, holomorphic=True)(Z[1])
    assert value == (Z[1] ** 3, "aux")
    np.testing.assert_allclose(slope, 3 * Z[1] ** 2)
    jacobian = np.diag(np.cos(Z) * Z[::-1] + 2 * Z) + np.diag(np.sin(Z))[:, ::-1]
    for derive in (gg.jacrev, gg.jacfwd, gg.jacobian):
        np.testing.assert_allclose(derive(polynomial(gnp), holomorphic=True)(Z), jacobian, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(gg.hessian(lambda z: z**3, holomorphic=True)(Z[2]), 6 * Z[2])


@pytest.mark.peers
def test_derivatives_agree_with_jax(jax):
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    pairs = [
        (gg.grad(total(gnp), holomorphic=True)(Z), jax.grad(total(jnp), holomorphic=True)(Z)),
        (gg.hessian(total(gnp), holomorphic=True)(Z), jax.hessian(total(jnp), holomorphic=True)(Z)),
        (gg.jacrev(polynomial(gnp), holomorphic=True)(Z), jax.jacrev(polynomial(jnp), holomorphic=True)(Z)),
        (gg.jacfwd(polynomial(gnp), holomorphic=True)(Z), jax.jacfwd(polynomial(jnp), holomorphic=True)(Z)),
        (gg.grad(energy(gnp))(Z), jax.grad(energy(jnp))(Z)),
        (gg.jacobian(gnp.abs)(Z), jax.jacrev(jnp.abs)(Z)),
        (gg.jvp(energy(gnp), (Z,), (Z * 1j,))[1], jax.jvp(energy(jnp), (Z,), (Z * 1j,))[1]),
        (gg.vjp(polynomial(gnp), Z)[1](Z.conj())[0], jax.vjp(polynomial(jnp), Z)[1](jnp.asarray(Z.conj()))[0]),
        (gg.jacfwd(lambda x: gnp.exp(1j * x))(Z.real), jax.jacfwd(lambda x: jnp.exp(1j * x))(Z.real)),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_the_gradient_of_a_real_function_is_df_dx_minus_i_df_dy():
    def f(x, y):
        return energy(gg)(x + 1j * y)

    by_x, by_y = gg.grad(f, (0, 1))(Z.real.copy(), Z.imag.copy())
    np.testing.assert_allclose(gg.grad(energy(gg))(Z), by_x - 1j * by_y, rtol=1e-12)


def test_the_mode_is_chosen_by_what_is_complex():
    np.testing.assert_allclose(gg.jacobian(lambda z: gg.stack([gg.imag(z), gg.real(z)]))(Z[0]), [-1j, 1])
    np.testing.assert_allclose(gg.jacobian(lambda x: (gg.exp(1j * x)).sum())(Z.real), 1j * np.exp(1j * Z.real))


def test_what_has_no_such_derivative_is_refused():
    with pytest.raises(gg.GradientError, match=r"\[grad\] the function returned a complex number.*holomorphic=True"):
        gg.grad(lambda z: z * z)(1j)
    with pytest.raises(TypeError, match=r"\[grad\] holomorphic=True, but an argument is float64 of shape \(\)"):
        gg.grad(lambda x: x * 1j, holomorphic=True)(1.0)
    with pytest.raises(TypeError, match=r"\[grad\] holomorphic=True, but the output is float64"):
        gg.grad(gg.abs, holomorphic=True)(1j)
    with pytest.raises(TypeError, match=r"\[jacfwd\] an argument is complex128 of shape \(3,\); say holomorphic=True"):
        gg.jacfwd(gg.abs)(Z)
    with pytest.raises(TypeError, match=r"\[jacrev\] an output is complex128 of shape \(3,\); say holomorphic=True"):
        gg.jacrev(gg.exp)(Z)
    with pytest.raises(TypeError, match=r"\[jacobian\] an output is complex128 of shape \(3,\); say holomorphic=True"):
        gg.jacobian(gg.exp)(Z)
    with pytest.raises(TypeError, match=r"\[jacrev\] holomorphic=True, but an output is float64"):
        gg.jacrev(gg.abs, holomorphic=True)(Z)
