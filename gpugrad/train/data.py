"""Examples on a device, and how training walks over them: in batches, in a seeded order, ahead of time.

The order of an epoch depends on the seed and the number of the epoch alone. Examples in main memory go to a GPU batch
by batch, while it computes (`backend.cuda_upload`). Where examples come from is the business of
`datasets`, how a batch is varied that of `augment`, and what is done with it the trainer's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg
from gpugrad.backend import backend_for, backend_of


@dataclass(frozen=True)
class Examples:
    """Inputs and labels on one device.

    Attributes:
        x: `(n, *features)`, of the model's dtype.
        y: `(n,)` int64 class numbers.
    """

    x: gg.Tensor
    y: gg.Tensor

    @classmethod
    def on(cls, device: gg.Device | str, x: NDArray[Any], y: NDArray[Any]) -> Examples:
        """Move host arrays of equal length to `device`.

        Raises:
            ValueError: the lengths differ.
        """
        if len(x) != len(y):
            raise ValueError(
                f"[Examples.on] x has {len(x)} rows and y has {len(y)} (x: {x.shape}, y: {y.shape}); "
                "expected one label for each row"
            )
        return cls(gg.asarray(x).to(device), gg.asarray(y).to(device))

    def __len__(self) -> int:
        return int(self.x.shape[0])


def epoch_order(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which epoch `epoch` visits `count` examples: `(count,)` int64, a permutation.

    It depends on `(seed, epoch)` alone, not on what was drawn before, so it is the same on every device and
    for every batch size.
    """
    return np.random.default_rng((seed, epoch)).permutation(count)


def batches(
    examples: Examples,
    batch_size: int,
    order: NDArray[np.int64] | None = None,
    *,
    device: gg.Device | str | None = None,
    prefetch: int = 2,
) -> Iterator[tuple[gg.Tensor, gg.Tensor]]:
    """Walk over the examples in batches; the last one may be smaller.

    Args:
        examples: what to walk over.
        batch_size: rows in a batch, at least 1.
        order: `(n,)` row numbers; omitted, the rows come as they lie and batches are views.
        device: where the batches shall be; the device of the examples if not given. Examples in main memory go to a GPU
            through pinned buffers on a stream of their own: a batch is copied while those before it are computed on,
            and the host waits for no kernel.
        prefetch: how many batches are on their way at most, 1 or more; each takes memory here and there.

    Yields:
        `(x, y)` of `(batch, *features)` and `(batch,)`. With an order, rows are gathered on the device of the
        examples: the order is sent there once, nothing else is transferred.

    Raises:
        ValueError: `batch_size` or `prefetch` is smaller than 1; or the examples are on a GPU and shall be elsewhere.
        IndexError: a row number of examples in main memory is out of range.
    """
    if batch_size < 1 or prefetch < 1:
        raise ValueError(f"[batches] batch_size = {batch_size}, prefetch = {prefetch}; expected at least 1")
    here = examples.x.device
    if device is not None and gg.device(device) != here:
        if here.type != "cpu":
            raise ValueError(
                f"[batches] the examples are on {here} and the batches shall be on {gg.device(device)}; batches are "
                "sent from main memory only: Examples.on('cpu', ...), or one device for both"
            )
        yield from _sent(examples, batch_size, order, device, prefetch)
        return
    x, y = examples.x.data, examples.y.data
    rows = None if order is None else gg.asarray(order).to(examples.x.device).data
    count = len(examples) if rows is None else len(rows)
    for start in range(0, count, batch_size):
        with backend_of(x).place():
            pick = slice(start, start + batch_size) if rows is None else rows[start : start + batch_size]
            batch = x[pick], y[pick]
        yield gg.asarray(batch[0]), gg.asarray(batch[1])


def _sent(
    examples: Examples, batch_size: int, order: NDArray[np.int64] | None, device: gg.Device | str, prefetch: int
) -> Iterator[tuple[gg.Tensor, gg.Tensor]]:
    """Batches of examples in main memory on a GPU, sent `prefetch` batches ahead."""
    count = len(examples) if order is None else len(order)
    if order is not None and count and (order.min() < 0 or order.max() >= len(examples)):
        numbers = f"numbers from {order.min()} to {order.max()}"
        raise IndexError(f"[batches] order has {numbers} for {len(examples)} examples; expected numbers of rows")
    sources = [examples.x.detach().numpy(), examples.y.detach().numpy()]
    uploads = backend_for(device).uploads(prefetch)
    under_way: deque[Any] = deque()
    try:
        for start in range(0, count, batch_size):
            stop = min(start + batch_size, count)
            under_way.append(uploads.send(sources, slice(start, stop) if order is None else order[start:stop]))
            if len(under_way) == prefetch:
                x, y = uploads.receive(under_way.popleft())
                yield gg.asarray(x), gg.asarray(y)
                del x, y  # so that what the caller has dropped is free for the next one
        while under_way:
            x, y = uploads.receive(under_way.popleft())
            yield gg.asarray(x), gg.asarray(y)
            del x, y
    finally:  # also where the caller stops early
        uploads.close()
