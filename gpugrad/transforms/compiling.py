"""`compile`: a training step that is recorded once as a CUDA graph, and then launched whole.

Streams, memory and numbers of a recording are the backend's (`cuda_graphs`, `capturing`). Here are the choice of the
graph by the arguments, what becomes of the leaves' gradients, and the way back to plain execution.
"""

from __future__ import annotations

import functools
import threading
import types
import warnings
from collections.abc import Callable, Hashable
from typing import Any, Final

from .. import mutation
from ..backend import backend_of, default_device, gpus_in_use, is_array
from ..backend.capturing import CaptureError, SizesError, current
from ..backend.cuda_settings import algorithm, memory_limit
from ..backend.precision import get_float32_matmul_precision
from ..casting import current as autocasting
from ..casting import inside
from ..gradmode import is_grad_enabled
from ..ops.creation import get_default_dtype
from ..tensor import Tensor, new_tensor
from .calls import bare, copied, leaf_key, structure, users_line
from .graphs import Graph, Kind
from .heard import ALLOCATED, CHANGED, GRADIENTS
from .reached import Reach
from .tree import flatten
from .way_back import WayBack, is_open, leads_on

_MAX_KINDS: Final = 64  # of arguments that are remembered, with the memory that a graph would read them from
_MAX_RENEWALS: Final = 8  # in a row, of graphs that were not worth it
_WORTH_IT: Final = 10  # replays of a graph that make up for its recording
_MAX_UNUSED: Final = 3  # recordings in a row because gradients lie elsewhere in each call
_UNKNOWN: Final = object()


def compile(function: Any = None, *, warmup: int = 3, max_graphs: int = 8, **options: Any) -> Any:
    """The same step, launched as one CUDA graph from its `warmup + 1`st call on; also a decorator.

    The first calls run the function as it is; one records what it asks of the GPU (forward, backward, clipping, update)
    and later calls launch all of that at once. The numbers are the same, bit for bit. On the CPU it just runs.

    Anew for each call are: the values of tensors and arrays among the arguments (copied to where the graph reads
    them), learning rates and step counts of `gg.optim`, schedules stepped inside, random numbers and dropout's masks.
    Everything else that Python computes is as it was when the graph was recorded: numbers, branches, printing. Results
    are copies; gradients of parameters are in `.grad`, overwritten by the next call. Where results are to be
    differentiated, as a model's in training, `backward` launches a second graph; a call before that runs as it is, and
    so does one through whose arguments gradients flow. The whole step in one graph saves more.

    Where no array is among the arguments, a first call shows which GPU the function works on, and the `warmup` calls
    come after it. On several GPUs one graph spans those that the calls before worked on. Memory lies within
    `gg.cuda.set_memory_limit`. Threads take turns. `gg.compile(optimizer.step)` needs `zero_grad(set_to_none=False)`.

    Tensors that the function finds by itself (attributes, variables outside) are read where they lie when the graph is
    recorded: change them in place, do not put others in their stead. Where their arrays are replaced (`p.data = ...`,
    `model.to(...)`), gradients that it reads, or `requires_grad`, the graph is recorded anew. Arguments that it changes
    in place are changed for the caller.

    A graph is recorded for each structure, shape and dtype of the arguments, for each value of those that are no
    arrays, and for training and evaluation of the modules that the function finds. What no replay would do makes it
    run as it is, after one warning with the reason and the line: reading a value of the device or copying data to it,
    changing arrays on the CPU or numbers that it finds (`self.count += 1`), changing shapes, keeping tensors for later.

    Args:
        function: a function of tensors, arrays and hashable values.
        warmup: calls that run as they are before one is recorded, for each kind of arguments; 1 or more.
        max_graphs: how many graphs are kept at most; what comes after runs as it is.
        **options: PyTorch's. `disable=True` gives the function back as it is; `fullgraph`, `dynamic`, `backend`, `mode`
            and `options` are passed over, because there is one way to compile.

    Returns:
        A function of the same arguments; without `function`, a decorator.

    Raises:
        ValueError, TypeError: `warmup` or `max_graphs` is not positive; an unknown option.

    Example:
        >>> import gpugrad as gg
        >>> w = gg.tensor([1.0, 2.0], requires_grad=True)
        >>> optimizer = gg.optim.SGD([w], lr=0.1)
        >>> @gg.compile
        ... def step(x):
        ...     optimizer.zero_grad()
        ...     loss = (w * x).square().sum()
        ...     loss.backward()
        ...     optimizer.step()
        ...     return loss.detach()
        >>> step(gg.tensor([1.0, 1.0]))
        tensor(5.)
    """
    if _is_off(warmup, max_graphs, options) and function is not None:
        return function
    if function is None:
        return functools.partial(compile, warmup=warmup, max_graphs=max_graphs, **options)
    compiled = Compiled(function, warmup, max_graphs)
    return functools.update_wrapper(compiled, function, updated=()) if hasattr(function, "__name__") else compiled


