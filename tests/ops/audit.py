"""The public names of NumPy that gpugrad does not have, each with the reason; its own that have no derivative."""

from __future__ import annotations

from types import ModuleType

WITHOUT_DERIVATIVE: dict[str, str] = {}
NOT_PROVIDED: dict[str, str] = {}


def public(module: ModuleType) -> list[str]:
    """The names that a module of NumPy's shows."""
    return sorted(n for n in module.__all__ if not n.startswith("_"))


def _because(table: dict[str, str], reason: str, names: str) -> None:
    table.update(dict.fromkeys(names.split(), reason))


_because(
    NOT_PROVIDED,
    "a name of NumPy's internals, tools or settings",
    """
    char core ctypeslib dtypes emath f2py get_include getbufsize setbufsize geterrcall seterrcall info lib ma matrixlib
    rec show_config show_runtime strings test polynomial typecodes sctypeDict little_endian""",
)
_because(
    NOT_PROVIDED,
    "a type of array, scalar or iterator that gpugrad has no use for",
    """
    ScalarType asmatrix bmat broadcast busdaycalendar bytes_ character clongdouble complex256 flatiter flexible float128
    matrix memmap nditer nested_iters object_ recarray record str_ void poly1d""",
)
_because(
    NOT_PROVIDED,
    "works on dates, text or bits",
    """
    bitwise_count busday_count busday_offset datetime_as_string datetime_data is_busday isnat fromregex packbits
    unpackbits format_float_positional format_float_scientific""",
)
_because(
    NOT_PROVIDED,
    "asks about dtypes or memory; call NumPy's with the bare array",
    """
    asarray_chkfinite asfortranarray common_type isfortran mintypecode require typename""",
)
_because(
    NOT_PROVIDED,
    "writes into its argument; see the error message for what to use",
    """
    copyto fill_diagonal place put put_along_axis putmask""",
)
_because(
    NOT_PROVIDED,
    "a set or a count of values, without derivative; call NumPy's with the bare array",
    """
    array_equiv diag_indices_from histogramdd intersect1d setdiff1d setxor1d tril_indices_from triu_indices_from union1d
    unique_all unique_counts unique_inverse unique_values""",
)
_because(
    NOT_PROVIDED, "wraps Python functions that derivatives cannot go through; see gpugrad.elementwise", "frompyfunc"
)
_because(NOT_PROVIDED, "Python's name; here it would hide it, `bool_` is the dtype", "bool")
_because(
    NOT_PROVIDED, "sorts by real part, then imaginary part; sort with an index: x[argsort(real(x))]", "sort_complex"
)
_because(NOT_PROVIDED, "its results change their lengths with the values; divide with polymul and lstsq", "polydiv")

_because(
    WITHOUT_DERIVATIVE,
    "makes an array",
    """
    arange array as_tensor asanyarray asarray ascontiguousarray empty empty_like eye from_numpy full full_like linspace
    normal ones ones_like rand rand_like randint randn randn_like randperm tensor uniform zeros zeros_like ix_
    hamming_window hann_window""",
)
_because(
    WITHOUT_DERIVATIVE,
    "truth values or integers",
    """
    allclose array_equal bitwise_left_shift bitwise_right_shift equal greater greater_equal isfinite isinf isnan
    iscomplexobj isrealobj left_shift less less_equal logical_and logical_not logical_or logical_xor not_equal
    right_shift signbit one_hot ndim shape size result_type einsum_path gammasgn is_complex is_floating_point is_tensor
    numel unravel_index finfo iinfo promote_types tril_indices triu_indices""",
)
_because(
    WITHOUT_DERIVATIVE,
    "a transform of functions",
    """
    check_grads checkpoint checkpoint_plan compile elementwise elementwise_grad grad hessian hvp jacfwd jacobian jacrev
    jvp linearize value_and_grad vjp vmap fixed_point odeint profile tape_memory stop_gradient""",
)
_because(
    WITHOUT_DERIVATIVE,
    "a setting",
    """
    are_deterministic_algorithms_enabled default_device device enable_grad get_default_dtype inference_mode
    is_grad_enabled manual_seed no_grad set_default_device use_deterministic_algorithms
    set_default_dtype""",
)
_because(WITHOUT_DERIVATIVE, "random: its gradient is the mask of its value, tested there", "dropout")
_because(WITHOUT_DERIVATIVE, "random: its gradient is that of softmax, tested there", "gumbel_softmax")
_because(
    WITHOUT_DERIVATIVE, "random: its gradient is the scaled mask, tested there", "alpha_dropout feature_alpha_dropout"
)
_because(WITHOUT_DERIVATIVE, "random: without a gradient", "bernoulli multinomial get_rng_state set_rng_state")
_because(
    WITHOUT_DERIVATIVE,
    "exchanges arrays with another library: tests/interop",
    """
    from_dlpack from_jax from_torch to_jax to_torch""",
)
_because(WITHOUT_DERIVATIVE, "a setting", "get_float32_matmul_precision set_float32_matmul_precision")
_because(WITHOUT_DERIVATIVE, "shows the recorded graph", "explain")
_because(WITHOUT_DERIVATIVE, "writes and reads files", "load save")
