"""Rows of linear algebra: determinants, inverses, systems, factorisations, of real and complex matrices and stacks.

The samples have eigenvalues and singular values apart from each other and from 0; what happens elsewhere is in
`test_decompositions`. Complex matrices are two real inputs; outputs are made independent of signs and phases where
libraries may choose them differently.
"""

from typing import Any

import numpy as np

from tests.ops.table import Row, Sampler, normal, op


class _Linalg:
    """`la.det` calls the public function of `numpy.linalg.det`'s name, which is looked up at the call."""

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(op, f"linalg.{name}")(*args, **kwargs)

        return call


la = _Linalg()


def regular(*shape: int) -> Sampler:
    """Matrices with a strong diagonal 1.5, 3, 4.5, ...: far from singular, and no two values alike."""

    def sample(rng: np.random.Generator) -> Any:
        diagonal = np.zeros(shape[-2:])
        np.fill_diagonal(diagonal, 1.5 * np.arange(1, min(shape[-2:]) + 1))
        return rng.standard_normal(shape) * 0.3 + diagonal

    return sample


def joined(x: Any, y: Any) -> Any:
    """A complex matrix from its parts."""
    return op.add(x, op.multiply(y, 1j))


def parts(z: Any) -> Any:
    return op.real(z), op.imag(z)


def size(z: Any) -> Any:
    """What is left of vectors when signs and phases are taken away."""
    return op.real(op.multiply(z, op.conj(z)))


def hermitian(x: Any) -> Any:
    return op.multiply(op.add(x, op.conj(op.swapaxes(x, -1, -2))), 0.5)


def positive(x: Any) -> Any:
    return op.matmul(x, op.conj(op.swapaxes(x, -1, -2)))


def singular(x: Any) -> Any:
    """The matrices with zeros in the last row: the determinant is exactly 0."""
    return op.concatenate([x[..., :-1, :], op.multiply(x[..., -1:, :], 0.0)], -2)


def turning(x: Any) -> Any:
    """Matrices with pairs of complex eigenvalues."""
    return op.subtract(op.multiply(x, 3.1), op.multiply(op.swapaxes(x, -1, -2), 3.0))


def scaled(v: Any, w: Any) -> Any:
    """The columns of v times the numbers w."""
    return op.multiply(v, op.expand_dims(w, -2))


def svd_sizes(x: Any) -> Any:
    u, s, vh = la.svd(x, full_matrices=False)
    return s, size(u), size(vh), *parts(op.matmul(scaled(u, op.log(s)), vh))


def eigh_sizes(x: Any) -> Any:
    w, v = la.eigh(hermitian(x))
    return w, size(v), *parts(op.matmul(scaled(v, op.sin(w)), op.conj(op.swapaxes(v, -1, -2))))


def eig_sizes(x: Any) -> Any:
    w, v = la.eig(x)
    return size(v), *parts(op.matmul(scaled(v, op.multiply(w, w)), la.inv(v)))


def real_row(
    name: str, call: Any, inputs: tuple[Sampler, ...], numpy: Any = None, torch: Any = None, **more: Any
) -> Row:
    more = {"covers": (name.split(" ")[0],), "dtypes": ("float32",), "tolerance": 20.0} | more
    return Row(f"linalg {name}", call, inputs, numpy, torch, **more)


def complex_row(name: str, call: Any, shape: tuple[int, ...], torch: Any = None, **more: Any) -> Row:
    """A function of one complex matrix, whose results are real or taken apart."""
    more = {"covers": (name.split(" ")[0],), "dtypes": ()} | more

    def both(x: Any, y: Any) -> Any:
        out = []
        found = call(joined(x, y))
        for part in found if isinstance(found, tuple) else (found,):
            out += parts(part) if part.dtype.kind == "c" else (part,)
        return tuple(out)

    theirs = None if torch is None else lambda t, x, y: _torch_parts(t, torch(t, t.complex(x, y)))
    return Row(f"linalg {name} complex", both, (regular(*shape), normal(*shape, scale=0.3)), None, theirs, **more)


def _torch_parts(t: Any, found: Any) -> Any:
    out = []
    for part in found if isinstance(found, tuple) else (found,):
        out += [part.real, part.imag] if part.is_complex() else [part]
    return tuple(out)


def torch_hermitian(x: Any) -> Any:
    return (x + x.mH) / 2