def _is_off(warmup: int, max_graphs: int, options: dict[str, Any]) -> bool:
    """Check what `compile` is given; whether it is to leave the function as it is."""
    if warmup < 1 or max_graphs < 1:
        raise ValueError(f"[compile] warmup = {warmup}, max_graphs = {max_graphs}; expected 1 or more")
    unknown = options.keys() - {"disable", "fullgraph", "dynamic", "backend", "mode", "options"}
    if unknown:
        raise TypeError(f"[compile] unknown option {min(unknown)!r}; expected warmup, max_graphs, or one of PyTorch's")
    return bool(options.get("disable", False))


class Compiled:
    """What `compile` returns. What it has not itself it takes from the function: a compiled module has its parameters.

    Attributes:
        graphs: how many graphs are recorded.
    """

    def __init__(self, function: Callable[..., Any], warmup: int, max_graphs: int) -> None:
        self.function, self.warmup, self.max_graphs = function, warmup, max_graphs
        self.name = getattr(function, "__name__", type(function).__name__)
        self.graphs = 0
        self._where: Any = _UNKNOWN  # the first GPU of calls without arrays among their arguments; None: the CPU
        self._told = False  # that gradients are to flow through an argument
        self._lock = threading.RLock()
        self._kinds: dict[Hashable, Kind] = {}
        self._switches: dict[Hashable, list[dict[str, Any]]] = {}  # of the modules within reach, by the arguments
        self._recorders: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "function" not in self.__dict__:
            raise AttributeError(name)
        found = getattr(self.function, name)
        if getattr(found, "__self__", None) is not self.function:
            return found

        @functools.wraps(found)
        def method(*args: Any, **kwargs: Any) -> Any:
            result = found(*args, **kwargs)
            return self if result is self.function else result  # `model = model.eval()` stays compiled

        return method

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        """As a method: called with its object, which counts among the arguments."""
        return self if owner is None else types.MethodType(self, owner)

    def __reduce__(self) -> Any:
        """A copy begins anew: it has no graphs."""
        return functools.partial(compile, warmup=self.warmup, max_graphs=self.max_graphs), (self.function,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function, or launch its graph."""
        leaves, build = flatten((args, kwargs))
        if current() is not None:
            return self.function(*args, **kwargs)
        backends = [backend_of(array) for leaf in leaves if is_array(array := bare(leaf))]
        try:
            if not backends and self._where is _UNKNOWN:
                return self._look(args, kwargs)
            backend: Any = backends[0] if backends else self._where
            if backend is None or backend.name != "cuda" or self._leads_past(leaves):
                return self.function(*args, **kwargs)
            key = self._key(backend, (args, kwargs), leaves)
            key = key, self._training(key, leaves)
        except CaptureError as error:
            self._say(error)
            return self.function(*args, **kwargs)
        with self._lock:  # one thread's arguments at a time lie where the graphs read them
            kind = self._kinds.get(key) or self._new_kind(key)
            if not (kind.plain or kind.is_awaited()):
                try:
                    return self._run(kind, leaves, build, [backend, *backends[1:]])
                except _NoGraphError as refused:
                    return self._plainly(kind, refused.why, args, kwargs)
        return self.function(*args, **kwargs)

    def _leads_past(self, leaves: list[Any]) -> bool:
        """Whether gradients are to flow past the function to what an argument was computed from; says so once."""
        found = any(map(leads_on, leaves))
        if found and not self._told:
            self._told = True
            self._say(
                CaptureError("gradients are to flow through an argument; compile the function that computes it too"), 4
            )
        return found

    def _plainly(self, kind: Kind, why: Exception, args: Any, kwargs: Any) -> Any:
        """Call the function as it is where a recording failed; if that fails as well, the next call may be recorded."""
        try:
            result = self.function(*args, **kwargs)
        except Exception as error:
            if type(error) is type(why) and not isinstance(error, MemoryError):  # a recording takes more memory
                kind.plain = False
                raise
            self._say(why, 4)
            raise
        self._say(why, 4)
        return result

    def _new_kind(self, key: Hashable) -> Kind:
        """A kind of arguments that was not met yet, or was forgotten: the oldest without a graph is, beyond a bound."""
        if len(self._kinds) >= _MAX_KINDS:
            without = [k for k, kind in self._kinds.items() if not kind.graphs]
            self._kinds.pop(without[0] if without else next(iter(self._kinds)))
        kind = self._kinds[key] = Kind()
        return kind

    def _look(self, args: Any, kwargs: Any) -> Any:
        """Call the function as it is, and note the first GPU that it works on: none of its arguments says it."""
        with ALLOCATED.heard() as met, CHANGED.heard() as changed:
            result = self.function(*args, **kwargs)
        returned = [backend_of(array) for leaf in flatten(result)[0] if is_array(array := bare(leaf))]
        found = [*met, *changed, *returned]
        if found or not gpus_in_use():  # else it did nothing that shows: the next call may
            self._where = next((backend for backend in found if backend.name == "cuda"), None)
        return result

    def _training(self, key: Hashable, leaves: list[Any]) -> Hashable:
        """Which of the modules within reach are in training."""
        switches = self._switches.get(key)
        if switches is None:
            if len(self._switches) >= _MAX_KINDS:
                self._switches.pop(next(iter(self._switches)))
            given = [leaf for leaf in leaves if not is_array(bare(leaf))]
            switches = self._switches[key] = Reach(self.function, given).switches
        return tuple([each["training"] for each in switches])

    def _run(self, kind: Kind, leaves: list[Any], build: Callable[[Any], Any], backends: list[Any]) -> Any:
        recorder = self._recorder(backends[0])
        for other in backends[1:]:
            recorder.meet(other)
        with recorder.running():
            self._place(kind, leaves)

            def run() -> Any:
                given = [
                    leaf if static is None else new_tensor(static, None) if isinstance(leaf, Tensor) else static
                    for leaf, static in zip(leaves, kind.inputs, strict=True)
                ]
                now = mutation.tick()
                own_args, own_kwargs = build(given)
                with inside(autocasting()):  # without the casts of before, which the graph would read again
                    result = self.function(*own_args, **own_kwargs)
                for i, static in enumerate(kind.inputs):
                    what = None if static is None else mutation.stale((static,), now)
                    if what is not None:
                        kind.written[i] = what
                return result

            result, way = self._step(kind, run, recorder)
            for i, what in kind.written.items():  # the caller's own change as did those that the function had instead
                array = bare(leaves[i])
                backend: Any = backend_of(array)
                backend.overwrite(array, kind.inputs[i])
                mutation.changed(array, what)
        if kind.open and way is None:  # what it kept for the way back are the arrays that took the arguments' place
            kind.inputs, kind.held = [], []
            return result
        try:
            return copied(result) if way is None else way.leading(copied(result))
        finally:  # those that were asked for, even where memory ran out on the way
            recorder.copied()

    def _step(self, kind: Kind, run: Callable[[], Any], recorder: Any) -> tuple[Any, WayBack | None]:
        """One step, where it would be recorded; gives what the function returned, for as long as no other step runs.

        Beside it is the recorded way back through a replay that is to be differentiated.

        Raises:
            _NoGraphError: it cannot be recorded, and nothing of it has run.
        """
        kind.calls += 1
        graph = next((g for g in kind.graphs if g.fits()), None)
        if graph is None:
            valid = [g for g in kind.graphs if g.is_valid()]
            if len(valid) < len(kind.graphs):
                # What a graph worked on was replaced, e.g. from a checkpoint: the next steps set things up anew.
                kind.calls, kind.unused = 1, 0
                kind.renewals = kind.renewals + 1 if kind.replays < _WORTH_IT else 0
                kind.replays = 0
            kind.graphs = valid
            self.graphs = sum(len(k.graphs) for k in self._kinds.values())
            if kind.calls <= self.warmup:
                return self._rehearse(kind, run, recorder), None
            try:
                if kind.refused is not None:
                    raise kind.refused
                if kind.unused >= _MAX_UNUSED:
                    raise CaptureError(
                        "the gradients that it reads lie elsewhere in each call; compute them in it, or clear them "
                        "with zero_grad(set_to_none=False)"
                    )
                if kind.renewals > _MAX_RENEWALS:
                    raise CaptureError("what its graphs work on is replaced again and again (parameters, options)")
                if self.graphs >= self.max_graphs:
                    raise CaptureError(f"there are {self.graphs} graphs of it already (max_graphs)")
                graph = self._record(kind, run, recorder)
                kind.unused += 1
            except Exception as error:
                if isinstance(error, SizesError) and not kind.again:
                    # What the rehearsals set up may have come late, such as an optimizer's state.
                    kind.again = True
                    return self._rehearse(kind, run, recorder), None
                kind.plain = True
                kind.inputs, kind.held = [], []
                raise _NoGraphError(error) from error
        else:
            kind.unused = 0
        kind.replays += 1
        graph.recording.replay()
        for leaf, grad in graph.grads:
            leaf.grad = grad
        if graph.way is not None and graph.way.recording is None:
            self._record_way_back(kind, graph)
        return graph.recording.result, graph.way

    def _rehearse(self, kind: Kind, run: Callable[[], Any], recorder: Any) -> Any:
        """One step as it is, where it would be recorded; what it does elsewhere no replay would do."""
        try:
            with GRADIENTS.heard() as touched, CHANGED.heard() as changed:
                result, kind.sizes, capture = recorder.rehearse(run)
        except BaseException:
            kind.calls -= 1  # how much memory it asks for is not known
            raise
        kind.open = not touched and any(map(is_open, flatten(result)[0]))
        kind.leaves.update(dict.fromkeys((*touched, *capture.read)))
        arrays = [*changed.values(), *(leaf.grad.data for leaf in touched if leaf.grad is not None)]
        here = next((array for array in arrays if backend_of(array).name != "cuda"), None)
        if here is not None:
            kind.refused = CaptureError(
                f"it changes an array on the CPU ({here.shape} {here.dtype}), or adds to its gradient, which no replay "
                "would"
            )
        return result

    def _record(self, kind: Kind, run: Callable[[], Any], recorder: Any) -> Graph:
        before = {leaf: leaf.grad for leaf in kind.leaves}
        reach = Reach(self.function, kind.held)

        way: WayBack | None = None

        def checked() -> Any:
            nonlocal way
            now = mutation.tick()
            result = run()
            place = reach.new_in(Reach(self.function, kind.held))
            if place is not None:
                raise CaptureError(f"it keeps a tensor ({place}), which no replay would; return it, or write in place")
            place = reach.changed()
            if place is not None:
                raise CaptureError(f"it changes {place}, which no replay would; change it outside")
            kind.open = kind.open and any(map(is_open, flatten(result)[0]))
            way = WayBack(self.name, result, now, reach.tensors.values()) if kind.open else None
            return result

        with GRADIENTS.heard() as touched:
            try:
                recording = recorder.record(checked, kind.sizes)
            except BaseException:
                reach.put_back()  # what nothing has computed must not be found there
                for leaf, grad in {**touched, **before}.items():
                    leaf.grad = grad
                raise
        reach.settle()
        graph = Graph(recording, before, touched, reach, way)
        kind.graphs.append(graph)
        self.graphs += 1
        return graph

    def _record_way_back(self, kind: Kind, graph: Graph) -> None:
        """Once the first replay has run. Where it cannot be recorded, that replay's results lead back as they are."""
        try:
            graph.way.record(graph.recording, self._lock)  # type: ignore[union-attr]
        except Exception as error:
            self._say(error, 6)
            graph.way, kind.plain = None, True
            kind.graphs.remove(graph)
            self.graphs -= 1

    def _recorder(self, backend: Any) -> Any:
        found = self._recorders.get(backend)
        if found is None:
            from ..backend.cuda_graphs import Recorder

            found = self._recorders[backend] = Recorder(backend)
        return found

    def _key(self, backend: Any, tree: Any, leaves: list[Any]) -> Hashable:
        policy = autocasting()
        casts = None if policy is None else (policy.dtype, policy.cache is None)
        # The last two: where and as what new tensors are made.
        modes = is_grad_enabled(), get_float32_matmul_precision(), algorithm.get(), memory_limit(), casts
        key = (backend, modes, default_device(), get_default_dtype(), structure(tree), *map(leaf_key, leaves))
        try:
            hash(key)
        except TypeError as error:
            raise CaptureError(f"an argument that is no array cannot be told from others ({error})") from None
        return key

    def _place(self, kind: Kind, leaves: list[Any]) -> None:
        """The arrays among the arguments where the graph reads them: this call's values."""
        if not kind.inputs:
            for leaf in leaves:
                array: Any = None if isinstance(leaf, Tensor) and leaf._node is not None else bare(leaf)
                there = is_array(array)
                kind.inputs.append(backend_of(array).empty(array.shape, array.dtype) if there else None)
            # Tensors that are told by their identity must stay.
            kind.held = [leaf for leaf, static in zip(leaves, kind.inputs, strict=True) if static is None]
        for leaf, static in zip(leaves, kind.inputs, strict=True):
            if static is not None:
                backend: Any = backend_of(static)
                backend.overwrite(static, bare(leaf))

    def _say(self, error: Exception, level: int = 3) -> None:
        text = f"[compile] {self.name} runs as it is, without a CUDA graph: {error}{users_line(error)}"
        warnings.warn(text, RuntimeWarning, stacklevel=level)


class _NoGraphError(Exception):
    """A step cannot be recorded; `why` is the error that says it."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why
