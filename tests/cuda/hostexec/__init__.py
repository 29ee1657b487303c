"""Runs CUDA sources on the CPU: `HostModule(source).get_function(name)(grid, block, args, shared_mem=0)`.

The calling convention is that of `cupy.RawModule` and `cupy.RawKernel`, on NumPy arrays. Needs only g++; it shows
wrong arithmetic, wrong indexing, missing barriers and wrong argument lists, not speed and not memory races.
"""

from .build import compiler, missing_compiler
from .module import HostExecError, HostKernel, HostModule

__all__ = ["HostExecError", "HostKernel", "HostModule", "compiler", "missing_compiler"]
