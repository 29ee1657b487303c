"""cuDNN on one GPU, through its Python front end (`nvidia-cudnn-frontend`): handle, plans, workspace, refusals.

Graphs are described in `cudnn_graphs`. A plan is made once for each question (operation, shapes, type, geometry,
precision) and kept; a question that cuDNN refuses is kept too, with its reason, and its callers go another way.
Nothing waits for the device.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from ..fusion import trace
from . import cudnn_graphs, precision
from .base import Array, Running
from .conv import Geometry
from .cuda_copies import dense
from .cuda_windows import channels_last, channels_second, steps
from .cudnn_graphs import TYPES, Builder

_MAX_PLANS: Final = 1024
_ALIGNED: Final = 16  # bytes: what plans are made for


# Running mean and variance towards those of a batch; `unbiased` is what makes its variance so.
_MOVE: Final = trace(
    lambda mean, variance, of_batch, rate, eps, share, unbiased: (
        mean * (1.0 - share) + of_batch * share,
        variance * (1.0 - share) + (1.0 / (rate * rate) - eps) * unbiased * share,
    ),
    "running_statistics",
)


class _Plan:
    """A graph that can run, what it needs beside its arrays, and the question that it answers."""

    __slots__ = ("graph", "key", "workspace")

    def __init__(self, graph: Any, workspace: int, key: Any) -> None:
        self.graph, self.workspace, self.key = graph, workspace, key


class Library:
    """cuDNN for the arrays of one backend.

    Args:
        backend: of the GPU; allocates results and workspaces, and says which stream is current.

    Attributes:
        refused: what cuDNN would not do, in words, and why.
        reason: why there was no plan for the latest question; "" where there was one.

    Raises:
        ImportError, OSError, RuntimeError: the front end, cuDNN itself or the device is missing.
    """

    def __init__(self, backend: Any) -> None:
        import cudnn

        self.backend, self._dnn = backend, cudnn
        with backend.place():
            self._handle = cudnn.create_handle()
        self._plans: dict[Any, _Plan | str] = {}  # a text: why there is none
        self.reason = ""
        self.refused: dict[str, str] = {}
        # The handle holds the stream, so that two threads must not use it at once.
        self._lock = threading.Lock()

    @property
    def version(self) -> str:
        """Of cuDNN and of its front end."""
        return f"{self._dnn.backend_version_string()}, front end {self._dnn.__version__}"

    def conv(self, x: Array, w: Array, bias: Array | None, at: Geometry, relu: bool = False) -> Array | None:
        """`relu(conv(x, w) + bias)`, channels last in memory; None where cuDNN refuses."""
        shape = (x.shape[0], w.shape[0], *at.output(x.shape[2:], w.shape[2:]))
        if not self._takes(x, w, *(() if bias is None else (bias,))):
            return None
        key = ("convolution", x.dtype, x.shape, w.shape, at, bias is not None, relu)
        plan = self._plan(
            key, x.dtype, lambda b: cudnn_graphs.conv(b, x.shape, w.shape, shape, at, bias is not None, relu)
        )
        if plan is None:
            return None
        y = self._images(shape, x.dtype)
        beside = () if bias is None else (dense(bias),)
        return channels_second(y) if self._run(plan, channels_last(x), channels_last(w), *beside, y) else None

    def conv_input(self, g: Array, w: Array, size: tuple[int, ...], at: Geometry) -> Array | None:
        """The gradient of `conv` by its images; None where cuDNN refuses."""
        shape = (g.shape[0], w.shape[1] * at.groups, *size)
        if not self._takes(g, w):
            return None
        key = ("convolution's images", g.dtype, g.shape, w.shape, shape, at)
        plan = self._plan(key, g.dtype, lambda b: cudnn_graphs.conv_input(b, g.shape, w.shape, shape, at))
        if plan is None:
            return None
        x = self._images(shape, g.dtype)
        return channels_second(x) if self._run(plan, channels_last(g), channels_last(w), x) else None

    def conv_weight(self, x: Array, g: Array, kernel: tuple[int, ...], at: Geometry) -> Array | None:
        """The gradient of `conv` by its kernels, channels last in memory; None where cuDNN refuses."""
        shape = (g.shape[1], x.shape[1] // at.groups, *kernel)
        if not self._takes(x, g):
            return None
        key = ("convolution's kernels", x.dtype, x.shape, g.shape, kernel, at)
        plan = self._plan(key, x.dtype, lambda b: cudnn_graphs.conv_weight(b, x.shape, g.shape, shape, at))
        if plan is None:
            return None
        w = self._images(shape, x.dtype)
        if not self._run(plan, channels_last(x), channels_last(g), w):
            return None
        return channels_second(w)

    def batch_norm(
        self, x: Array, weight: Array, bias: Array, eps: float, running: Running, momentum: float
    ) -> tuple[Array, ...] | None:
        """`Backend.batch_norm`; None where cuDNN refuses."""
        if not self._takes(x):
            return None
        plan = self._plan(
            ("batch normalisation", x.dtype, x.shape), x.dtype, lambda b: cudnn_graphs.batch_norm(b, x.shape)
        )
        if plan is None:
            return None
        xp, single = self.backend.xp, np.dtype(np.float32)
        y, count = self._images(x.shape, x.dtype), x.shape[1]
        # cuDNN insists on running statistics of its own, and does not say which variance they move towards.
        before = xp.zeros((2, -(-count // 4) * 4), single)[:, :count]
        found = [self.backend.empty((count,), single) for _ in range(4)]
        small = [dense(a, single) for a in (weight, bias)]
        numbers = np.array([eps], single), np.array([0], single)
        if not self._run(plan, channels_last(x), *small, before[0], before[1], *numbers, y, *found):
            return None
        if running is not None:
            rows, (*moving, batches) = x.size // count, running
            move = self.backend.kernel(_MOVE)
            move(*moving, found[0], found[1], eps, momentum, rows / (rows - 1), out=tuple(moving))
            if batches is not None:
                batches += 1
        return channels_second(y), found[0], found[1]

    def batch_norm_vjp(self, g: Array, x: Array, weight: Array, mean: Array, rate: Array) -> tuple[Array, ...] | None:
        """`Backend.batch_norm_vjp`; None where cuDNN refuses."""
        if not self._takes(g, x):
            return None
        key = ("batch normalisation's gradient", x.dtype, x.shape)
        plan = self._plan(key, x.dtype, lambda b: cudnn_graphs.batch_norm_vjp(b, x.shape))
        if plan is None:
            return None
        single = np.dtype(np.float32)
        dx = self._images(x.shape, x.dtype)
        sums = [self.backend.empty((x.shape[1],), single) for _ in range(2)]
        small = [dense(a, single) for a in (weight, mean, rate)]
        if not self._run(plan, channels_last(g), channels_last(x), *small, dx, *sums):
            return None
        return channels_second(dx), *(each.astype(weight.dtype, copy=False) for each in sums)

    def attention(self, q: Array, k: Array, v: Array, scale: float, causal: bool) -> tuple[Array, Array] | None:
        """`Backend.attention` for float16 and bfloat16; None where cuDNN refuses."""
        if q.dtype.itemsize != 2 or not self._takes(q, k, v):
            return None
        operands = [self._heads(each) for each in (q, k, v)]
        out = self._heads_like(operands[0], v.shape[-1])
        *layouts, made = [(each.shape, steps(each)) for each in (*operands, out)]
        key = ("attention", q.dtype, *layouts, made, scale, causal)
        plan = self._plan(key, q.dtype, lambda b: cudnn_graphs.attention(b, layouts, made, scale, causal), exact=False)
        if plan is None:
            return None
        sums = self.backend.empty((*out.shape[:3], 1), np.float32)
        return (out.reshape(*q.shape[:-1], -1), sums) if self._run(plan, *operands, out, sums) else None

    def attention_vjp(
        self, g: Array, q: Array, k: Array, v: Array, out: Array, sums: Array, scale: float, causal: bool
    ) -> tuple[Array, ...] | None:
        """`Backend.attention_vjp`; None where cuDNN refuses."""
        operands = [self._heads(each) for each in (q, k, v, out, g)]
        results = [self._heads_like(each, each.shape[-1]) for each in operands[:3]]
        layouts, made = ([(each.shape, steps(each)) for each in some] for some in (operands, results))
        key = ("attention's gradient", q.dtype, *layouts, *made, scale, causal)
        plan = self._plan(
            key,
            q.dtype,
            lambda b: cudnn_graphs.attention_vjp(b, layouts, made, scale, causal),
            exact=False,
        )
        if plan is None or not self._run(plan, *operands, sums, *results):
            return None
        return tuple(each.reshape(of.shape) for each, of in zip(results, (q, k, v), strict=True))

    def _heads(self, x: Array) -> Array:
        """(*lead, rows, columns) as (batch, heads, rows, columns), a view where plans can take it as it lies.

        The last two axes of three or more are heads: where key and value have 1 in the last, theirs are shared.
        """
        lead = x.shape[:-2]
        batch = math.prod(lead[: max(len(lead) - 2, 1)]) if len(lead) > 1 else 1
        x = x.reshape(batch, math.prod(lead) // batch, *x.shape[-2:])
        *others, last = steps(x)
        lies_well = last == 1 and not any(s % (_ALIGNED // x.itemsize) for s in others) and x.data.ptr % _ALIGNED == 0
        return x if lies_well else dense(x)

    def _heads_like(self, x: Array, columns: int) -> Array:
        """Memory for (batch, heads, rows, columns) in the order of `x`: its heads may lie side by side in a row."""
        batch, heads, rows, _ = x.shape
        if heads > 1 and steps(x)[1] < steps(x)[2]:
            return self.backend.empty((batch, rows, heads, columns), x.dtype).swapaxes(1, 2)
        return self.backend.empty((batch, heads, rows, columns), x.dtype)

    # Plans

    def _takes(self, *arrays: Array) -> bool:
        self.reason = ""
        kind = arrays[0].dtype
        return kind.name in TYPES and all(a.dtype == kind and a.size for a in arrays)

    def _images(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Memory for (n, channels, *size), channels last."""
        return self.backend.empty((shape[0], *shape[2:], shape[1]), dtype)

    def _plan(
        self, question: Any, dtype: Any, describe: Callable[[Builder], None], exact: bool = True
    ) -> _Plan | None:
        """The plan for a question, made at its first time; None where cuDNN has none.

        Args:
            question: a name in words, the dtype, shapes and whatever else tells one plan from another.
            dtype: of inputs and outputs.
            describe: describes the graph.
            exact: leave out engines by what they note about their arithmetic; attention is asked in its own words.
        """
        level = precision.get_float32_matmul_precision() if dtype == np.float32 else ""
        key = (*question, level)
        found = self._plans.get(key, ...)
        if found is ...:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
                self.refused.clear()
            try:
                found = self._made(TYPES[dtype.name], key, describe, exact)
            except Exception as error:  # the front end has many ways to say no, and its engines more
                found = self._refuse(key, error)
            self._plans[key] = found
        if isinstance(found, str):
            self.reason = found
            return None
        return found

    def _refuse(self, key: Any, error: Exception) -> str:
        name, kind, *rest, _ = key
        why = " ".join(str(error).split())[:300] or type(error).__name__
        self.refused[f"{name}, {kind}: {', '.join(map(str, rest))}"] = why
        return why

    def _made(self, kind: str, key: Any, describe: Callable[[Builder], None], exact: bool) -> _Plan:
        dnn = self._dnn
        types, notes = dnn.data_type, dnn.numerical_note
        graph = dnn.pygraph(
            handle=self._handle,
            io_data_type=getattr(types, kind),
            intermediate_data_type=types.FLOAT,
            compute_data_type=types.FLOAT,
        )
        describe(Builder(dnn, graph))
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([dnn.heur_mode.A, dnn.heur_mode.FALLBACK])
        if exact:
            # Sums have one order; float32 is rounded to TF32 for the tensor cores only where that was asked for.
            unwanted = [notes.NONDETERMINISTIC, notes.DOWN_CONVERT_INPUTS]
            graph.deselect_numeric_notes([*unwanted, notes.TENSOR_CORE] if key[-1] == "highest" else unwanted)
        graph.check_support()
        graph.build_plans()
        return _Plan(graph, int(graph.get_workspace_size()), key)

    def _run(self, plan: _Plan, *arrays: Array) -> bool:
        """Launch a plan on arrays in the order of the graph's tensors; False where one lies askew, or it fails."""
        if any(a.data.ptr % _ALIGNED for a in arrays if not isinstance(a, np.ndarray)):
            return False
        # What is passed by value is read from the host before the call returns.
        pack = {i: a.ctypes.data if isinstance(a, np.ndarray) else a.data.ptr for i, a in enumerate(arrays, 1)}
        workspace = self.backend.empty((max(1, plan.workspace),), np.uint8)
        with self._lock, self.backend.place():
            self._dnn.set_stream(self._handle, self.backend.xp.cuda.get_current_stream().ptr)
            try:
                plan.graph.execute(pack, workspace.data.ptr, handle=self._handle)
            except Exception as error:  # supported, it said; its callers go another way, and no call asks again
                self._plans[plan.key] = self.reason = self._refuse(plan.key, error)
                return False
        return True
