"""Updates that a user's optimizer defines itself: taken back on the device where a loss scale says so, and recorded.

Such an update is any Python on arrays. What it does to the arrays it is given can be taken back without knowing on the
host whether it must be; what it does on the host cannot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from ..backend import capturing

_PLAIN: Final = (bool, int, float, complex, str, type(None))


def is_plain(value: Any) -> bool:
    """Whether a value is a number or a text, or a tuple of these: what can be compared before and after an update."""
    return isinstance(value, _PLAIN) or (type(value) is tuple and all(map(is_plain, value)))


@contextmanager
def undone(bucket: Any, found: Any) -> Iterator[None]:
    """A block after which the bucket's parameters and states are what they were, where the device's `found` is not 0.

    Holds a copy of them meanwhile.
    """
    backend = bucket.backend
    arrays = [*bucket.arrays, *(a for each in bucket.state.values() for a in each)]
    before = [a.copy() for a in arrays]
    yield
    bad = (found != 0).reshape(())
    for array, old in zip(arrays, before, strict=True):
        if array.dtype.kind == "V":  # bfloat16, whose bits CuPy copies as integers
            array, old = array.view(np.uint16), old.view(np.uint16)
        backend.xp.copyto(array, old, where=bad)


class HostSide:
    """What an update may have changed on the host: taken down before it, to be compared and put back.

    Args:
        kept: dictionaries whose entries an update may replace.
        lists: lists likewise.
    """

    def __init__(self, kept: list[dict[Any, Any]], lists: list[list[Any]]) -> None:
        self._kept = [(each, dict(each)) for each in kept]
        self._lists = [(each, list(each)) for each in lists]

    def changed(self) -> bool:
        """Whether an entry is new, gone or another object (of random numbers' places: another number)."""
        listed = [(dict(enumerate(now)), dict(enumerate(before))) for now, before in self._lists]
        return not all(_same(now, before) for now, before in (*self._kept, *listed))

    def put_back(self) -> None:
        """Make it what it was."""
        for now, before in self._kept:
            now.clear()
            now.update(before)
        for listed, elements in self._lists:
            listed[:] = elements


def _same(now: Mapping[Any, Any], before: Mapping[Any, Any]) -> bool:
    return now.keys() == before.keys() and all(now[k] is v or (is_plain(v) and now[k] == v) for k, v in before.items())


def _each(attributes: Mapping[str, Any], kind: type) -> list[Any]:
    return [value for value in attributes.values() if type(value) is kind]


def run(optimizer: Any, bucket: Any, grads: list[Any], group: dict[str, Any], found: Any) -> bool:
    """Run an update of the user's own.

    Args:
        optimizer: that defines it.
        bucket: its parameters.
        grads: their gradients.
        group: options.
        found: (1,) int32, not 0 where the update is to be taken back; None where it is not.

    Returns:
        Whether it changed something on the host, and `found` had to be read for it, which waits.

    Raises:
        CaptureError: a step is being recorded, and a replay would not do what the update does on the host.
    """
    capture = capturing.current()
    recording = capture is not None and capture.recording
    if found is None and not recording:
        optimizer.update(bucket, grads, group)
        return False
    own = {k: v for k, v in vars(optimizer).items() if k not in optimizer.bookkeeping}
    # The attributes are looked at through a copy: the optimizer's own dictionary has more than these.
    host = HostSide(
        [group, bucket.state, *map(optimizer.state.__getitem__, bucket.parameters), *_each(own, dict)],
        [bucket.arrays, *bucket.state.values(), bucket.backend._stream, *_each(own, list)],
    )
    numbers = 0 if capture is None else capture.numbers
    if found is None:
        optimizer.update(bucket, grads, group)
    else:
        with undone(bucket, found), bucket.backend.optim.guarded(found, bucket.skipped, bucket.count + 1):
            optimizer.update(bucket, grads, group)
    if capture is not None and recording and capture.numbers != numbers:
        raise capturing.CaptureError(
            "an optimizer's own update calls that of gg.optim, whose rate and number of steps a replay would not renew"
        )
    now = {k: v for k, v in vars(optimizer).items() if k not in optimizer.bookkeeping}
    if _same(now, own) and not host.changed():
        return False
    if recording or bool(bucket.backend.to_host(found)[0]):
        host.put_back()
        for name in now:
            del optimizer.__dict__[name]
        optimizer.__dict__.update(own)
    if recording:
        raise capturing.CaptureError("an optimizer's own update counts on the host, which a replay would not do")
    return True
