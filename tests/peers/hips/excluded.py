"""Which tests of autograd's suite are not asked of gpugrad, and why."""

_UPPER_HALF = (
    "perturbs one triangle of a symmetric matrix alone; eigh's derivative here is that along symmetric matrices, "
    "PyTorch's and JAX's convention"
)
_CONST_GRAPH = "autograd.misc.const_graph, a cache of traces: gpugrad has no traces to cache"
_DEPRECATED = "autograd's deprecated names of before 2017"
_WHERE = "autograd's numpy.where gives Python numbers and lists back; gpugrad's gives arrays, as NumPy does"

EXCLUDED = {
    "test_fft.py::test_rfftn_odd_not_implemented": "asks that rfftn of odd lengths has no derivative; here it has one",
    "test_graphs.py::test_assignment_raises_error": "asks for TypeError; gpugrad refuses with GradientError",
    "test_linalg.py::test_pinv": "calls autograd.numpy.linalg._dot, a private function",
    "test_numpy.py::test_numpy_version": "gpugrad.numpy does not claim to be a version of NumPy",
    "test_numpy.py::test_cast_to_int": "calls a dtype as a function, np.int64(tensor); here that is x.astype",
    "test_numpy.py::test_make_diagonal": "make_diagonal is autograd's own function, not NumPy's",
    "test_numpy.py::test_diagonal": "uses make_diagonal, autograd's own function",
    "test_wrappers.py::test_dtypes": "numbers wider than double precision (clongdouble)",
    "test_wrappers.py::test_wrapped_name_and_docs": "the text of autograd's own docstrings",
    **{f"test_misc.py::{n}": _CONST_GRAPH for n in ("test_const_graph", "test_const_graph_args")},
    **{
        f"test_linalg.py::test_eigvalh_{half}{kind}": _UPPER_HALF
        for half in ("lower", "upper")
        for kind in ("", "_broadcasting", "_complex")
    },
    **{
        f"test_wrappers.py::test_deprecated_{n}_wrapper": _DEPRECATED
        for n in ("defgrad", "defvjp", "defvjp_is_zero", "quick_grad_check")
    },
    **{
        f"test_wrappers.py::test_custom_where_dtypes[{n}]": _WHERE
        for n in ("int-True-1-2", "float-True-3.0-4.0", "float-False-1-2.0", "list-True-x3-y3")
    },
}
