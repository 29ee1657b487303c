"""Training holds no more memory after ten thousand steps than after the first, without the cyclic collector."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import gpugrad as gg

STEPS = textwrap.dedent(
    """
    import gc
    import numpy as np
    import gpugrad as gg

    def resident():
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * 4096

    gg.manual_seed(0)
    first, last = gg.nn.Linear(16, 32), gg.nn.Linear(32, 4)
    net = gg.nn.Sequential(first, gg.nn.GELU(), gg.nn.LayerNorm(32), gg.nn.Dropout(0.1), last)
    optimizer = gg.optim.Adam(net.parameters(), lr=1e-3)
    x, y = gg.randn(32, 16), gg.randint(0, 4, (32,))

    def step():
        optimizer.zero_grad()
        gg.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

    gc.disable()
    for _ in range(500):
        step()
    before = resident()
    for _ in range(10_000):
        step()
    print(resident() - before)
    """
)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/statm")
def test_ten_thousand_training_steps_grow_the_process_by_less_than_a_megabyte():
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "GPUGRAD_DEVICE": "cpu"}
    out = subprocess.run([sys.executable, "-c", STEPS], env=env, capture_output=True, text=True, check=True)
    assert int(out.stdout) < 1 << 20


def test_backward_gives_buffers_back_as_it_goes():
    gg.cpu.empty_cache()
    n, layers = 1 << 20, 12
    x = gg.tensor(np.full(n, 0.5, np.float32), requires_grad=True)
    y = x
    for _ in range(layers):
        y = gg.sin(y)
    forward = gg.cpu.memory_stats().in_use_bytes
    y.backward(np.ones(n, np.float32))
    # Each residual is dropped once its rule has run, so the cotangents live in what the forward gave back.
    assert gg.cpu.memory_stats().held_bytes <= forward + 3 * x.nbytes
