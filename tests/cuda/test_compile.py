"""Every CUDA source compiles for every architecture, without double arithmetic in float32, and is kept current.

Compiles with NVRTC, which needs no GPU; a representative set on each push, all of them in the run marked slow.
"""

import re

import pytest

from gpugrad.backend import cuda_copies, cuda_launch, cuda_sums
from gpugrad.fusion import FormulaError, trace
from gpugrad.fusion.cuda_compiler import SOURCES, cuda_source, row_source
from gpugrad.fusion.locate import kernel_dir
from gpugrad.ops.recurrent import CELLS
from tests.cuda.cubin import resources
from tests.cuda.library import Case, cases, generated
from tests.cuda.nvrtc import NvrtcError, architectures, compile_source, missing_nvrtc

needs_nvrtc = pytest.mark.skipif(missing_nvrtc() is not None, reason=str(missing_nvrtc()))
FLOATS = ("float32", "float64", "float16", "bfloat16")
# One of each kind: activation, its gradient, truth values, selection, a long series, a special function.
ON_EACH_PUSH = (
    "gelu_erf",
    "gelu_tanh_vjp",
    "softplus_vjp_0",
    "less",
    "where_vjp_1_2",
    "power_vjp",
    "remainder",
    "erfc",
)
ROWS = [(file, dtype) for file, source in SOURCES.items() for dtype in source.dtypes]


def by_name(name: str) -> Case:
    return next(case for case in cases() if case.name == name)


# CUDA's own sinf, cosf and tanf reduce an argument beyond 105615 with one multiplication by pi / 2^65 in double.
ARGUMENT_REDUCTION = re.compile(
    r"cvt\.rn\.f64\.s64\s+(%fd\d+), %rd\d+;\s*mul\.f64\s+(%fd\d+), \1, 0d3BF921FB54442D19;\s*"
    r"cvt\.rn\S*\.f32\.f64\s+%f\d+, \2;"
)


def check_lint(ptx: str, dtype: str) -> None:
    lines = [line.strip() for line in ARGUMENT_REDUCTION.sub("", ptx).splitlines()]
    doubles = [line for line in lines if ".f64" in line and not line.startswith(".reg")]
    assert dtype == "float64" or not doubles, f"double arithmetic in a {dtype} kernel: {doubles[:5]}"


@needs_nvrtc
@pytest.mark.parametrize("name", ON_EACH_PUSH)
def test_a_formula_compiles_for_a_recent_device(name: str) -> None:
    check_lint(compile_source(by_name(name).source("float32").text, 90, ptx=True).decode(), "float32")


@needs_nvrtc
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_formula_compiles_for_every_float_and_architecture(dtype: str) -> None:
    text = by_name("silu_vjp").source(dtype).text
    for arch in architectures():
        assert compile_source(text, arch)
    check_lint(compile_source(text, 90, ptx=True).decode(), dtype)


@needs_nvrtc
@pytest.mark.parametrize("cell", CELLS)
def test_the_formulas_of_a_recurrent_step_compile(cell: str) -> None:
    for formula in (CELLS[cell].step, CELLS[cell].back):
        source = cuda_source(formula, ("float32",) * len(formula.inputs), ("float32",) * len(formula.outputs))
        check_lint(compile_source(source.text, 90, ptx=True).decode(), "float32")


@needs_nvrtc
def test_mixed_and_integer_dtypes_compile() -> None:
    add = by_name("add").formula
    for dtypes, out in [
        (("float16", "float32"), "float32"), (("int64", "int64"), "int64"), (("int32", "scalar"), "float64"),
        (("bool", "float32"), "float32"), (("uint8", "bfloat16"), "bfloat16"),
    ]:  # fmt: skip
        assert compile_source(cuda_source(add, dtypes, (out,)).text, 90)


@needs_nvrtc
def test_an_entry_point_alone_is_complete_and_the_only_one() -> None:
    source = by_name("silu_vjp").source("float16")
    for entry in source.entries:
        ptx = compile_source(source.alone(entry), 90, ptx=True).decode()
        assert re.findall(r"\.entry (\w+)", ptx) == [entry]


