"""How each library does each job: one module a library, each with one class made by `load(name)`.

A library module is imported only in the worker process that measures it.
"""

from __future__ import annotations

import importlib

from benchmarks.libs.base import Library

# Name on the command line -> module, class, environment of its worker.
LIBRARIES: dict[str, tuple[str, dict[str, str]]] = {
    "gpugrad": ("gpugrad_lib", {"GPUGRAD_NUMBA": "1"}),
    "gpugrad-numpy": ("gpugrad_lib", {"GPUGRAD_NUMBA": "0"}),
    "torch": ("torch_lib", {}),
    "jax": ("jax_lib", {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}),
    "autograd": ("autograd_lib", {}),
    "numpy": ("numpy_lib", {}),
    "cupy": ("cupy_lib", {}),
}


def load(name: str, device: str) -> Library:
    """Imports the module of one library and makes its `Library` for a device ("cpu" or "cuda").

    Raises:
        ImportError: the library, or an extra that this variant needs, is not installed.
        RuntimeError: the library has no such device here.
    """
    module = importlib.import_module(f"benchmarks.libs.{LIBRARIES[name][0]}")
    library: Library = module.make(name, device)
    return library
