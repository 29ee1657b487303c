"""Turns CUDA C++ text into a shared library: preprocess, mark the entry points, compile, cache by content.

What the CUDA functions do on the host is in `include/gg_host.h`; calling what was built is in `module`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

INCLUDE = Path(__file__).parent / "include"
# Kept through preprocessing, so that entry points and shared variables can be found in the expanded text.
_MARKS = ("-D__global__=__gg_global__", "-D__shared__=__gg_shared__", "-D__launch_bounds__=__gg_bounds__")
_FLAGS = (
    "-std=gnu++17",
    "-Og",
    "-fPIC",
    "-shared",
    "-w",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-U_FORTIFY_SOURCE",
)
_UNMARK = ("-D__gg_global__=", "-D__gg_bounds__(...)=")
_ENTRY = re.compile(
    r'extern\s*"C"\s*__gg_global__\s+(?:__gg_bounds__\s*\((?P<before>[^()]*)\)\s*)?void\s+'
    r"(?:__gg_bounds__\s*\((?P<after>[^()]*)\)\s*)?(?P<name>\w+)\s*\("
)
_DYNAMIC = re.compile(r"extern\s+__gg_shared__\s+(?:alignas\(\d+\)\s*)?([\w: ]+?)\s+(\w+)\s*\[\s*\]\s*;")
_STATIC = re.compile(r"__gg_shared__\s+(?:alignas\(\d+\)\s*)?([\w:<>, ]+?)\s+(\w+)((?:\s*\[[^\]]*\])*)\s*;")


class HostExecError(RuntimeError):
    """The host build or a launch failed; the message names the source line or the argument."""


@functools.cache
def compiler() -> str | None:
    """The C++ compiler's path: `$CXX` if it is set, else g++; None where there is none."""
    return shutil.which(os.environ.get("CXX", "g++"))


def missing_compiler() -> str | None:
    """Why host execution cannot run here, as a reason for a skip; None where it can."""
    return None if compiler() else "no C++ compiler (g++ or $CXX) to build kernels for the host with"


def watches_races() -> bool:
    """Whether kernels are built to tell of races (`gg_races.h`), which takes them several times as long."""
    return os.environ.get("GPUGRAD_HOSTEXEC_RACES") == "1"


def build(
    source: str, expressions: tuple[str, ...] = (), options: tuple[str, ...] = ()
) -> tuple[Path, list[tuple[str, int]]]:
    """Compile `source` and return the library and its entry points in order, each (name, most threads or 0).

    Args:
        source: CUDA C++; `extern "C"` kernels are found by themselves.
        expressions: Further entry points as C++ expressions, such as `"softmax<float>"`.
        options: Of the preprocessor, for folders of headers that come before ours.

    Raises:
        HostExecError: No compiler, or the compiler refused the text (its messages are in the error).
    """
    marks, flags = (("-DGG_RACES",), ("-fsanitize=thread",)) if watches_races() else ((), ())
    parts = (source, *expressions, *options, *_headers(), *_MARKS, *_FLAGS, *flags, _version())
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    library, listing = cache_dir() / f"{key}.so", cache_dir() / f"{key}.json"
    if not (library.exists() and listing.exists()):
        text, entries = _prepare(source, expressions, (*marks, *options))
        with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
            built, listed = Path(folder) / "kernel.so", Path(folder) / "kernel.json"
            if flags:  # linked apart, so that the sanitizer's own library stays out
                apart = built.with_suffix(".o")
                _run(["-c", *_FLAGS, *flags, *_UNMARK, "-o", str(apart), "-"], text)
                _run(["-shared", "-o", str(built), "-x", "none", str(apart)], "")
            else:
                _run([*_FLAGS, *_UNMARK, "-o", str(built), "-"], text)
            listed.write_text(json.dumps(entries))
            built.rename(library)  # atomic: another process may build the same text
            listed.rename(listing)
    return library, [(name, most) for name, most in json.loads(listing.read_text())]


def _prepare(
    source: str, expressions: tuple[str, ...], options: tuple[str, ...]
) -> tuple[str, list[tuple[str, int]]]:
    """The expanded text with shared variables and exports made explicit, and its entry points."""
    head = (*_MARKS, *options, "-std=gnu++17", "-E", "-I", str(INCLUDE), "-include", "gg_host.h", "-")
    text = _run([*head], source).decode()
    entries = [(m["name"], _most_threads(m["before"] or m["after"])) for m in _ENTRY.finditer(text)]
    names = [name for name, _ in entries]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise HostExecError(f"[hostexec] entry point defined twice: {', '.join(twice)}")
    entries += [(e, 0) for e in expressions]
    text = _DYNAMIC.sub(r"\1* \2 = (\1*)gg_dynamic;", text)
    text = _STATIC.sub(
        r"static char \2_tag; using \2_type = \1\3; "
        r"\2_type& \2 = *(\2_type*)gg_shared_variable(&\2_tag, sizeof(\2_type));",
        text,
    )
    exports = "".join(f"GG_EXPORT({i}, {name})\n" for i, (name, _) in enumerate(entries))
    # The macros of the header are gone from expanded text; the one that is still needed is repeated.
    return text + _EXPORT_MACRO + exports, entries


_EXPORT_MACRO = r"""
#define GG_EXPORT(i, ...) \
  extern "C" int gg_run_##i(const unsigned* d, size_t s, int o, void** a) { return gg_run(__VA_ARGS__, d, s, o, a); } \
  extern "C" const int* gg_signature_##i() { return gg_signature(__VA_ARGS__); }
"""


def _most_threads(bounds: str | None) -> int:
    number = re.match(r"\s*(\d+)", bounds or "")
    return int(number[1]) if number else 0


def _run(arguments: list[str], text: str) -> bytes:
    tool = compiler()
    if tool is None:
        raise HostExecError(f"[hostexec] {missing_compiler()}; on Debian: apt-get install g++")
    done = subprocess.run([tool, "-x", "c++", *arguments], input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise HostExecError(f"[hostexec] {tool} refused the source:\n{done.stderr.decode()[:4000]}")
    return done.stdout


def cache_dir() -> Path:
    """Where built libraries are kept: `$GPUGRAD_HOSTEXEC_CACHE`, else a folder of this user under the temp folder."""
    chosen = os.environ.get("GPUGRAD_HOSTEXEC_CACHE")
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"gpugrad-hostexec-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise HostExecError(
            f"[hostexec] {folder} belongs to another user; set GPUGRAD_HOSTEXEC_CACHE to a folder of yours"
        )
    return folder


@functools.cache
def _headers() -> tuple[str, ...]:
    return tuple(path.read_text() for path in sorted(INCLUDE.iterdir()))


@functools.cache
def _version() -> str:
    done = subprocess.run([compiler() or "g++", "--version"], capture_output=True, check=False)
    return done.stdout.decode().partition("\n")[0]