def torch_svd_sizes(t: Any, x: Any) -> Any:
    u, s, vh = t.linalg.svd(x, full_matrices=False)
    f = (u * s.log()[..., None, :].to(u.dtype)) @ vh
    return s, (u * u.conj()).real, (vh * vh.conj()).real, f.real, f.imag if f.is_complex() else f.real * 0


def torch_eigh_sizes(t: Any, x: Any) -> Any:
    w, v = t.linalg.eigh(torch_hermitian(x))
    f = (v * w.sin()[..., None, :].to(v.dtype)) @ v.mH
    return w, (v * v.conj()).real, f.real, f.imag if f.is_complex() else f.real * 0


SQUARE, TALL, WIDE, STACK = (3, 3), (4, 3), (2, 4), (2, 3, 3)
SHAPES = {"square": STACK, "tall": (2, *TALL), "wide": (2, *WIDE)}

SOLVING = [
    real_row("det", la.det, (regular(*STACK),), np.linalg.det, lambda t, x: t.linalg.det(x)),
    real_row("det of one", la.det, (regular(*SQUARE),), np.linalg.det, layouts=False),
    real_row(
        "det of singular ones",
        lambda x: la.det(singular(x)),
        (regular(*STACK),),
        lambda x: np.zeros(2),
    ),
    real_row("cofactors", la.cofactors, (regular(*STACK),),
             lambda x: np.linalg.det(x)[:, None, None] * np.linalg.inv(x).mT,
             lambda t, x: t.linalg.det(x)[:, None, None] * t.linalg.inv(x).mT),
    real_row("slogdet", lambda x: tuple(la.slogdet(x)), (regular(*STACK),), np.linalg.slogdet),
    real_row("logabsdet", lambda x: la.slogdet(x)[1], (regular(*STACK),), None, lambda t, x: t.linalg.slogdet(x)[1],
             covers=("slogdet",)),
    real_row("inv", la.inv, (regular(*STACK),), np.linalg.inv, lambda t, x: t.linalg.inv(x)),
    real_row("solve", la.solve, (regular(*STACK), normal(2, 3, 2)), np.linalg.solve,
             lambda t, a, b: t.linalg.solve(a, b)),
    real_row("solve for a vector", la.solve, (regular(*STACK), normal(3)), np.linalg.solve),
    real_row("solve broadcast", la.solve, (regular(2, 1, 3, 3), normal(2, 3, 1)), np.linalg.solve),
    real_row("tensorsolve", la.tensorsolve, (regular(6, 2, 3), normal(6)), np.linalg.tensorsolve,
             covers=("solve",), layouts=False),
    real_row("tensorsolve axes", lambda a, b: la.tensorsolve(a, b, (0,)), (normal(3, 6, 2), normal(6)),
             lambda a, b: np.linalg.tensorsolve(a, b, (0,)), covers=("solve",), layouts=False, tolerance=500.0),
    real_row("tensorinv", lambda a: la.tensorinv(a, 1), (normal(6, 2, 3),), lambda a: np.linalg.tensorinv(a, 1),
             covers=("inv",), layouts=False, tolerance=500.0),
    real_row("pinv", la.pinv, (regular(2, *TALL),), np.linalg.pinv, lambda t, x: t.linalg.pinv(x)),
    real_row("pinv wide", lambda x: la.pinv(x, rtol=1e-6), (regular(2, *WIDE),), np.linalg.pinv),
    real_row("pinv hermitian", lambda x: la.pinv(hermitian(x), hermitian=True), (regular(*STACK),), None,
             lambda t, x: t.linalg.pinv(torch_hermitian(x), hermitian=True)),
    real_row("lstsq", lambda a, b: la.lstsq(a, b)[:2], (regular(*TALL), normal(4, 2)),
             lambda a, b: np.linalg.lstsq(a, b)[:2], lambda t, a, b: (t.linalg.lstsq(a, b)[0],
             ((a @ t.linalg.lstsq(a, b)[0] - b) ** 2).sum(0)), layouts=False),
    real_row("lstsq wide", lambda a, b: la.lstsq(a, b, -1)[::3], (regular(*WIDE), normal(2)),
             lambda a, b: np.linalg.lstsq(a, b, -1)[::3], layouts=False),
    *(
        real_row(f"matrix_power {n}", lambda x, n=n: la.matrix_power(x, n), (regular(*STACK),),
                 lambda x, n=n: np.linalg.matrix_power(x, n), lambda t, x, n=n: t.linalg.matrix_power(x, n),
                 covers=("inv",) if n < 0 else ("matmul",))
        for n in (-3, -1, 2, 5)
    ),
    real_row("matrix_power of none", lambda x: la.matrix_power(x, 0), (regular(*STACK),),
             lambda x: np.linalg.matrix_power(x, 0), order=0, covers=()),
    real_row("multi_dot", lambda *x: la.multi_dot(x), (normal(4, 2), normal(2, 5), normal(5, 3), normal(3, 2)),
             lambda *x: np.linalg.multi_dot(x), lambda t, *x: t.linalg.multi_dot(x), covers=("matmul",)),
    real_row("multi_dot of vectors", lambda *x: la.multi_dot(x), (normal(4), normal(4, 3), normal(3)),
             lambda *x: np.linalg.multi_dot(x), covers=("matmul",)),
    complex_row("det", la.det, STACK, lambda t, z: t.linalg.det(z)),
    complex_row("slogdet", lambda z: tuple(la.slogdet(z)), STACK, lambda t, z: tuple(t.linalg.slogdet(z))),
    complex_row("inv", la.inv, STACK, lambda t, z: t.linalg.inv(z)),
    complex_row("solve", lambda z: la.solve(z, op.conj(z)), STACK, lambda t, z: t.linalg.solve(z, z.conj())),
    complex_row("pinv", la.pinv, (2, *TALL), lambda t, z: t.linalg.pinv(z)),
    complex_row("pinv wide", la.pinv, (2, *WIDE), lambda t, z: t.linalg.pinv(z)),
    complex_row("lstsq", lambda z: la.lstsq(z, op.conj(z))[:2], TALL, layouts=False),
    complex_row("matrix_power", lambda z: la.matrix_power(z, -3), STACK, lambda t, z: t.linalg.matrix_power(z, -3),
                covers=("inv",)),
]  # fmt: skip

