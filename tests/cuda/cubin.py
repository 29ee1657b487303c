"""What a compiled kernel takes of a multiprocessor: read from its cubin, an ELF file, without a device or a tool."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SYMBOLS, _FRAME, _REGISTERS = 2, 0x11, 0x2F  # a section's type; attributes of `.nv.info` that name a function
_VALUES_BY_SIZE = 4  # the format of such attributes


@dataclass(frozen=True)
class Resources:
    """Registers of a thread, and bytes of local memory that it has for what registers do not hold."""

    registers: int
    local: int


def resources(cubin: bytes) -> dict[str, Resources]:
    """What each kernel of a cubin takes, by its name."""
    start, count, names_at = (
        struct.unpack_from(kind, cubin, at)[0] for kind, at in (("<Q", 0x28), ("<H", 0x3C), ("<H", 0x3E))
    )
    sections = [struct.unpack_from("<IIQQQQIIQQ", cubin, start + 64 * i) for i in range(count)]
    names = sections[names_at][4]
    symbols = next(s for s in sections if s[1] == _SYMBOLS)
    texts = sections[symbols[6]][4]

    def text(at: int) -> str:
        return cubin[at : cubin.index(b"\0", at)].decode()

    found: dict[str, dict[int, int]] = {}
    for section in sections:
        if text(names + section[0]) != ".nv.info":
            continue
        at, end = section[4], section[4] + section[5]
        while at < end:
            kind, attribute, size = struct.unpack_from("<BBH", cubin, at)
            if kind == _VALUES_BY_SIZE:
                if attribute in (_FRAME, _REGISTERS):
                    symbol, value = struct.unpack_from("<II", cubin, at + 4)
                    name = text(texts + struct.unpack_from("<I", cubin, symbols[4] + 24 * symbol)[0])
                    found.setdefault(name, {})[attribute] = value
                at += size
            at += 4
    return {name: Resources(a[_REGISTERS], a.get(_FRAME, 0)) for name, a in found.items() if _REGISTERS in a}
