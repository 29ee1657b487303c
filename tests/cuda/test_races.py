"""No two threads of a kernel meet at a byte that one of them writes, unless a barrier is between: watched, not guessed.

Kernels are built so that each access to memory is told (`hostexec/include/gg_races.h`), and run as the other tests of
this folder run them: a part of those on each push, all in all types in the run marked `slow`. Any test is watched by

    GPUGRAD_HOSTEXEC_RACES=1 python -m pytest ...
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cuda.hostexec import HostExecError, HostModule, missing_compiler

pytestmark = [
    pytest.mark.skipif(missing_compiler() is not None, reason=str(missing_compiler())),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is watched is found by Linux's loader"),
]
ROOT = Path(__file__).resolve().parents[2]

SOURCE = r"""
extern "C" __global__ void behind_a_barrier(float* x) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  float v = s[(threadIdx.x + 1) % 64];
  __syncthreads();
  s[threadIdx.x] = v;
  x[threadIdx.x] = s[threadIdx.x];
}
extern "C" __global__ void written_again_too_early(float* x) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = s[(threadIdx.x + 1) % 64];
  s[threadIdx.x] = 0;
}
extern "C" __global__ void read_too_early(float* x) {
  __shared__ float s;
  if (threadIdx.x == 0) s = 2;
  x[threadIdx.x] = s;
}
extern "C" __global__ void one_word_in_device_memory(float* x) { x[0] = 1; }
extern "C" __global__ void blocks_that_meet(float* x) {
  if (threadIdx.x == 0) x[blockIdx.x / 2] = x[8];
}
extern "C" __global__ void bytes_of_one_word(unsigned char* x) { x[threadIdx.x] = x[threadIdx.x] + 1; }
extern "C" __global__ void within_a_warp(float* x) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  x[threadIdx.x] = s[31 - threadIdx.x];
}
extern "C" __global__ void a_shuffle_is_no_barrier(float* x) {
  __shared__ float s[32];
  s[threadIdx.x] = __shfl_xor_sync(~0u, x[threadIdx.x], 1);
  x[threadIdx.x] = __shfl_xor_sync(~0u, s[31 - threadIdx.x], 1);
}
"""


@pytest.fixture(scope="module")
def watched() -> HostModule:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUGRAD_HOSTEXEC_RACES", "1")
        return HostModule(SOURCE)


@pytest.mark.parametrize(
    ("name", "blocks", "threads", "where"),
    [
        ("written_again_too_early", 1, 64, "shared"), ("read_too_early", 1, 64, "shared"),
        ("one_word_in_device_memory", 1, 2, "device"), ("blocks_that_meet", 2, 32, "device"),
        ("a_shuffle_is_no_barrier", 1, 32, "shared"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("backwards", [False, True])
def test_a_race_is_told(
    watched: HostModule, name: str, blocks: int, threads: int, where: str, backwards: bool
) -> None:
    with pytest.raises(HostExecError, match=rf"race: threads \d+ and \d+ meet in {where} memory, one of them writes"):
        watched.get_function(name)((blocks,), (threads,), (np.ones(64, np.float32),), backwards=backwards)


def test_what_barriers_or_addresses_part_is_none(watched: HostModule) -> None:
    x = np.arange(64, dtype=np.float32)
    for _ in range(2):  # a launch comes after the one before
        watched.get_function("behind_a_barrier")((1,), (64,), (x,))
    assert x.tolist() == np.roll(np.arange(64), -2).tolist()
    watched.get_function("within_a_warp")((1,), (32,), (x,))
    assert x[:32].tolist() == np.roll(np.arange(64), -2)[31::-1].tolist()
    some = np.zeros(64, np.uint8)
    watched.get_function("bytes_of_one_word")((1,), (64,), (some,))
    assert some.tolist() == [1] * 64


# One number of columns for each form of the kernels over rows, and the other families in one type.
FORMS = "four-10 sixteen-250 warp-1001 block64-1604 block128-2049 block256-4097 shared-515".split()
EVERY = "cuda/test_row_forms cuda/test_row_kernels cuda/test_reductions cuda/test_update_kernels"
EVERY += " cuda/test_window_kernels cuda_backend/test_mean_losses cuda_backend/test_long_rows"
EVERY += " cuda_backend/test_pieces_of_rows"
SOME = {
    "cuda/test_row_forms": f"float32 and on16 and ({' or '.join(FORMS)})",
    "cuda/test_reductions": "float32 and (every_operation or divides_once)",
    "cuda/test_window_kernels": "float32 and (sums_of or depthwise)",
    "cuda/test_update_kernels": "float32 and norm_of_all",
    "cuda_backend/test_mean_losses": "float32",
}


_LONG = ("cuda/test_reductions", "cuda/test_window_kernels")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in _LONG)) for n in SOME])
def test_kernels_that_share_memory_have_none(name: str) -> None:
    needs_torch(name)
    watch("-k", SOME[name], f"tests/{name}.py")


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY.split())
def test_no_kernel_has_any(name: str) -> None:
    needs_torch(name)
    watch(f"tests/{name}.py")


def needs_torch(name: str) -> None:
    if name == "cuda_backend/test_mean_losses":
        pytest.importorskip("torch")


def watch(*arguments: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"GPUGRAD_HOSTEXEC_RACES": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