@needs_nvrtc
def test_wide_accesses_stay_whole() -> None:
    ptx = compile_source(by_name("silu_vjp").source("float32").text, 90, ptx=True).decode()
    body = ptx[ptx.index("_contiguous(") : ptx.index("_rows(")]
    assert len(re.findall(r"ld\.global\S*\.v4", body)) == 6  # two inputs: two accesses in flight, and the last one
    assert len(re.findall(r"st\.global\S*\.v4", body)) == 3


def wide_moves(body: str) -> tuple[int, int]:
    """How many instructions of a kernel load and store 16 bytes."""
    wide = [line.split()[0] for line in body.splitlines() if re.search(r"\.v4\.\S?32|\.v2\.\S?64", line)]
    return sum(move.startswith("ld") for move in wide), sum(move.startswith("st") for move in wide)


@needs_nvrtc
def test_copies_move_16_bytes_and_nothing_is_computed() -> None:
    for bits in ("uint16", "uint32", "uint64"):
        source = cuda_source(cuda_copies._COPY, (bits,), (bits,))
        ptx = compile_source(source.text, 90, ptx=True).decode()
        body = ptx[ptx.index("_contiguous(") : ptx.index("_rows(")]
        assert wide_moves(body) == (3, 3)
        assert "cvt.rn" not in body
    for dtypes in (("float32", "float16"), ("bfloat16", "float32"), ("scalar", "bool"), ("int64", "float32")):
        assert compile_source(cuda_source(cuda_copies._COPY, dtypes[:1], dtypes[1:]).text, 90)


@needs_nvrtc
@pytest.mark.parametrize("dtype", FLOATS)
def test_several_copies_in_a_launch_compile(dtype: str) -> None:
    wide = "float64" if dtype == "float64" else "float32"
    for count, given in ((4, dtype), (3, wide), (1, dtype)):
        source = cuda_source(cuda_copies._scaled(count), (*(given,) * count, "scalar"), (dtype,) * count)
        assert compile_source(source.text, 90)


@needs_nvrtc
@pytest.mark.parametrize("dtype", FLOATS)
def test_shares_of_extremes_compile_with_counts_in_the_compute_type(dtype: str) -> None:
    wide = "float64" if dtype == "float64" else "float32"
    for formula, kinds, out in (
        (cuda_sums._SHARES, (dtype, dtype, dtype, wide), dtype), (cuda_sums._IS_EXTREME, (dtype, dtype), wide),
    ):  # fmt: skip
        check_lint(compile_source(cuda_source(formula, kinds, (out,)).text, 90, ptx=True).decode(), dtype)


@needs_nvrtc
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("form", "ways"), [("columns_wide", 2), ("rows_warp", 1), ("rows_block", 1)])
def test_reductions_have_four_loads_of_16_bytes_in_flight(form: str, ways: int, dtype: str) -> None:
    ptx = compile_source(row_source("reduce.cu", dtype), 90, ptx=True).decode()
    body = ptx[ptx.index(f"{SOURCES['reduce.cu'].entry(f'sum_{form}', dtype)}(") :].partition(".entry")[0]
    assert wide_moves(body) == (5 * ways, 0)  # the fifth where fewer are left


@needs_nvrtc
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("file", "kernel", "arrays"),
    [("batch_norm.cu", "moments_parts", 1), ("batch_norm.cu", "norm_products_parts", 2),
     ("batch_norm.cu", "norm_products_relu_parts", 2), ("conv.cu", "depthwise_weight", 2)],
)  # fmt: skip
def test_sums_over_images_move_16_bytes_at_a_time(file: str, kernel: str, arrays: int, dtype: str) -> None:
    ptx = compile_source(row_source(file, dtype), 90, ptx=True).decode()
    body = ptx[ptx.index(f"{SOURCES[file].entry(f'{kernel}_wide', dtype)}(") :].partition(".entry")[0]
    assert wide_moves(body) == (5 * arrays, 0)  # four rows together, and one by one where fewer are left


