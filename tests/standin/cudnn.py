"""`cudnn`, the Python front end of cuDNN, of the stand-in: real addresses, argument names and order of calls.

It refuses what the front end and the library refuse: unknown arguments, results without a place, calls out of order,
changes after planning, missing, dead or less aligned addresses, a stream other than the current one. The arithmetic is
NumPy's.
"""

import ctypes
import enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from . import cudnn_ops
from .cublaslt import alive
from .cuda import get_current_stream
from .state import STATE

__version__ = "1.28.0"

# Tensor ports and attributes of an operation, and its results, as the front end declares them.
_GEOMETRY = ("padding", "pre_padding", "post_padding", "stride", "dilation", "convolution_mode")
OPERATIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "conv_fprop": (("image", "weight"), _GEOMETRY, ("Y",)),
    "conv_dgrad": (("loss", "filter"), _GEOMETRY, ("DX",)),
    "conv_wgrad": (("image", "loss"), _GEOMETRY, ("DW",)),
    "bias": (("input", "bias"), (), ("OUT_0",)),
    "relu": (("input",), ("negative_slope", "lower_clip", "upper_clip"), ("OUT_0",)),
    "batchnorm": (
        ("input", "scale", "bias", "in_running_mean", "in_running_var", "epsilon", "momentum"),
        (),
        ("Y", "mean", "inv_var", "next_running_mean", "next_running_var"),
    ),
    "batchnorm_backward": (("grad", "input", "scale", "mean", "inv_variance"), (), ("DX", "DScale", "DBias")),
    "sdpa": (("q", "k", "v"), ("attn_scale", "use_causal_mask", "generate_stats"), ("O", "Stats")),
    "sdpa_backward": (
        ("q", "k", "v", "o", "dO", "stats"),
        ("attn_scale", "use_causal_mask", "use_deterministic_algorithm"),
        ("dQ", "dK", "dV"),
    ),
}
_SAME_SHAPE = ("bias", "relu")
_ALIGNED = 16
_WORKSPACE = 4096


class cudnnGraphNotSupportedError(Exception):  # noqa: N801 - the front end's name
    """No engine for this graph."""


def _names(text: str) -> Any:
    """An enumeration of pybind11: members are attributes, and the class cannot be indexed."""
    members = enum.Enum("members", text.split())  # type: ignore[misc]
    return SimpleNamespace(**{m.name: m for m in members})


data_type = _names("FLOAT DOUBLE HALF BFLOAT16 INT8 INT32 INT64 UINT8 BOOLEAN NOT_SET")
heur_mode = _names("A B FALLBACK OPENSOURCE")
numerical_note = _names(
    "TENSOR_CORE DOWN_CONVERT_INPUTS REDUCED_PRECISION_REDUCTION FFT NONDETERMINISTIC WINOGRAD STRICT_NAN_PROP"
)
_STORED = {"FLOAT": "float32", "DOUBLE": "float64", "HALF": "float16", "BFLOAT16": "bfloat16", "INT64": "int64"}


class Handle:
    """A handle of the device that was current."""

    def __init__(self) -> None:
        self.device, self.stream = STATE.device, 0


def create_handle() -> Handle:
    """A new handle, on the default stream."""
    return Handle()


def set_stream(handle: Handle, stream: int) -> None:
    """Work goes to this stream from now on."""
    if not isinstance(handle, Handle) or type(stream) is not int:
        raise TypeError("cudnn.set_stream expects a cudnn.Handle and the address of a stream")
    handle.stream = stream


def backend_version_string() -> str:
    """Of the library."""
    return "9.28.0"


