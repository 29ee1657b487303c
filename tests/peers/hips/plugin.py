"""A pytest plugin: from here on `import autograd` finds gpugrad, by autograd's names and argument orders.

Loaded with `-p tests.peers.hips.plugin` in a process of its own, before the suite's files are imported.
"""

import builtins
import importlib
import sys
import types

import numpy as onp
import scipy.stats

import gpugrad as gg
import gpugrad.numpy as gnp
import gpugrad.scipy

from . import checks, faces, spaces


def _module(name, **contents):
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    module.__path__ = []
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    return module


def _public(module):
    return {n: getattr(module, n) for n in dir(module) if not n.startswith("_")}


def _own_names():
    """What autograd's NumPy has that NumPy has not, or with another result, made of gpugrad's."""
    integers = {f"int{bits}": faces.integer_type(getattr(onp, f"int{bits}")) for bits in (8, 16, 32, 64)}
    return {**integers, "where": faces.where, "make_diagonal": faces.make_diagonal, "clongdouble": onp.clongdouble}


def _odeint(f, y0, t, args=()):
    """The suite's differences, over 1e-6, of derivatives ask for more digits than the default tolerances promise."""
    return gg.odeint(f, y0, t, *args, rtol=1e-11, atol=1e-11)


def isbox(x):
    return builtins.isinstance(x, gg.Tensor)


def is_instance(x, kind):
    kinds = kind if builtins.isinstance(kind, builtins.tuple) else (kind,)
    return builtins.isinstance(x, kinds) or (isbox(x) and onp.ndarray in kinds)


def install():
    """Put the modules in place."""
    functions = {
        n: getattr(faces, n)
        for n in (
            "grad", "elementwise_grad", "deriv", "value_and_grad", "grad_and_aux", "jacobian", "hessian", "make_vjp",
            "holomorphic_grad", "make_hvp", "make_jvp", "make_ggnvp", "tensor_jacobian_product", "multigrad_dict",
            "hessian_tensor_product",
        )
    }  # fmt: skip
    containers = {"isinstance": is_instance, "tuple": builtins.tuple, "list": builtins.list, "dict": builtins.dict}
    _module("autograd", checkpoint=gg.checkpoint, **functions, **containers)
    sys.modules["autograd"].vector_jacobian_product = faces.tensor_jacobian_product
    sys.modules["autograd"].hessian_vector_product = faces.hessian_tensor_product
    _module("autograd.builtins", type=builtins.type, **containers)
    _module("autograd.numpy", **{**_public(gnp), **_own_names()})
    for part in ("linalg", "fft"):
        _module(f"autograd.numpy.{part}", **_public(importlib.import_module(f"gpugrad.numpy.{part}")))
    sys.modules["autograd.numpy.linalg"].T = gg.linalg.matrix_transpose
    sys.modules["autograd.numpy.linalg"]._dot = gnp.matmul
    sys.modules["autograd.numpy"].random = sys.modules["autograd.numpy.random"] = onp.random
    _module("autograd.scipy")
    for part in ("special", "linalg", "signal", "stats", "integrate"):
        try:
            found = importlib.import_module(f"gpugrad.scipy.{part}")
        except ImportError:
            _module(f"autograd.scipy.{part}")
            continue
        _module(f"autograd.scipy.{part}", **_public(found))
    for name in ("multivariate_normal", "norm", "dirichlet"):
        distribution = getattr(sys.modules["autograd.scipy.stats"], name, None)
        _module(f"autograd.scipy.stats.{name}", **({} if distribution is None else _public(distribution)))
    sys.modules["autograd.scipy.stats.dirichlet"].rvs = scipy.stats.dirichlet.rvs
    tracing = {"primitive": faces.primitive, "isbox": isbox, "getval": lambda x: x.detach().data if isbox(x) else x}
    core = {"make_vjp": faces.make_vjp_of, "make_jvp": faces.make_jvp_of, "vspace": spaces.vspace}
    sys.modules["autograd.scipy.integrate"].odeint = _odeint
    _module("autograd.tracer", **tracing)
    _module("autograd.core", **{**tracing, "primitive": faces.deprecated_primitive}, **core, primitive_vjps={})
    _module("autograd.util", quick_grad_check=checks.quick_grad_check)
    _module("autograd.extend", **tracing, **core, defvjp=faces.defvjp)
    _module("autograd.misc", flatten=faces.flatten, const_graph=None)
    _module("autograd.wrap_util", unary_to_nary=faces.unary_to_nary, get_name=faces.name_of)
    _module("autograd.test_util", **_public(checks))


def pytest_configure(config):
    """Not when imported: pytest imports this file too when it looks for doctests, and must find the real autograd."""
    install()