@needs_nvrtc
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_updates_move_16_bytes_at_a_time(dtype: str) -> None:
    ptx = compile_source(row_source("optim.cu", dtype), 90, ptx=True).decode()
    tag = SOURCES["optim.cu"].entry("adam", dtype)
    body = ptx[ptx.index(f"{tag}(") :].partition(".entry")[0]
    assert wide_moves(body) == (5, 4)  # p, g, m, v and the largest v; all but g are written


@needs_nvrtc
@pytest.mark.parametrize(("dtype", "packs"), [("float32", 8), ("float16", 4)])
def test_rows_move_16_bytes_at_a_time(dtype: str, packs: int) -> None:
    ptx = compile_source(row_source("softmax.cu", dtype), 90, ptx=True).decode()
    body = ptx[ptx.index(f"{SOURCES['softmax.cu'].entry('softmax_vjp_warp', dtype)}(") :].partition(".entry")[0]
    loads, stores = wide_moves(body)
    assert loads >= 2 * packs  # two arrays in registers, and what longer rows need
    assert stores >= packs


@needs_nvrtc
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_long_rows_are_copied_to_shared_memory_16_bytes_at_a_time(dtype: str) -> None:
    source = SOURCES["softmax.cu"]
    ptx = compile_source(row_source("softmax.cu", dtype, "shared"), 90, ptx=True).decode()
    body = ptx[ptx.index(f"{source.entry('softmax_shared', dtype)}(") :].partition(".entry")[0]
    for move in ("ld.global", "st.shared", "ld.shared", "st.global.cs"):
        wide = [line for line in body.splitlines() if re.search(rf"{move}\.(v4\.\S?32|v2\.\S?64) ", line)]
        assert len(wide) >= 4, move


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file, source in SOURCES.items() if source.forms])
def test_what_a_kernel_over_rows_has_in_shared_memory_fits_beside_the_row(file: str) -> None:
    for dtype in FLOATS:
        ptx = compile_source(row_source(file, dtype, "shared"), 90, ptx=True).decode()
        static = re.findall(r"\.shared \.align \d+ \.b8 \w+\[(\d+)\]", ptx)
        assert static
        assert sum(map(int, static)) <= cuda_launch._STATIC


def spilt(cubin: bytes, but: int = 0) -> set[str]:
    """The kernels whose threads keep more than `but` bytes in local memory, because registers do not suffice."""
    return {name for name, taken in resources(cubin).items() if taken.local > but}


@needs_nvrtc
def test_registers_suffice_for_rows() -> None:
    source, form = SOURCES["layer_norm.cu"], "block256"
    cubin = compile_source(row_source(source.file, "float32", form), 90)
    assert set(resources(cubin)) == {source.entry(k, "float32") for k in source.kernels if source.form(k) == form}
    assert not spilt(cubin)
    many = """extern "C" __global__ void f(float* x, int n) {
      float a[64];
      for (int i = 0; i < 64; ++i) a[i] = x[i] * i;
      for (int i = 0; i < n; ++i) x[i] = a[i % 64];
    }"""
    assert spilt(compile_source(many, 90)) == {"f"}, "what is found by a number that no register has"


def room(file: str, form: str, dtype: str) -> int:
    """Blocks of a norm's gradient for whose registers a multiprocessor of sm_90 has room."""
    entry = SOURCES[file].entry(f"{file.removesuffix('.cu')}_vjp_all_{form}", dtype)
    registers = resources(compile_source(row_source(file, dtype, form), 90))[entry].registers
    threads = {"block64": 64, "block128": 128, "shared": 512}.get(form, 256)
    return 65536 // (-(-registers // 8) * 8 * threads)


@needs_nvrtc
@pytest.mark.parametrize(("form", "blocks"), cuda_launch.RESIDENT.items())
def test_units_that_keep_sums_fit_side_by_side(form: str, blocks: int) -> None:
    assert room("layer_norm.cu", form, "float32") == blocks


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("file", ["layer_norm.cu", "rms_norm.cu"])
def test_all_units_that_keep_sums_fit_side_by_side(file: str, dtype: str) -> None:
    assert not {form for form, blocks in cuda_launch.RESIDENT.items() if room(file, form, dtype) < blocks}


