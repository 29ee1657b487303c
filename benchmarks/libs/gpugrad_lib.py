"""gpugrad's side, written against its public tensor face only: what any user would write.

The two CPU variants (with Numba and with NumPy alone) are two worker processes with another environment.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

import gpugrad as gg
from benchmarks.data import ADAM_RATE, SGD_RATE, adam_data, digest, elementwise_data, layer_data, mlp_data
from benchmarks.layers import channels_last, function_of, gpugrad_network, layer_of, network_data
from benchmarks.layers import layer_data as arrays_of
from benchmarks.libs.base import Library, Program
from benchmarks.loops import loop_functions
from benchmarks.operations import cotangent_like, gpugrad_functions, operation_data

_MODULES = {"relu": "ReLU", "gelu": "GELU", "tanh": "Tanh"}


def _function(name: str) -> Callable[..., Any]:
    if name == "gelu_tanh":
        return lambda x: gg.nn.functional.gelu(x, approximate="tanh")
    if name == "sin":
        return gg.sin
    found: Callable[..., Any] = getattr(gg.nn.functional, name)
    return found


def _with_mode(programs: dict[str, Program], fast: bool) -> dict[str, Program]:
    """The same programs with fast convolutions allowed, where they are asked for."""
    if not fast:
        return programs
    allowed = gg.cpu.convolution("fast")
    return {
        name: Program(allowed(p.run), p.prepare, None if p.check is None else allowed(p.check))
        for name, p in programs.items()
    }


def make(name: str, device: str) -> GpugradLibrary:
    """gpugrad on a device.

    Raises:
        ImportError: the variant with Numba, where Numba is not installed.
        RuntimeError: `device` is "cuda" and no device answers.
    """
    if device == "cpu" and os.environ.get("GPUGRAD_NUMBA") == "1" and importlib.util.find_spec("numba") is None:
        raise ImportError("Numba is not installed (pip install 'gpugrad[cpu]')")
    if device == "cuda" and not gg.cuda.is_available():
        raise RuntimeError("gpugrad sees no CUDA device")
    return GpugradLibrary(name, device)


class GpugradLibrary(Library):
    """gpugrad through its tensor face."""

    def facts(self) -> dict[str, str]:
        facts = {"numba": os.environ.get("GPUGRAD_NUMBA", "unset")}
        if self.device == "cuda":
            import cupy

            facts["device"] = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
            facts["tf32"] = os.environ.get("CUPY_TF32", "0")
        return facts

    def measure(self, run: Callable[[], object]) -> float:
        if self.device == "cpu":
            return super().measure(run)
        import cupy

        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, stop)) / 1e3

    def memory_now(self) -> int:
        if self.device == "cpu":
            return super().memory_now()
        import cupy

        return int(cupy.get_default_memory_pool().used_bytes())

    def memory_peak(self) -> int:
        if self.device == "cpu":
            return super().memory_peak()
        import cupy

        return int(cupy.get_default_memory_pool().total_bytes())

    def reset_memory_peak(self) -> None:
        if self.device == "cuda":
            import cupy

            cupy.get_default_memory_pool().free_all_blocks()
        else:
            gg.backend.backend_of(np.empty(0)).pool.clear()
        super().reset_memory_peak()

    def _tensor(self, array: Any, requires_grad: bool = False) -> Any:
        return gg.tensor(array, device=self.device, requires_grad=requires_grad)

    def model(self, layers: list[tuple[Any, Any]], activation: str) -> Any:
        """A Sequential of Linear layers with the given (out, in) weights and an activation between them."""
        modules: list[Any] = []
        for weight, bias in layers:
            layer = gg.nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": bias})
            modules += [layer, getattr(gg.nn, _MODULES[activation])()]
        return gg.nn.Sequential(*modules[:-1]).to(self.device)

    def mlp(self, params: dict[str, Any]) -> dict[str, Program]:
        """The training step."""
        data = mlp_data(params)
        model = self.model(data.layers, params["activation"])
        if params["optimizer"] == "sgd":
            optimizer: Any = gg.optim.SGD(model.parameters(), lr=SGD_RATE)
        else:
            optimizer = gg.optim.Adam(model.parameters(), lr=ADAM_RATE)
        x, labels = self._tensor(data.x), self._tensor(data.labels)

        def step() -> Any:
            optimizer.zero_grad()
            loss = gg.nn.functional.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        return {"step": Program(step, check=lambda: [float(step().item()), float(step().item())])}

    def loop(self, params: dict[str, Any]) -> dict[str, Program]:
        """Parts of one array, one after the other."""
        return {"eager": Program(*loop_functions(gg, self.device, params))}

    def tape(self, params: dict[str, Any]) -> dict[str, Program]:
        """A chain of `y * scale` and `y + shift`."""
        x = gg.ones(params["width"], device=self.device, requires_grad=True)
        ones = gg.ones(params["width"], device=self.device)
        pairs, scale, shift = params["ops"] // 2, params["scale"], params["shift"]
        kept: list[Any] = []

        def forward() -> None:
            y = x
            for _ in range(pairs):
                y = y * scale
                y = y + shift
            kept.append(y)

        def backward() -> None:
            kept.pop().backward(ones)

        def fresh() -> None:
            kept.clear()
            x.grad = None

        def ready() -> None:
            fresh()
            forward()

        def check() -> list[float]:
            ready()
            values = digest(kept[0].detach().numpy())
            backward()
            return values + digest(x.grad.detach().numpy())

        if params["phase"] == "forward":
            return {"eager": Program(forward, fresh, check)}
        return {"eager": Program(backward, ready, check)}

    def elementwise(self, params: dict[str, Any]) -> dict[str, Program]:
        """`y = f(x)` without a graph, or `y.backward(g, retain_graph=True)`."""
        array, cotangent = elementwise_data(params)
        function = _function(params["function"])
        wants_grad = params["phase"] == "vjp"
        x, g = self._tensor(array, wants_grad), self._tensor(cotangent)
        extra = [gg.full((1,), 0.25, device=self.device, requires_grad=wants_grad)]
        inputs = [x, *(extra if params["function"] == "prelu" else [])]
        if not wants_grad:

            def forward() -> Any:
                with gg.no_grad():
                    return function(*inputs)

            return {"eager": Program(forward, check=lambda: digest(forward().numpy()))}
        y = function(*inputs)

        def vjp() -> None:
            y.backward(g, retain_graph=True)
            for tensor in inputs:
                tensor.grad = None

        def check() -> list[float]:
            y.backward(g, retain_graph=True)
            return digest(x.grad.numpy())

        def fresh() -> None:
            for tensor in inputs:
                tensor.grad = None

        return {"backward": Program(vjp, fresh, check)}

    def operation(self, params: dict[str, Any]) -> dict[str, Program]:
        """`y = f(*inputs)` without a graph, or `y.backward(g, retain_graph=True)`."""
        function = gpugrad_functions()[params["function"]]
        wants_grad = params["phase"] == "vjp"
        inputs = [self._tensor(array, wants_grad) for array in operation_data(params)]
        if not wants_grad:

            def forward() -> Any:
                with gg.no_grad():
                    return function(*inputs)

            return {"eager": Program(forward, check=lambda: digest(forward().numpy()))}
        y = function(*inputs)
        g = self._tensor(cotangent_like(y))

        def vjp() -> list[Any]:
            y.backward(g, retain_graph=True)
            found = [tensor.grad for tensor in inputs]
            for tensor in inputs:
                tensor.grad = None
            return found

        return {"backward": Program(vjp, check=lambda: [v for grad in vjp() for v in digest(grad.numpy())])}

    def layer(self, params: dict[str, Any]) -> dict[str, Program]:
        """A layer forward and backward; images with channels last in memory."""
        layer = layer_of(params)
        function = function_of(layer, gg.nn.functional)
        # asarray keeps the memory order; tensor() would not.
        arrays = [channels_last(array) for array in arrays_of(layer)]
        inputs = [gg.asarray(array, device=self.device, requires_grad=True) for array in arrays]
        g = gg.asarray(channels_last(cotangent_like(function(*inputs))), device=self.device)

        def run() -> list[Any]:
            function(*inputs).backward(g)
            found = [tensor.grad for tensor in inputs]
            for tensor in inputs:
                tensor.grad = None
            return found

        def check() -> list[float]:
            return [v for grad in run() for v in digest(grad.numpy())]

        return _with_mode({"backward": Program(run, check=check)}, params["fast"])

    def network(self, params: dict[str, Any]) -> dict[str, Program]:
        """A training step of a network."""
        model = gpugrad_network(params["network"]).to(self.device)
        optimizer = gg.optim.SGD(model.parameters(), lr=SGD_RATE, momentum=0.9)
        x, labels = map(self._tensor, network_data(params["network"]))

        def step() -> None:
            optimizer.zero_grad()
            gg.nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()

        return _with_mode({"step": Program(step)}, params["fast"])

    def adam(self, params: dict[str, Any]) -> dict[str, Program]:
        """`optimizer.step()` with gradients in place."""
        values, gradients = adam_data(params)
        parameters = [self._tensor(value, requires_grad=True) for value in values]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = self._tensor(gradient)
        optimizer = gg.optim.Adam(parameters, lr=ADAM_RATE)

        def check() -> list[float]:
            optimizer.step()
            optimizer.step()
            return digest(parameters[0].detach().numpy()) + digest(parameters[-1].detach().numpy())

        return {"step": Program(optimizer.step, check=check)}

    def per_example(self, params: dict[str, Any]) -> dict[str, Program]:
        """`vmap(grad(loss))` with the parameters shared."""
        data = mlp_data(params)
        model = self.model(data.layers, params["activation"])
        own = {name: value.detach() for name, value in model.named_parameters()}
        x, labels = self._tensor(data.x), self._tensor(data.labels)

        def loss(parameters: Any, x: Any, label: Any) -> Any:
            return gg.nn.functional.cross_entropy(gg.nn.functional_call(model, parameters, x), label)

        gradients = gg.vmap(gg.grad(loss), in_axes=(None, 0, 0))

        def run() -> Any:
            return gradients(own, x, labels)

        def check() -> list[float]:
            found = run()
            return digest(found["0.weight"].numpy()[-1]) + digest(found["2.bias"].numpy())

        return {"vmap(grad)": Program(run, check=check)}

    def jacobian(self, params: dict[str, Any]) -> dict[str, Program]:
        """`jacrev` of tanh(weight @ x) at one x."""
        weight, x, _ = map(self._tensor, layer_data(params))
        jacobian = gg.jacrev(lambda x: gg.tanh(weight @ x))
        return {"jacrev": Program(lambda: jacobian(x), check=lambda: digest(jacobian(x).numpy()))}

    def copy(self, params: dict[str, Any]) -> dict[str, Program]:
        """One bare array copied into another: the bandwidth that the kernels are held against."""
        source = self._tensor(elementwise_data(params)[0]).data
        target = source.copy()

        def copy() -> None:
            target[...] = source

        return {"copy": Program(copy)}
