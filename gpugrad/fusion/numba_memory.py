"""Numba intrinsics below arrays: addresses, calls through a pointer, atomic counters, giving up the processor.

Only the team of threads that run compiled loops needs them (`numba_team`); the arithmetic is in `numba_ir`.
"""

from __future__ import annotations

import os
import platform
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from .numba_ir import inline, intrinsic

_WORD = ir.IntType(64)


def _slot(builder: Any, address: Any, index: Any) -> Any:
    return builder.gep(builder.inttoptr(address, _WORD.as_pointer()), [index])


@intrinsic
def load(typingctx: Any, address: Any, index: Any) -> Any:
    """The integer in slot `index` of the table of 64-bit slots at `address`, in order with other threads' stores."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_slot(builder, *args), "seq_cst", 8)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def store(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Put an integer into a slot; what this thread stored before is seen by whoever sees it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _slot(builder, *args[:2]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def fetch_add(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Add to a slot in one step; gives what it held before."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.atomic_rmw("add", _slot(builder, *args[:2]), args[2], "seq_cst")

    return types.int64(types.int64, types.int64, types.int64), codegen


@intrinsic
def number_at(typingctx: Any, address: Any, index: Any) -> Any:
    """The float64 in a slot."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.load(_slot(builder, *args)), ir.DoubleType())

    return types.float64(types.int64, types.int64), codegen


@intrinsic
def call_strip(typingctx: Any, function: Any, table: Any, start: Any, stop: Any) -> Any:
    """Call the C function `int64 (table, start, stop)` at an address."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_WORD, [_WORD] * 3)
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int64(types.int64, types.int64, types.int64, types.int64), codegen


def pointer_to(element: Any) -> Any:
    """A function `p(address)` giving a typed pointer to elements of a Numba type, for `numba.carray`."""
    build: Any = types.CPointer
    kind = build(element)

    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(kind))

        return kind(types.int64), codegen

    return pointer


float32_at, float64_at, bool_at, byte_at = map(pointer_to, (types.float32, types.float64, types.boolean, types.uint8))


@intrinsic
def copy(typingctx: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy `count` bytes from one address to another."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        to, origin = (builder.inttoptr(a, ir.IntType(8).as_pointer()) for a in args[:2])
        move: Any = cgutils.raw_memcpy
        move(builder, to, origin, args[2], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def clear(typingctx: Any, target: Any, count: Any) -> Any:
    """Set `count` bytes from an address on to zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        fill: Any = cgutils.memset
        fill(builder, builder.inttoptr(args[0], ir.IntType(8).as_pointer()), args[1], 0)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for the cache line at an address, which may lie anywhere, to be brought near."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        declare: Any = cgutils.get_or_insert_function
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = declare(builder.module, kind, "llvm.prefetch.p0")
        # To be read, into the second level, as data.
        builder.call(function, [builder.inttoptr(args[0], pointer), number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


# What a thread that looks for a change tells its core meanwhile, so as to leave the memory bus alone.
_X86 = platform.machine().lower() in ("x86_64", "amd64")


@intrinsic
def relax(typingctx: Any) -> Any:
    """Wait some tens of nanoseconds, without leaving the processor."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if _X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", fnty=kind), [])
        return context.get_dummy_value()

    return types.void(), codegen


_sched_yield = types.ExternalFunction("sched_yield", types.int32())
_POSIX = hasattr(os, "sched_yield")


@inline
def give_way() -> Any:
    """Let another thread that waits for this processor run, where the system has a call for it."""
    if _POSIX:
        _sched_yield()
    else:
        relax()