@needs_nvrtc
@pytest.mark.parametrize("form", SOURCES["softmax.cu"].forms)
def test_one_form_is_compiled_at_a_time(form: str) -> None:
    source = SOURCES["softmax.cu"]
    ptx = compile_source(row_source("softmax.cu", "float32", form), 90, ptx=True).decode()
    compiled = set(re.findall(r"\.entry (\w+)\(", ptx))
    assert compiled == {source.entry(k, "float32") for k in source.kernels if source.form(k) == form}


@needs_nvrtc
@pytest.mark.parametrize("file", SOURCES)
def test_a_row_source_compiles_for_float32(file: str) -> None:
    check_lint(compile_source(row_source(file, "float32"), 90, ptx=True).decode(), "float32")


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("arch", architectures())
@pytest.mark.parametrize(("file", "dtype"), ROWS)
def test_every_row_source_compiles(file: str, dtype: str, arch: int) -> None:
    cubin = compile_source(row_source(file, dtype), arch)
    if SOURCES[file].forms and dtype != "float64" and arch <= 90:  # what is shaped on: sm_100 and doubles keep some
        assert not spilt(cubin, but=16)
    if arch == 90:
        check_lint(compile_source(row_source(file, dtype), arch, ptx=True).decode(), dtype)


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("arch", architectures())
@pytest.mark.parametrize("dtype", FLOATS)
def test_every_formula_compiles(dtype: str, arch: int) -> None:
    # Functors have names of their own, so that many fit into one program: the skeleton is read once, not 174 times.
    everything = cases()
    for start in range(0, len(everything), 30):
        text = "\n".join(case.source(dtype).text for case in everything[start : start + 30])
        assert compile_source(text, arch)
        if arch == 90 and dtype != "float64":
            check_lint(compile_source(text, arch, ptx=True).decode(), dtype)


@needs_nvrtc
def test_the_lint_sees_a_double_and_the_compiler_a_mistake() -> None:
    leak = 'extern "C" __global__ void f(float* x) { *x = *x + 0.1; }'
    with pytest.raises(AssertionError, match="double arithmetic"):
        check_lint(compile_source(leak, 90, ptx=True).decode(), "float32")
    with pytest.raises(NvrtcError, match="undefined"):
        compile_source('extern "C" __global__ void f(float* x) { *x = nowhere; }', 90)


def test_generated_sources_are_current() -> None:
    found = {p.name: p.read_text() for p in (kernel_dir() / "generated").glob("*.cu")}
    wanted = generated()
    assert set(found) == set(wanted)
    stale = [name for name, text in wanted.items() if found[name] != text]
    assert not stale, f"run `python -m tests.cuda.library --write`: {stale}"


def test_every_source_file_is_registered_and_its_head_names_every_kernel() -> None:
    files = {p.name for p in kernel_dir().glob("*.cu")}
    assert files == set(SOURCES)
    for file, source in SOURCES.items():
        text = (kernel_dir() / file).read_text()
        head = text[: text.index("#include")]
        for kernel in source.kernels:
            family = re.sub(rf"_(warp|block|{source.form(kernel)})$", "", kernel)
            assert f"{family}(" in head, f"{file}: {family} is not described at the head"


def test_the_source_is_complete_in_itself() -> None:
    for text in (by_name("silu").source("float32").text, *(row_source(f, "float32") for f in SOURCES)):
        assert '#include "' not in text


@pytest.mark.parametrize(
    ("dtypes", "outs", "said"),
    [
        (("complex64", "float32"), ("float32",), "complex64"),
        (("float32",), ("float32",), "1 input"),
        (("float32", "float32"), ("scalar",), "scalar"),
    ],
)
def test_dtypes_that_no_kernel_takes_are_refused(dtypes: tuple[str, ...], outs: tuple[str, ...], said: str) -> None:
    with pytest.raises(FormulaError, match=said):
        cuda_source(trace(lambda x, y: x + y, "plus"), dtypes, outs)


def test_an_unknown_row_source_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"softmax\.cu"):
        row_source("sofmax.cu", "float32")
    with pytest.raises(ValueError, match="bfloat16"):
        row_source("softmax.cu", "int32")
    with pytest.raises(ValueError, match="four, sixteen, warp, block64, "):
        row_source("softmax.cu", "float32", "grid")