FACTORISATIONS = [
    real_row("cholesky", lambda x: la.cholesky(positive(x)), (regular(*STACK),),
             lambda x: np.linalg.cholesky(x @ x.mT),
             lambda t, x: t.linalg.cholesky(x @ x.mT)),
    real_row("cholesky upper", lambda x: la.cholesky(positive(x), upper=True), (regular(*STACK),),
             lambda x: np.linalg.cholesky(x @ x.mT).mT),
    complex_row("cholesky", lambda z: la.cholesky(positive(z)), STACK,
                lambda t, z: t.linalg.cholesky(z @ z.mH)),
    real_row("qr of one", lambda x: tuple(la.qr(x)), (regular(*TALL),), np.linalg.qr, lambda t, x: t.linalg.qr(x),
             layouts=False),
    real_row("qr complete", lambda x: tuple(la.qr(x, "complete")), (regular(2, *WIDE),),
             lambda x: np.linalg.qr(x, "complete")),
    real_row("qr r", lambda x: la.qr(x, mode="r"), (regular(2, *TALL),), lambda x: np.linalg.qr(x, "r")),
    real_row("eigh", lambda x: tuple(la.eigh(hermitian(x))), (regular(*STACK),),
             lambda x: np.linalg.eigh((x + x.mT) / 2)),
    real_row("eigh upper", lambda x: tuple(la.eigh(hermitian(x), "U")), (regular(*STACK),),
             lambda x: np.linalg.eigh((x + x.mT) / 2, "U")),
    real_row("eigh without signs", eigh_sizes, (regular(*STACK),), None, torch_eigh_sizes, dtypes=()),
    complex_row("eigh", eigh_sizes, STACK, torch_eigh_sizes),
    real_row("eigvalsh", lambda x: la.eigvalsh(hermitian(x), "u"), (regular(*STACK),),
             lambda x: np.linalg.eigvalsh((x + x.mT) / 2), lambda t, x: t.linalg.eigvalsh(torch_hermitian(x))),
    complex_row("eigvalsh", lambda z: la.eigvalsh(hermitian(z)), STACK,
                lambda t, z: t.linalg.eigvalsh(torch_hermitian(z))),
    complex_row("eig", eig_sizes, STACK),
    complex_row("eigvals", la.eigvals, STACK, covers=("eig",)),
]  # fmt: skip

