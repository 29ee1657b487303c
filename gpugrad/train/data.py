"""Examples on a device, and how training walks over them: in batches, in a seeded order.

The order of an epoch depends on the seed and the number of the epoch alone. Where examples come from is the business of
`datasets`, how a batch is varied that of `augment`, and what is done with it the trainer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import gpugrad as gg


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
    examples: Examples, batch_size: int, order: NDArray[np.int64] | None = None
) -> Iterator[tuple[gg.Tensor, gg.Tensor]]:
    """Walk over the examples in batches; the last one may be smaller.

    Args:
        examples: what to walk over.
        batch_size: rows in a batch, at least 1.
        order: `(n,)` row numbers; omitted, the rows come as they lie and batches are views.

    Yields:
        `(x, y)` of `(batch, *features)` and `(batch,)`. With an order, rows are gathered on the device of the
        examples: the order is sent there once, nothing else is transferred.

    Raises:
        ValueError: `batch_size` is smaller than 1.
    """
    if batch_size < 1:
        raise ValueError(f"[batches] batch_size = {batch_size}; expected at least 1")
    x, y = examples.x.data, examples.y.data
    rows = None if order is None else gg.asarray(order).to(examples.x.device).data
    count = len(examples) if rows is None else len(rows)
    for start in range(0, count, batch_size):
        pick = slice(start, start + batch_size) if rows is None else rows[start : start + batch_size]
        yield gg.asarray(x[pick]), gg.asarray(y[pick])
