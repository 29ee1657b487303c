"""What every test shares: where the markers `gpu` and `slow` skip, the seeded generator, the peer libraries.

Helpers of one family of tests live beside them, not here.
"""

import functools
import gc
import os
import zlib
from types import ModuleType

import numpy as np
import pytest

# A test says where its arrays live; what it leaves open is the CPU, on a machine with a GPU as well.
os.environ.setdefault("GPUGRAD_DEVICE", "cpu")
# Pictures are written to files; no test needs a display.
os.environ.setdefault("MPLBACKEND", "Agg")

try:
    from hypothesis import settings
except ImportError:  # a machine lent only for the tests marked gpu may lack it; tests that use it say so
    pass
else:
    # The same examples on each run, and no deadline: two busy cores are not a failure.
    settings.register_profile("gpugrad", derandomize=True, deadline=None, database=None)
    settings.load_profile("gpugrad")


@functools.cache
def _no_device() -> str | None:
    """Return why the tests marked `gpu` cannot run, or None where a device answers."""
    import gpugrad as gg

    return None if gg.cuda.is_available() else "no CUDA device answers (gpugrad.cuda.is_available() is False)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `slow` unless the run names the marker: `-m slow`, `-m "slow or not slow"`."""
    if "slow" in config.option.markexpr:
        return
    skip = pytest.mark.skip(reason="slow: run it with `pytest -m slow`")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    """Keep the garbage collector away from the tests themselves and from the modules they imported.

    They are some millions of objects, and a test that collects garbage would go through all of them each time.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # full collections come by the share of what is new in what the last one left


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `gpu` where no device answers; asked only when such a test is about to run."""
    if item.get_closest_marker("gpu") and (reason := _no_device()):
        pytest.skip(reason)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator seeded by the test's own name: the same numbers on each run, others in each test."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def torch() -> ModuleType:
    """PyTorch, for tests marked `peers`."""
    return pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.fixture(scope="session")
def jax() -> ModuleType:
    """JAX, for tests marked `peers`."""
    return pytest.importorskip("jax", reason="JAX is not installed")


@pytest.fixture(scope="session")
def autograd() -> ModuleType:
    """HIPS autograd, for tests marked `peers`."""
    return pytest.importorskip("autograd", reason="autograd is not installed")
