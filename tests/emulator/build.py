"""Builds CuPy's module `cupy_backends.cuda.api.runtime` against `runtime.cpp`, beside a copy of its package.

CuPy's wheels have CUDA's runtime linked into that module, so it is compiled anew, from the sources of the version
that is installed; the driver is looked for by name at run time, where ours is found first.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_MODULE = Path("cupy_backends/cuda/api/runtime")
_CUDA = 12090  # the version that CuPy's wheels for CUDA 12 are compiled for
_TOOLS = ("cython>=3.1,<3.2", "setuptools")
_HEADERS = ("nvidia-cuda-nvcc-cu12==12.9.86", "nvidia-cuda-runtime-cu12==12.9.79")
_PROFILER = 'extern "C" { int cudaProfilerStart(); int cudaProfilerStop(); }\n'


@dataclass(frozen=True)
class Paths:
    """What a process needs to find: packages in the place of the installed ones, and libraries."""

    packages: tuple[Path, ...]
    libraries: tuple[Path, ...]


def built(folder: Path) -> Paths:
    """The emulator in `folder`, built there if this version of it is not yet.

    Raises:
        RuntimeError: CuPy for CUDA 12 is not installed.
        subprocess.CalledProcessError: something could not be fetched or compiled; what is printed says why.
    """
    version, packages = _installed()
    library, extension = folder / "libcuda.so.1", folder / "packages" / _MODULE.with_suffix(_suffix())
    if not extension.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fetch(folder, version)
        shutil.copytree(packages / "cupy_backends", folder / "packages" / "cupy_backends", dirs_exist_ok=True)
        extension.unlink(missing_ok=True)
    if not library.exists() or library.stat().st_mtime < (HERE / "runtime.cpp").stat().st_mtime:
        extension.unlink(missing_ok=True)
        _compile(folder, version, library, extension)
    nvrtc = packages / "nvidia" / "cuda_nvrtc" / "lib"
    return Paths((folder / "packages",), (folder, nvrtc))


def _installed() -> tuple[str, Path]:
    try:
        found = importlib.metadata.distribution("cupy-cuda12x")
    except importlib.metadata.PackageNotFoundError:
        raise RuntimeError("[emulator] CuPy for CUDA 12 is not installed: pip install cupy-cuda12x") from None
    return found.version, Path(str(found.locate_file("")))


def _suffix() -> str:
    return str(sysconfig.get_config_var("EXT_SUFFIX"))


def _run(*command: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    env = {**os.environ, **(env or {})}
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-8000:], file=sys.stderr)
        done.check_returncode()
    return done.stdout


def _fetch(folder: Path, version: str) -> None:
    """CuPy's sources, CUDA's headers and Cython, in folders of their own."""
    pip = (sys.executable, "-m", "pip")
    fetch = (*pip, "download", "--quiet", "--no-deps", "--dest", str(folder / "fetched"))
    _run(*fetch, *_HEADERS)
    _run(*pip, "install", "--quiet", "--upgrade", "--target", str(folder / "tools"), *_TOOLS)
    # pip asks the sources for their metadata, which they give without CUDA where they are to be documented only.
    environment = {"CUPY_INSTALL_USE_STUB": "1", "PYTHONPATH": str(folder / "tools")}
    _run(*fetch, "--no-build-isolation", "--no-binary", ":all:", f"cupy=={version}", env=environment)
    for wheel in (folder / "fetched").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder / "headers")
    with tarfile.open(folder / "fetched" / f"cupy-{version}.tar.gz") as sources:
        sources.extractall(folder / "sources", filter="data")


def _compile(folder: Path, version: str, library: Path, extension: Path) -> None:
    """The runtime and driver as one library, and CuPy's module that calls it."""
    sources = folder / "sources" / f"cupy-{version}"
    (folder / "include").mkdir(exist_ok=True)
    (folder / "include" / "cuda_profiler_api.h").write_text(_PROFILER)
    headers = [folder / "include", *(folder / "headers" / "nvidia").glob("*/include")]
    include = [f"-I{h}" for h in headers]
    compiler = os.environ.get("CXX", "g++")
    flags = ("-O1", "-w", "-fPIC", "-std=c++17")
    text, compiled = folder / "runtime.cpp", folder / "runtime.o"
    constants = f"CUPY_CUDA_VERSION={_CUDA},CUPY_HIP_VERSION=0,CUPY_USE_CUDA_PYTHON=False,CUPY_CUFFT_STATIC=False"
    directives = "embedsignature=True,c_api_binop_methods=True,binding=False,freethreading_compatible=True"
    _run(
        sys.executable, "-m", "cython", "-3", "--cplus", "-E", constants, "-X", directives, "-o", str(text),
        str(_MODULE.with_suffix(".pyx")), env={"PYTHONPATH": str(folder / "tools")}, cwd=sources,
    )  # fmt: skip
    near = [f"-I{sources / _MODULE.parent}", f"-I{sources}", f"-I{sysconfig.get_paths()['include']}"]
    _run(compiler, *flags, *near, *include, "-c", str(text), "-o", str(compiled))
    _run(compiler, *flags, *include, "-c", str(HERE / "runtime.cpp"), "-o", str(folder / "emulator.o"))
    (folder / "rest.cpp").write_text(_rest(compiled, folder / "emulator.o"))
    made = (str(folder / "emulator.o"), str(folder / "rest.cpp"))
    _run(compiler, *flags, "-shared", *made, "-Wl,-soname,libcuda.so.1", "-o", str(library))
    _run(compiler, "-shared", str(compiled), str(library), f"-Wl,-rpath,{folder}", "-o", str(extension))


def _rest(caller: Path, ours: Path) -> str:
    """The functions of the runtime that CuPy's module names and we do not have: each says that it is not supported."""
    asked = set(re.findall(r"\bU (cuda\w+)$", _run("nm", "-u", str(caller)), re.MULTILINE))
    have = set(re.findall(r"\bT (cuda\w+)$", _run("nm", str(ours)), re.MULTILINE))
    return "".join(f'extern "C" int {name}() {{ return 801; }}\n' for name in sorted(asked - have))
