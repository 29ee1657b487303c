"""Speed and memory of gpugrad beside PyTorch, JAX, autograd and plain NumPy.

The paired runner (`python -m benchmarks.paired`), the table of results and the pytest-benchmark files live
here. Nothing of this folder is installed with gpugrad, and gpugrad imports nothing from it.
"""
