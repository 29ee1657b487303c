"""The suite `loops`: parts of one array, read or written one after the other, as recurrences written out do it.

gpugrad's and PyTorch's programs are the same text. One call is a forward and a backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from benchmarks.data import SEED, digest

Loop = Callable[[Any, Any, int], Any]  # of a library, an array and a number of steps: a loss


def _read(library: Any, x: Any, steps: int) -> Any:
    """A recurrence over the rows of an array."""
    h = x[0]
    for t in range(1, steps):
        h = library.tanh(x[t] + h)
    return h.sum()


def _written(library: Any, x: Any, steps: int) -> Any:
    """The states of a recurrence, written to the rows of an array."""
    found, h = library.zeros(tuple(x.shape), device=x.device), x[0]
    for t in range(steps):
        h = library.tanh(h)
        found[t] = h
    return (found * found).sum()


def _added(library: Any, x: Any, steps: int) -> Any:
    """Something added to each row in turn."""
    found, h = x * 1.0, x[0]
    for t in range(steps):
        h = library.tanh(h)
        found[t] += h
    return (found * found).sum()


def _looked_up(library: Any, x: Any, steps: int) -> Any:
    """Rows of a table by their numbers, some at each step, as a decoder embeds what it has found."""
    picks = np.random.default_rng(SEED).integers(0, len(x), (steps, 8))
    h = library.zeros((8, *x.shape[1:]), device=x.device)
    for t in range(steps):
        h = library.tanh(library.nn.functional.embedding(library.tensor(picks[t], device=x.device), x) + h)
    return h.sum()


def _split(library: Any, x: Any, steps: int) -> Any:
    """An array in three, as the products of attention are."""
    del steps
    q, k, v = x.split(x.shape[1] // 3, 1)
    return (library.tanh(q) * k + v).sum()


LOOPS: Final[dict[str, Loop]] = {
    "rows read": _read, "rows written": _written, "rows added to": _added, "rows looked up": _looked_up,
    "columns split": _split,
}  # fmt: skip
SHAPES: Final[dict[str, dict[str, tuple[int, int]]]] = {
    "full": {
        "rows read": (400, 2048), "rows written": (400, 2048), "rows added to": (400, 2048),
        "rows looked up": (20_000, 64), "columns split": (1024, 1536),
    },
    "smoke": dict.fromkeys(LOOPS, (6, 6)),
}  # fmt: skip
STEPS: Final = {"rows looked up": 100}


def loop_functions(library: Any, device: str, params: dict[str, Any]) -> tuple[Callable[[], Any], ...]:
    """Forward and backward of one of them, by gpugrad or PyTorch; what goes before; its numbers."""
    rng = np.random.default_rng(SEED)
    x = library.tensor(rng.standard_normal(params["shape"], dtype=np.float32), device=device, requires_grad=True)
    loop = LOOPS[params["loop"]]

    def fresh() -> None:
        x.grad = None

    def run() -> None:
        loop(library, x, params["steps"]).backward()

    def check() -> list[float]:
        fresh()
        run()
        return digest(x.grad.detach().cpu().numpy())

    return run, fresh, check
