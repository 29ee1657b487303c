"""PyTorch's side: eager mode, at the best of its default, foreach and fused optimizers.

For a VJP both public ways are programs (`torch.autograd.grad` on a retained graph, and the backward function
of the operation called directly, where there is one); the runner takes the faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.data import (
    ADAM_RATE,
    SGD_RATE,
    adam_data,
    digest,
    elementwise_data,
    gemm_data,
    layer_data,
    mlp_data,
)
from benchmarks.layers import channels_last, function_of, layer_of, network_data, torch_network
from benchmarks.layers import layer_data as arrays_of
from benchmarks.libs.base import Library, Program
from benchmarks.loops import loop_functions
from benchmarks.operations import cotangent_like, operation_data, torch_functions

_MODULES: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}

_FORWARD: dict[str, Callable[..., Tensor]] = {
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "relu": torch.relu,
}

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805

# (g, x, y) -> gradient of x, where PyTorch exposes the backward function of the operation.
_DIRECT: dict[str, Callable[[Any, Tensor, Tensor, Tensor], Tensor]] = {
    "relu": lambda a, g, x, y: a.threshold_backward(g, y, 0),
    "leaky_relu": lambda a, g, x, y: a.leaky_relu_backward(g, x, 0.01, False),
    "elu": lambda a, g, x, y: a.elu_backward(g, 1.0, 1.0, 1.0, False, x),
    "selu": lambda a, g, x, y: a.elu_backward(g, _SELU_ALPHA, _SELU_SCALE, 1.0, False, x),
    "celu": lambda a, g, x, y: a.elu_backward(g, 1.0, 1.0, 1.0, False, x),
    "gelu": lambda a, g, x, y: a.gelu_backward(g, x, approximate="none"),
    "gelu_tanh": lambda a, g, x, y: a.gelu_backward(g, x, approximate="tanh"),
    "silu": lambda a, g, x, y: a.silu_backward(g, x),
    "mish": lambda a, g, x, y: a.mish_backward(g, x),
    "softplus": lambda a, g, x, y: a.softplus_backward(g, x, 1.0, 20.0),
    "sigmoid": lambda a, g, x, y: a.sigmoid_backward(g, y),
    "tanh": lambda a, g, x, y: a.tanh_backward(g, y),
    "hardtanh": lambda a, g, x, y: a.hardtanh_backward(g, x, -1.0, 1.0),
    "relu6": lambda a, g, x, y: a.hardtanh_backward(g, x, 0.0, 6.0),
    "hardsigmoid": lambda a, g, x, y: a.hardsigmoid_backward(g, x),
    "hardswish": lambda a, g, x, y: a.hardswish_backward(g, x),
}


def make(name: str, device: str) -> TorchLibrary:
    """PyTorch on a device.

    Raises:
        RuntimeError: `device` is "cuda" and this PyTorch sees no device.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("this PyTorch sees no CUDA device")
    return TorchLibrary(name, device)


def _optimizers(kind: str, parameters: list[Tensor]) -> dict[str, Callable[[], torch.optim.Optimizer]]:
    def build(**how: Any) -> torch.optim.Optimizer:
        if kind == "sgd":
            return torch.optim.SGD(parameters, lr=SGD_RATE, **how)
        return torch.optim.Adam(parameters, lr=ADAM_RATE, **how)

    return {
        "default": build,
        "foreach": lambda: build(foreach=True),
        "fused": lambda: build(fused=True),
    }


