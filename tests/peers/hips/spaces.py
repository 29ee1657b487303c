"""The vector space of a value, as the suite's checks use it: sums, products, random elements."""

import math

import numpy as onp

import gpugrad as gg
import gpugrad.numpy as gnp
from gpugrad.transforms.tree import flatten

_numbers = onp.random.default_rng(0)


def _data(leaf):
    return leaf.data if isinstance(leaf, gg.Tensor) else onp.asarray(leaf)


class Space:
    """All values with the structure, shapes and kinds of numbers of a given one."""

    __hash__ = None

    def __init__(self, value):
        leaves, self.build = flatten(value)
        arrays = [_data(leaf) for leaf in leaves]
        self.shapes = [a.shape for a in arrays]
        self.dtypes = [onp.dtype(complex if a.dtype.kind == "c" else float) for a in arrays]
        self.form = repr(self.build([0] * len(arrays)))
        self.iscomplex = any(d.kind == "c" for d in self.dtypes)
        self.size = sum(math.prod(s) * (1 + (d.kind == "c")) for s, d in zip(self.shapes, self.dtypes, strict=True))

    def __eq__(self, other):
        return (self.form, self.shapes, self.dtypes) == (other.form, other.shapes, other.dtypes)

    def __repr__(self):
        return f"Space({self.form}, {self.shapes}, {self.dtypes})"

    def _made(self, make):
        return self.build([_plain(make(s, d)) for s, d in zip(self.shapes, self.dtypes, strict=True)])

    def _mapped(self, function, *values):
        columns = zip(*(flatten(v)[0] for v in values), strict=True)
        return self.build([function(*column) for column in columns])

    def zeros(self):
        return self._made(onp.zeros)

    def ones(self):
        return self._made(lambda s, d: onp.ones(s, d) * (1 + 1j if d.kind == "c" else 1))

    def randn(self):
        def draw(shape, dtype):
            x = _numbers.standard_normal(shape)
            return x + 1j * _numbers.standard_normal(shape) if dtype.kind == "c" else onp.asarray(x)

        return self._made(draw)

    def standard_basis(self):
        for n, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True)):
            for at in onp.ndindex(*shape):
                for unit in (1.0, 1.0j) if dtype.kind == "c" else (1.0,):
                    leaves = [onp.zeros(s, d) for s, d in zip(self.shapes, self.dtypes, strict=True)]
                    leaves[n][at] = unit
                    yield self.build([_plain(leaf) for leaf in leaves])

    def add(self, x, y):
        return self._mapped(lambda a, b: a + b, x, y)

    def scalar_mul(self, x, c):
        return self._mapped(lambda a: a * c, x)

    def inner_prod(self, x, y):
        total = 0.0
        for a, b in zip(flatten(x)[0], flatten(y)[0], strict=True):
            total = total + gnp.sum(gnp.real(gnp.conj(a) * b))
        return total

    def covector(self, x):
        return self._mapped(lambda a: gnp.conj(a) if _data(a).dtype.kind == "c" else a, x)


def _plain(array):
    return array[()] if isinstance(array, onp.ndarray) and array.ndim == 0 else array


def vspace(value):
    return Space(value)
