"""The stand-in for CuPy as a fixture: a test that names `gpu` runs the GPU branch on the CPU."""

from collections.abc import Iterator

import pytest

from tests.cuda.hostexec import missing_compiler
from tests.standin import State, installed


@pytest.fixture
def gpu() -> Iterator[State]:
    """One GPU, with everything that the stand-in counts set to zero."""
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with installed() as state:
        yield state


@pytest.fixture
def two_gpus() -> Iterator[State]:
    """A machine with two GPUs."""
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with installed(devices=2) as state:
        yield state


@pytest.fixture
def gpu_with_cudnn() -> Iterator[State]:
    """One GPU on a machine with cuDNN."""
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with installed(cudnn=True) as state:
        yield state


@pytest.fixture
def gpu_without_nvmath() -> Iterator[State]:
    """One GPU on a machine without the bindings of cuBLASLt: CuPy computes the matrix products."""
    if missing_compiler():
        pytest.skip(str(missing_compiler()))
    with installed(nvmath=False) as state:
        yield state