for name, shape in SHAPES.items():
    FACTORISATIONS += [
        real_row(f"qr {name}", lambda x: tuple(la.qr(x)), (regular(*shape),), np.linalg.qr),
        complex_row(f"qr {name}", lambda z: tuple(la.qr(z)), shape, lambda t, z: tuple(t.linalg.qr(z))),
        real_row(
            f"svd {name}",
            lambda x: tuple(la.svd(x, full_matrices=False)),
            (regular(*shape),),
            lambda x: np.linalg.svd(x, full_matrices=False),
        ),
        real_row(f"svd {name} without signs", svd_sizes, (regular(*shape),), None, torch_svd_sizes, dtypes=()),
        complex_row(f"svd {name}", svd_sizes, shape, torch_svd_sizes),
        real_row(
            f"svdvals {name}",
            lambda x: la.svd(x, compute_uv=False),
            (regular(*shape),),
            lambda x: np.linalg.svd(x, compute_uv=False),
            lambda t, x: t.linalg.svdvals(x),
        ),
        complex_row(f"svdvals {name}", la.svdvals, shape, lambda t, z: t.linalg.svdvals(z)),
    ]


def _torch_cond(t: Any, x: Any, p: Any) -> Any:
    if p in (None, 2, -2):
        return t.linalg.cond(x, p)
    # PyTorch's own cond with these norms overwrites what its backward pass needs.
    return t.linalg.matrix_norm(x, p) * t.linalg.matrix_norm(t.linalg.inv(x), p)


NORMS = [
    *(
        real_row(f"norm {p}", lambda x, p=p: la.norm(x, p, (-2, -1)), (regular(2, *TALL),),
                 lambda x, p=p: np.linalg.norm(x, p, (-2, -1)), lambda t, x, p=p: t.linalg.matrix_norm(x, p),
                 covers=("svdvals",))
        for p in (2, -2, "nuc")
    ),
    real_row("norm kept", lambda x: la.norm(x, 2, (2, 0), keepdims=True), (regular(3, 2, 4),),
             lambda x: np.linalg.norm(x, 2, (2, 0), keepdims=True), covers=("svdvals",)),
    real_row("matrix_norm", lambda x: la.matrix_norm(x, ord="nuc", keepdims=True), (regular(*STACK),),
             lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True), covers=("svdvals",)),
    *(
        real_row(f"cond {p}", lambda x, p=p: la.cond(x, p), (regular(*STACK),),
                 lambda x, p=p: np.linalg.cond(x, p), lambda t, x, p=p: _torch_cond(t, x, p),
                 covers=("svdvals",) if p in (None, 2, -2) else ("inv",))
        for p in (None, 2, -2, "fro", "nuc", 1)
    ),
    complex_row("cond", la.cond, (2, *WIDE), lambda t, z: t.linalg.cond(z), covers=("svdvals",)),
    real_row("matrix_rank", lambda x: la.matrix_rank(x, rtol=0.4), (regular(*STACK),),
             lambda x: np.linalg.matrix_rank(x, rtol=0.4), order=0, covers=()),
    real_row("vecdot", la.vecdot, (normal(2, 3), normal(3)), np.linalg.vecdot, lambda t, x, y: t.linalg.vecdot(x, y),
             covers=("sum",)),
    complex_row("vecdot", lambda z: la.vecdot(z, op.multiply(z, z)), (2, 3), lambda t, z: t.linalg.vecdot(z, z * z),
                covers=("sum",)),
    real_row("trace", lambda x: la.trace(x, offset=1), (normal(2, 3, 3),), lambda x: np.linalg.trace(x, offset=1),
             covers=("sum",)),
]  # fmt: skip

EIGENVALUES = [
    # All are real; from 2.5 on NumPy gives them as complex numbers.
    real_row(
        "eig", lambda x: tuple(map(op.real, la.eig(x))), (regular(*STACK),),
        lambda x: tuple(map(np.real, np.linalg.eig(x))), dtypes=(),
    ),
    real_row("eigvals", la.eigvals, (regular(*STACK),), np.linalg.eigvals, covers=("eig",), dtypes=()),
    real_row(
        "eig of real ones with complex values",
        lambda x: eig_sizes(turning(x)),
        (regular(*STACK),),
        None,
        lambda t, x: _torch_eig_sizes(t, 3.1 * x - 3 * x.mT),
        dtypes=(),
    ),
]


def _torch_eig_sizes(t: Any, x: Any) -> Any:
    w, v = t.linalg.eig(x)
    f = (v * (w * w)[..., None, :]) @ t.linalg.inv(v)
    return (v * v.conj()).real, f.real, f.imag


ROWS = SOLVING + FACTORISATIONS + NORMS + EIGENVALUES
