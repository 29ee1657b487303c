"""The hand-written CUDA sources: which there are, their entry points, and how a source becomes self-contained.

Formulas are compiled to sources by `cuda_compiler`; what a kernel computes is said at the head of its own file.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Final

from .locate import read_kernel

__all__ = ["FORMS", "SOURCES", "RowSource", "inline_includes", "row_source"]

_INCLUDE: Final = re.compile(r'^#include "([\w./]+)"[^\n]*\n', re.MULTILINE)
_SELECT: Final = {"float32": "GG_FLOAT", "float64": "GG_DOUBLE", "float16": "GG_HALF", "bfloat16": "GG_BFLOAT16"}
_TAGS: Final = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16"}


# The forms of kernels over rows, from short rows to long ones: what they are is said in kernels/rows.cuh.
FORMS: Final = ("four", "sixteen", "warp", "block64", "block128", "block256", "shared")


@dataclass(frozen=True)
class RowSource:
    """One hand-written file: `kernels` are its kernels, each built for every one of `dtypes`.

    Where it has `forms`, each kernel ends in the name of its form, and what is compiled at a time is one of them: a
    form takes seconds.
    """

    file: str
    kernels: tuple[str, ...]
    dtypes: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")
    forms: tuple[str, ...] = ()

    def entry(self, kernel: str, dtype: str) -> str:
        """The entry point of `kernel` for arrays of `dtype`, such as "gg_softmax_warp_f32"."""
        return f"gg_{kernel}_{_TAGS[dtype]}"

    def form(self, kernel: str) -> str | None:
        """The form in whose build `kernel` is; None where there is one build."""
        return kernel.rpartition("_")[2] if self.forms else None


def _in_forms(file: str, names: str, shared: str = "") -> RowSource:
    """A file whose kernels `names` have all forms, and others the last one only."""
    kernels = [f"{name}_{form}" for form in FORMS for name in f"{names} {shared if form == 'shared' else ''}".split()]
    return RowSource(file, tuple(kernels), forms=FORMS)


def _reductions(names: str) -> tuple[str, ...]:
    forms = "rows_warp rows_block columns columns_wide finish".split()
    return tuple(f"{name}_{form}" for name in names.split() for form in forms)


def _in_pieces(names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{stage}" for name in names.split() for stage in ("parts", "pieces"))


_LONG_NORMS: Final = _in_pieces("layer_norm layer_norm_vjp rms_norm rms_norm_vjp")
_LONG_SOFTMAX: Final = (
    "max_sum_parts", "softmax_pieces", "log_softmax_pieces", "logsumexp_of_parts",
    *_in_pieces("softmax_vjp log_softmax_vjp"),
)  # fmt: skip
_OPTIM: Final = tuple(
    """
    sgd adam rmsprop adagrad adadelta adamax moments step_sizes norm_partials scale clip judge count_skip loss_scale
    """.split()
)

# Every hand-written source; the tests compile and run what is listed here, and a file that is not listed fails them.
SOURCES: Final[dict[str, RowSource]] = {
    source.file: source
    for source in (
        _in_forms("softmax.cu", "softmax softmax_causal log_softmax logsumexp softmax_vjp log_softmax_vjp"),
        _in_forms("cross_entropy.cu", "cross_entropy cross_entropy_vjp"),
        RowSource("loss.cu", ("loss_mean", "loss_parts", "loss_of_parts")),
        _in_forms("layer_norm.cu", "layer_norm layer_norm_vjp_all", shared="layer_norm_vjp"),
        _in_forms("rms_norm.cu", "rms_norm rms_norm_vjp_all", shared="rms_norm_vjp"),
        RowSource("long_softmax.cu", _LONG_SOFTMAX),
        RowSource("long_losses.cu", ("cross_entropy_parts", "cross_entropy_of_parts", "cross_entropy_vjp_pieces")),
        RowSource("long_norms.cu", _LONG_NORMS),
        RowSource("norm_weights.cu", ("layer_norm_vjp_weight", "rms_norm_vjp_weight")),
        RowSource("dropout.cu", ("dropout",)),
        RowSource("random.cu", ("uniform", "normal", "integers")),
        RowSource("maxout.cu", ("maxout", "maxout_vjp")),
        RowSource("reduce.cu", _reductions("sum")),
        RowSource("extremes.cu", _reductions("max min prod")),
        RowSource("ties.cu", ("ties_rows_warp", "ties_rows_block", "ties_columns", "ties_columns_wide")),
        RowSource("join.cu", ("join", "join_wide")),
        RowSource("casts.cu", ("casts",)),
        RowSource(
            "picking.cu",
            (
                *("take_rows", "take_rows_wide", "segment_starts", "segment_sum", "add_few_rows"),
                *("take_along", "put_along", "add_along"),
            ),
        ),
        RowSource(
            "conv.cu",
            (
                *("im2col", "im2col_wide", "col2im", "depthwise", "depthwise_input"),
                *("depthwise_weight", "depthwise_weight_wide"),
            ),
        ),
        RowSource("pool.cu", ("max_pool", "window_put", "window_sum", "window_spread")),
        RowSource(
            "batch_norm.cu",
            (
                *("moments_parts", "moments_parts_wide", "moments"),
                *("norm_products_parts", "norm_products_parts_wide", "norm_products"),
                *("norm_products_relu_parts", "norm_products_relu_parts_wide"),
                *("normalise", "normalise_wide", "normalise_vjp", "normalise_vjp_wide"),
                *("normalise_relu", "normalise_relu_wide", "normalise_relu_vjp", "normalise_relu_vjp_wide"),
            ),
        ),
        RowSource("optim.cu", _OPTIM),
    )
}


@functools.lru_cache(maxsize=256)
def row_source(file: str, dtype: str, form: str | None = None) -> str:
    """The complete text of the hand-written source `file` for arrays of `dtype`, of all its forms or of one.

    Raises:
        ValueError: There is no such source, or not for this dtype or in this form.
    """
    source = SOURCES.get(file)
    if source is None or dtype not in source.dtypes or form not in (None, *source.forms):
        known = f"its dtypes are {', '.join(source.dtypes)}" if source else f"there are {', '.join(SOURCES)}"
        known += f", its forms {', '.join(source.forms)}" if source and source.forms else ""
        raise ValueError(f"[row_source] no CUDA source, file = {file!r}, dtype = {dtype!r}, form = {form!r}; {known}")
    chosen = [_SELECT[dtype], *(f"GG_FORM_{name.upper()}" for name in (source.forms if form is None else (form,)))]
    return "".join(f"#define {name}\n" for name in chosen) + inline_includes(read_kernel(file))


def inline_includes(text: str) -> str:
    """`text` with every `#include "x.cuh"` of a file in `kernels/` replaced by that file, each once."""
    seen: set[str] = set()

    def expand(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        body = read_kernel(name)
        return _INCLUDE.sub(expand, body)

    return _INCLUDE.sub(expand, text)