class TorchLibrary(Library):
    """PyTorch eager."""

    def facts(self) -> dict[str, str]:
        facts = {
            "threads": str(torch.get_num_threads()),
            "blas": torch.__config__.parallel_info().split("\n")[0],
        }
        if self.device == "cuda":
            facts["device"] = torch.cuda.get_device_name(0)
            facts["tf32"] = str(torch.backends.cuda.matmul.allow_tf32)
        return facts

    def measure(self, run: Callable[[], object]) -> float:
        if self.device == "cpu":
            return super().measure(run)
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1e3

    def memory_now(self) -> int:
        return super().memory_now() if self.device == "cpu" else torch.cuda.memory_allocated()

    def memory_peak(self) -> int:
        return super().memory_peak() if self.device == "cpu" else torch.cuda.max_memory_reserved()

    def reset_memory_peak(self) -> None:
        if self.device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        super().reset_memory_peak()

    def _tensor(self, array: Any) -> Tensor:
        return torch.tensor(array, device=self.device)

    def mlp(self, params: dict[str, Any]) -> dict[str, Program]:
        """The training step, once for each way to update."""
        return {how: self._mlp_program(params, how) for how in _optimizers(params["optimizer"], [])}

    def _model(self, layers: list[tuple[Any, Any]], activation: str) -> nn.Module:
        modules: list[nn.Module] = []
        for weight, bias in layers:
            layer = nn.Linear(weight.shape[1], weight.shape[0], device=self.device)
            with torch.no_grad():
                layer.weight.copy_(self._tensor(weight))
                layer.bias.copy_(self._tensor(bias))
            modules += [layer, _MODULES[activation]()]
        return nn.Sequential(*modules[:-1])

    def _mlp_program(self, params: dict[str, Any], how: str) -> Program:
        data = mlp_data(params)
        model = self._model(data.layers, params["activation"])
        optimizer = _optimizers(params["optimizer"], list(model.parameters()))[how]()
        x, labels = self._tensor(data.x), self._tensor(data.labels)

        def step() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        return Program(step, check=lambda: [step().item(), step().item()])

    def gemm(self, params: dict[str, Any]) -> dict[str, Program]:
        """The matrix products of the step into arrays that are there already."""
        products = [
            (self._tensor(a), self._tensor(b), torch.empty(a.shape[0], b.shape[1], device=self.device))
            for a, b in gemm_data(params)
        ]

        def multiply() -> None:
            for a, b, out in products:
                torch.mm(a, b, out=out)

        return {"mm": Program(multiply)}

    def loop(self, params: dict[str, Any]) -> dict[str, Program]:
        """Parts of one array, one after the other."""
        return {"eager": Program(*loop_functions(torch, self.device, params))}

    def tape(self, params: dict[str, Any]) -> dict[str, Program]:
        """A chain of `y * scale` and `y + shift`."""
        x = torch.ones(params["width"], device=self.device, requires_grad=True)
        ones = torch.ones(params["width"], device=self.device)
        pairs, scale, shift = params["ops"] // 2, params["scale"], params["shift"]
        kept: list[Tensor] = []

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
            values = digest(kept[0].detach().cpu())
            backward()
            assert x.grad is not None
            return values + digest(x.grad.cpu())

        if params["phase"] == "forward":
            return {"eager": Program(forward, fresh, check)}
        return {"eager": Program(backward, ready, check)}

    def elementwise(self, params: dict[str, Any]) -> dict[str, Program]:
        """`y = f(x)` without a graph, or the VJP of a retained graph."""
        name, array = params["function"], elementwise_data(params)
        x, g = self._tensor(array[0]), self._tensor(array[1])
        if name == "step":
            return self._step_programs(x)
        function = _FORWARD.get(name) or getattr(F, name)
        extra = [torch.full((1,), 0.25, device=self.device)] if name == "prelu" else []
        if params["phase"] == "forward":

            def forward() -> Tensor:
                with torch.no_grad():
                    return function(x, *extra)

            return {"eager": Program(forward, check=lambda: digest(forward().cpu()))}
        return self._vjp_programs(name, function, x, g, extra)

    def _vjp_programs(
        self, name: str, function: Callable[..., Tensor], x: Tensor, g: Tensor, extra: list[Tensor]
    ) -> dict[str, Program]:
        inputs = [x.requires_grad_(), *(tensor.requires_grad_() for tensor in extra)]
        y = function(*inputs)

        def graph() -> tuple[Tensor, ...]:
            return torch.autograd.grad(y, inputs, g, retain_graph=True)

        programs = {"autograd.grad": Program(graph, check=lambda: digest(graph()[0].cpu()))}
        if name in _DIRECT:
            rule, aten = _DIRECT[name], torch.ops.aten
            x0, y0 = x.detach(), y.detach()

            def direct() -> Tensor:
                return rule(aten, g, x0, y0)

            programs["aten backward"] = Program(direct, check=lambda: digest(direct().cpu()))
        return programs

    def _step_programs(self, x: Tensor) -> dict[str, Program]:
        """A hard threshold has no function of its own in PyTorch: the best of two ways to write it."""
        zero = torch.zeros((), device=self.device)

        def compare() -> Tensor:
            return (x > 0).to(x.dtype)

        def heaviside() -> Tensor:
            return torch.heaviside(x, zero)

        return {
            "compare": Program(compare, check=lambda: digest(compare().cpu())),
            "heaviside": Program(heaviside, check=lambda: digest(heaviside().cpu())),
        }

    def operation(self, params: dict[str, Any]) -> dict[str, Program]:
        """`y = f(*inputs)` without a graph, or `torch.autograd.grad` on a retained one."""
        function = torch_functions()[params["function"]]
        wants_grad = params["phase"] == "vjp"
        arrays = operation_data(params)
        inputs = [torch.tensor(array, device=self.device, requires_grad=wants_grad) for array in arrays]
        if not wants_grad:

            def forward() -> Tensor:
                with torch.no_grad():
                    return function(*inputs)  # type: ignore[no-any-return]

            return {"eager": Program(forward, check=lambda: digest(forward().cpu().numpy()))}
        y = function(*inputs)
        g = torch.tensor(cotangent_like(y), device=self.device)

        def vjp() -> Any:
            return torch.autograd.grad(y, inputs, g, retain_graph=True)

        return {"autograd": Program(vjp, check=lambda: [v for grad in vjp() for v in digest(grad.cpu().numpy())])}

    def layer(self, params: dict[str, Any]) -> dict[str, Program]:
        """A layer forward and backward, in both memory orders or in the one that is named."""
        layer = layer_of(params)
        orders: dict[str, Callable[[Any], Any]] = {"channels second": lambda a: a, "channels last": channels_last}
        return {
            order: self._layer_program([arranged(a) for a in arrays_of(layer)], function_of(layer, F))
            for order, arranged in orders.items()
            if params.get("order", order) == order
        }

    def _layer_program(self, arrays: list[Any], function: Callable[..., Tensor]) -> Program:
        inputs = [torch.from_numpy(array).to(self.device).requires_grad_() for array in arrays]
        y = function(*inputs).detach()
        g = torch.empty_like(y).copy_(torch.from_numpy(cotangent_like(y)))

        def run() -> Any:
            return torch.autograd.grad(function(*inputs), inputs, g)

        return Program(run, check=lambda: [v for grad in run() for v in digest(grad.cpu().numpy())])

    def network(self, params: dict[str, Any]) -> dict[str, Program]:
        """A training step of a network, in both memory orders."""
        return {order: self._network_program(params["network"], order) for order in ("contiguous", "channels_last")}

    def _network_program(self, name: str, order: str) -> Program:
        memory_format = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[order]
        model: Any = torch_network(name).to(self.device, memory_format=memory_format)
        optimizer = torch.optim.SGD(model.parameters(), lr=SGD_RATE, momentum=0.9)
        images, labels = network_data(name)
        x, t = self._tensor(images).to(memory_format=memory_format), self._tensor(labels)

        def step() -> None:
            optimizer.zero_grad()
            F.cross_entropy(model(x), t).backward()
            optimizer.step()

        return Program(step)

    def adam(self, params: dict[str, Any]) -> dict[str, Program]:
        """`optimizer.step()` with gradients in place, once for each way to update."""
        return {how: self._adam_program(params, how) for how in _optimizers("adam", [])}

    def _adam_program(self, params: dict[str, Any], how: str) -> Program:
        values, gradients = adam_data(params)
        parameters = [nn.Parameter(self._tensor(value)) for value in values]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = self._tensor(gradient)
        optimizer = _optimizers("adam", list(parameters))[how]()

        def check() -> list[float]:
            optimizer.step()
            optimizer.step()
            return digest(parameters[0].detach().cpu()) + digest(parameters[-1].detach().cpu())

        return Program(optimizer.step, check=check)

    def per_example(self, params: dict[str, Any]) -> dict[str, Program]:
        """`torch.func.vmap(grad(loss))` with the parameters shared."""
        data = mlp_data(params)
        model = self._model(data.layers, params["activation"])
        own = {name: value.detach() for name, value in model.named_parameters()}
        x, labels = self._tensor(data.x), self._tensor(data.labels)

        def loss(parameters: Any, x: Tensor, label: Tensor) -> Tensor:
            return F.cross_entropy(torch.func.functional_call(model, parameters, (x,)), label)

        gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))

        def run() -> Any:
            return gradients(own, x, labels)

        def check() -> list[float]:
            found = run()
            return digest(found["0.weight"][-1].cpu()) + digest(found["2.bias"].cpu())

        return {"vmap(grad)": Program(run, check=check)}

    def jacobian(self, params: dict[str, Any]) -> dict[str, Program]:
        """`torch.func.jacrev` of tanh(weight @ x) at one x."""
        weight, x, _ = map(self._tensor, layer_data(params))
        jacobian = torch.func.jacrev(lambda x: torch.tanh(weight @ x))
        return {"jacrev": Program(lambda: jacobian(x), check=lambda: digest(jacobian(x).cpu()))}

    def jacobian_products(self, params: dict[str, Any]) -> dict[str, Program]:
        """One product for the value and one for all rows."""
        weight, x, g = map(self._tensor, layer_data(params))
        return {"mm": Program(lambda: (weight @ x, g @ weight))}

    def copy(self, params: dict[str, Any]) -> dict[str, Program]:
        """One array copied into another."""
        source = self._tensor(elementwise_data(params)[0])
        target = torch.empty_like(source)
        return {"copy_": Program(lambda: target.copy_(source))}
