"""Scratch memory for matrix products: a piece for each stream, because two products at once must not share one.

The default stream's lasts. That of a stream of the user's own goes when the stream is gone and its last product is
over, and there are only so many of them.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, Final

import numpy as np

__all__ = ["Piece", "Scratch"]

_MOST: Final = 16  # pieces for streams of the user's own, beyond which idle ones go


class Piece:
    """The scratch memory of one stream.

    Attributes:
        address: where it begins.
        event: recorded after each product; None where nothing can come in between, on the default stream and those of
            compiled steps.
        user: gives the stream whose products were the last, as an object, or None where it is gone; on a thread's
            default stream, something that the thread holds.
    """

    __slots__ = ("address", "event", "gone", "memory", "user")

    def __init__(self, memory: Any, event: Any) -> None:
        self.memory, self.event = memory, event
        self.address: int = memory.data.ptr
        self.user: Any = None
        self.gone = False

    def is_idle(self) -> bool:
        """Whether all products that were asked for are over."""
        try:
            return self.event is None or bool(self.event.done)
        except RuntimeError:  # the event is part of a graph that somebody captures: nobody knows when it is over
            return False


class Scratch:
    """The scratch memory of one GPU's streams.

    Args:
        backend: of the GPU.
        nbytes: of each piece.
    """

    def __init__(self, backend: Any, nbytes: int) -> None:
        self.backend, self.nbytes = backend, nbytes
        self._cuda = backend.xp.cuda
        self._per_thread = int(self._cuda.runtime.streamPerThread)
        self._pieces: dict[Any, Piece] = {}
        self._thread = threading.local()

    def of(self, stream: Any) -> Piece:
        """The piece for the next product on a stream of CuPy's, which must be on the current GPU.

        What a product leaves there is not read by the next one; but the address of a stream that is gone may be
        another's: its products then wait for those of the old one.
        """
        key, user = stream.ptr, stream
        if key == self._per_thread:
            key, user = ("thread", threading.get_ident()), self._of_thread()
        found = self._pieces.get(key)
        if found is None:
            found = self._new(key)
        if found.event is not None and (found.user is None or found.user() is not user):
            if found.user is not None:
                stream.wait_event(found.event)
            self._note(found, key, user)
        return found

    def give(self, stream: Any, allocator: Any) -> None:
        """Have a piece for the stream of a compiled step, from its own memory, until `release`."""
        old = self._pieces.get(stream.ptr)
        if old is not None and old.event is not None:  # of a stream that is gone
            stream.wait_event(old.event)
        self._pieces[stream.ptr] = Piece(self._memory(allocator), None)

    def release(self, stream: int) -> None:
        """Forget the piece of a compiled step's stream, at its address; its memory goes with the step's."""
        self._pieces.pop(stream, None)

    def sweep(self) -> None:
        """Return the memory of streams that are gone, and whose products are over."""
        for key, piece in list(self._pieces.items()):
            if piece.gone and piece.is_idle():
                self._pieces.pop(key, None)

    def _new(self, key: Any) -> Piece:
        self.sweep()
        own = [(k, piece) for k, piece in self._pieces.items() if piece.event is not None]
        if len(own) >= _MOST:
            idle = [k for k, piece in own if piece.is_idle()]
            for k in idle[: len(own) - _MOST + 1]:  # the oldest; a stream that goes on gets another one
                self._pieces.pop(k, None)
        event = None if key == 0 else self._cuda.Event(disable_timing=True)
        made = Piece(self._memory(self.backend.xp.get_default_memory_pool().malloc), event)
        return self._pieces.setdefault(key, made)  # another thread may have been faster on the same stream

    def _memory(self, allocator: Any) -> Any:
        with self._cuda.using_allocator(allocator):
            return self.backend.empty((self.nbytes,), np.uint8)

    def _note(self, piece: Piece, key: Any, user: Any) -> None:
        """Remember who uses a piece; an object of CuPy's on a stream of others comes and goes without it."""
        ours = type(user) is _Token or (isinstance(user, self._cuda.Stream) and user.device_id >= 0)
        me = weakref.ref(self)

        def gone(reference: Any) -> None:  # holds no piece, which would then hold itself
            scratch = me()
            found = None if scratch is None else scratch._pieces.get(key)
            if scratch is not None and found is not None and found.user is reference:
                found.gone = True
                scratch.sweep()

        piece.user, piece.gone = weakref.ref(user, gone if ours else None), False

    def _of_thread(self) -> Any:
        """Something that is there as long as this thread."""
        if not hasattr(self._thread, "token"):
            self._thread.token = _Token()
        return self._thread.token


class _Token:
    """An object to refer to weakly."""