class Tensor:
    """A description; strides are in elements."""

    def __init__(
        self, graph: "pygraph", dim: Any = (), stride: Any = (), data_type: Any = None, uid: Any = None
    ) -> None:
        self.graph, self.dim, self.stride, self.data_type, self.uid = graph, list(dim), list(stride), data_type, uid
        self.is_virtual, self.value = False, False

    def _set(self, **what: Any) -> "Tensor":
        if self.graph.stage:
            raise RuntimeError("cannot mutate a tensor attribute after lowering/planning: the graph is frozen")
        self.__dict__.update(what)
        return self

    def set_output(self, value: bool) -> "Tensor":
        return self._set(is_virtual=not value)

    def set_dim(self, dim: list[int]) -> "Tensor":
        return self._set(dim=list(dim))

    def set_stride(self, stride: list[int]) -> "Tensor":
        return self._set(stride=list(stride))

    def set_data_type(self, dtype: Any) -> "Tensor":
        return self._set(data_type=dtype)

    def set_uid(self, uid: int) -> "Tensor":
        return self._set(uid=uid)


class pygraph:  # noqa: N801 - the front end's name
    """A graph of operations; `stage` counts the steps from its description to a plan."""

    _STEPS = ("validate", "build_operation_graph", "create_execution_plans", "check_support", "build_plans")

    def __init__(
        self,
        name: str = "test_graph",
        io_data_type: Any = None,
        intermediate_data_type: Any = None,
        compute_data_type: Any = None,
        handle: Any = None,
    ) -> None:
        if not isinstance(handle, Handle) or handle.device != STATE.device:
            raise TypeError("the stand-in wants a handle of the current device")
        self.io, self.handle, self.stage = io_data_type, handle, 0
        self.tensors: list[Tensor] = []
        self.nodes: list[Any] = []
        self.unwanted: set[str] = set()

    def tensor(
        self,
        dim: list[int],
        stride: list[int] | None = None,
        data_type: Any = None,
        is_virtual: bool = False,
        is_pass_by_value: bool = False,
        name: str = "",
        uid: int | None = None,
    ) -> Tensor:
        """An input."""
        made = Tensor(self, dim, stride or (), data_type, uid)
        made.value = is_pass_by_value
        self.tensors.append(made)
        return made

    def _node(self, op: str, given: dict[str, Any]) -> Any:
        ports, attributes, results = OPERATIONS[op]
        unknown = set(given) - {*ports, *attributes, "name", "compute_data_type"}
        if unknown:
            raise TypeError(f"{op}() got unexpected arguments {sorted(unknown)}")
        inputs = {k: given[k] for k in ports if given.get(k) is not None}
        if len(inputs) < len(ports):  # the binding beneath the front end has no defaults for these
            raise TypeError(f"{op}(): incompatible function arguments, {sorted(set(ports) - set(inputs))} are missing")
        if not all(isinstance(t, Tensor) for t in inputs.values()):
            raise TypeError(f"{op}() takes tensors of the graph at {ports}")
        outs = [Tensor(self) for _ in results]
        for out in outs:
            out.is_virtual = True
            if op in _SAME_SHAPE:
                out.dim = list(inputs["input"].dim)
        self.nodes.append((op, inputs, {k: given[k] for k in attributes if given.get(k) is not None}, outs))
        self.tensors += outs
        return outs if len(outs) > 1 else outs[0]

    def __getattr__(self, op: str) -> Any:
        if op not in OPERATIONS:
            raise AttributeError(f"the stand-in's graph has no {op}: list it in tests/standin/cudnn.py if cuDNN has it")
        return lambda **given: self._node(op, given)

    # The way to a plan

    def _step(self, name: str) -> None:
        if self._STEPS[self.stage : self.stage + 1] != (name,):
            raise RuntimeError(f"{name}() is step {self._STEPS.index(name) + 1}, after {self._STEPS[: self.stage]}")
        self.stage += 1

    def validate(self) -> None:
        """Every tensor that is no intermediate has a shape, strides and a number of its own."""
        self._step("validate")
        seen: set[int] = set()
        for t in self.tensors:
            if t.is_virtual:
                continue
            if len(t.dim) < 4 or len(t.stride) != len(t.dim) or min(t.dim) < 1:
                raise RuntimeError(f"tensor {t.uid}: dim {t.dim}, stride {t.stride}")
            if type(t.uid) is not int or t.uid in seen:
                raise RuntimeError(f"tensor numbers must be different integers: {t.uid}")
            seen.add(t.uid)
            t.data_type = t.data_type or self.io

    def build_operation_graph(self) -> None:
        self._step("build_operation_graph")

    def create_execution_plans(self, heuristics: list[Any] | None = None) -> None:
        self._step("create_execution_plans")

    def deselect_numeric_notes(self, notes: list[Any]) -> "pygraph":
        """Leave out plans that do such things."""
        if self.stage < 3:
            raise RuntimeError("the stand-in: notes are for plans, which come first")
        self.unwanted |= {note.name for note in notes}
        return self

    def check_support(self) -> None:
        """Refuse the operations that STATE names, and what no engine has."""
        self._step("check_support")
        for op, inputs, _, _ in self.nodes:
            types = {t.data_type for t in inputs.values() if not t.is_virtual}
            wide = op.startswith("sdpa") and self.io is data_type.FLOAT
            if op in STATE.unsupported or data_type.DOUBLE in types or wide:
                raise cudnnGraphNotSupportedError(f"No valid engine configs for {op}")

    def build_plans(self) -> None:
        self._step("build_plans")
        STATE.calls["cudnn.plan"] += 1

    def get_workspace_size(self) -> int:
        """Bytes that a run takes."""
        if self.stage < 5:
            raise RuntimeError("Call build() first")
        return _WORKSPACE

    # Runs

    def execute(self, tensor_dict: dict[int, int], workspace: Any = None, handle: Any = None) -> None:
        """Run the plan on addresses."""
        if self.stage < 5 or handle is not self.handle or handle.device != STATE.device:
            raise RuntimeError("the stand-in: a plan that is built, and its own handle on the current device")
        stream = get_current_stream().ptr
        if handle.stream != stream:
            raise RuntimeError(f"the stand-in: the handle works on stream {handle.stream}, current is {stream}")
        seen = {t.uid: t for t in self.tensors if not t.is_virtual}
        if set(tensor_dict) != set(seen):
            raise ValueError(f"the variant pack has {sorted(tensor_dict)}, the graph {sorted(seen)}")
        alive(workspace, _WORKSPACE, "workspace")
        views = {uid: self._view(seen[uid], address) for uid, address in tensor_dict.items()}
        for op, *_ in self.nodes:
            STATE.calls[f"cudnn.{op}"] += 1
        STATE.work(lambda: self._compute(views))

    def _view(self, t: Tensor, address: Any) -> Any:
        if t.value:
            return np.frombuffer((ctypes.c_uint8 * 4).from_address(address), np.float32).copy()
        if type(address) is not int or address % _ALIGNED:
            raise ValueError(f"tensor {t.uid}: {address!r} is no address that is a multiple of {_ALIGNED}")
        dtype = np.dtype(_STORED[t.data_type.name])
        extent = (sum((n - 1) * s for n, s in zip(t.dim, t.stride, strict=True)) + 1) * dtype.itemsize
        alive(address, extent, f"tensor {t.uid}")
        flat = np.frombuffer((ctypes.c_uint8 * extent).from_address(address), dtype)
        return np.lib.stride_tricks.as_strided(flat, t.dim, [s * dtype.itemsize for s in t.stride])

    def _compute(self, views: dict[int, Any]) -> None:
        values: dict[int, Any] = {}
        rounded = self.io is data_type.FLOAT and "TENSOR_CORE" not in self.unwanted

        def value(t: Tensor) -> Any:
            if id(t) in values:
                return values[id(t)]
            found = views[t.uid]
            return found if t.value else cudnn_ops.widened(found, rounded)

        for op, inputs, attributes, outs in self.nodes:
            shapes = [tuple(o.dim) for o in outs]
            found = cudnn_ops.OPERATIONS[op]({k: value(t) for k, t in inputs.items()}, attributes, shapes)
            for out, array in zip(outs, found, strict=True):
                values[id(out)] = array
                if out.dim and array.shape != tuple(out.dim):
                    raise RuntimeError(f"{op} gives {array.shape}, the graph says {out.dim}")
                if not out.is_virtual:
                    views[out.uid][...] = array

