"""Builds many kernels at once: one translation unit costs a fraction of as many small ones.

`collected()` notes the sources that a computation would launch, `build_together` builds them for the stand-in.
"""

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from gpugrad.fusion.cuda_sources import inline_includes
from tests.cuda.hostexec import HostModule

from .state import STATE

_SKELETON = '#include "elementwise.cuh"\n'
_PARTS = 4


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Launch nothing in here, and collect the sources of what would have been launched."""
    STATE.recording = []
    try:
        yield STATE.recording
    finally:
        STATE.recording = None


def _parts(codes: Iterable[str]) -> list[dict[str, str]]:
    """Sources of formulas without their common skeleton, in groups in which no kernel has the name of another."""
    skeleton = inline_includes(_SKELETON)
    groups: list[dict[str, str]] = [{} for _ in range(_PARTS)]
    names: list[set[str]] = [set() for _ in groups]
    for k, code in enumerate(dict.fromkeys(codes)):
        if skeleton not in code:
            continue
        body = code.replace(skeleton, "")
        name = body.partition("struct ")[2].partition(" ")[0]
        free = [g for g in range(k, k + _PARTS) if name not in names[g % _PARTS]]
        if free:
            names[free[0] % _PARTS].add(name)
            groups[free[0] % _PARTS][code] = body
    return [g for g in groups if g]


def build_together(codes: Iterable[str]) -> None:
    """Build the sources of formulas among `codes` in a few translation units, on all cores."""
    skeleton = inline_includes(_SKELETON)

    def build(group: dict[str, str]) -> None:
        heads = ["GG_HALF", "GG_BFLOAT16"]
        used = [h for h in heads if any(f"#define {h}" in body for body in group.values())]
        bodies = [body.replace(f"#define {h}\n", "") for body in group.values() for h in (*used, "")][:: len(used) + 1]
        text = "\n".join([*(f"#define {h}" for h in used), skeleton, *bodies])
        module = HostModule(text)
        STATE.prebuilt.update(dict.fromkeys(group, module))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, _parts(code for code in codes if code not in STATE.prebuilt)))
