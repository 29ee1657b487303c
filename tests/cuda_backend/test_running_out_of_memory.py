"""Every way to ask for memory that a device has not got ends in `gg.OutOfMemoryError`, which names the call."""

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad import train
from gpugrad.nn import functional as F
from tests.standin import State

N = 512
BYTES = 4 * N * N
HOST = np.ones((N, N), np.float32)

Way = Callable[[], Callable[[], Any]]  # makes what is needed; gives what then asks for memory


def full(**options: Any) -> Any:
    return gg.full((N, N), 0.5, device="cuda", **options)


def layer(device: str = "cuda") -> Any:
    return gg.nn.Linear(N, N, device=device)


def with_gradients() -> Any:
    model = layer()
    for p in model.parameters():
        p.grad = gg.zeros_like(p)
    return model


def updating(make: Callable[[Any], Any]) -> Callable[[], Any]:
    optimizer = make(list(with_gradients().parameters()))
    return lambda: optimizer.step()  # noqa: PLW0108 - not a method, whose object would be asked for early


def state_of_adam() -> dict[str, Any]:
    shapes = (N, N), (N,)
    state = {i: {"step": 1, "exp_avg": np.ones(s), "exp_avg_sq": np.ones(s)} for i, s in enumerate(shapes)}
    return {"state": state, "param_groups": [{"params": [0, 1], "lr": 0.1}]}


def loading_adam() -> Callable[[], Any]:
    optimizer = gg.optim.Adam(layer().parameters())
    return lambda: optimizer.load_state_dict(state_of_adam())


def taken(x: Any, function: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: function(x)


def resuming() -> Callable[[], Any]:
    model = layer()
    state = {name: t.detach().cpu() for name, t in model.state_dict().items()}
    return lambda: model.load_state_dict(state)


def loading() -> Callable[[], Any]:
    examples = train.Examples(gg.tensor(HOST, device="cpu"), gg.zeros(N, dtype="int64", device="cpu"))
    return lambda: list(train.batches(examples, N, device="cuda"))


def looking_ahead() -> Callable[[], Any]:
    y = gg.tanh(full(requires_grad=True))
    return lambda: y.backward(y.detach())


def compiled() -> Callable[[], Any]:
    x, step = full(), gg.compile(gg.tanh)
    return lambda: step(x)


def unpickled() -> Callable[[], Any]:
    text = pickle.dumps(full())
    return lambda: pickle.loads(text)


WAYS: dict[str, tuple[str, Way]] = {
    "zeros": ("zeros", lambda: lambda: gg.zeros(N, N, device="cuda")),
    "ones": ("ones", lambda: lambda: gg.ones(N, N, device="cuda")),
    "empty": ("empty", lambda: lambda: gg.empty(N, N, device="cuda")),
    "full": ("full", lambda: full),
    "arange": ("arange", lambda: lambda: gg.arange(N * N, device="cuda")),
    "linspace": ("linspace", lambda: lambda: gg.linspace(0, 1, N * N, device="cuda")),
    "eye": ("eye", lambda: lambda: gg.eye(N, device="cuda")),
    "zeros_like": ("zeros_like", lambda: taken(full(), gg.zeros_like)),
    "rand": ("rand", lambda: lambda: gg.rand(N, N, device="cuda")),
    "randn": ("randn", lambda: lambda: gg.randn(N, N, device="cuda")),
    "randint": ("randint", lambda: lambda: gg.randint(0, 9, (N, N), device="cuda")),
    "randperm": ("randperm", lambda: lambda: gg.randperm(N * N, device="cuda")),
    "randn_like": ("randn_like", lambda: taken(full(), gg.randn_like)),
    "tensor of an array": ("tensor", lambda: lambda: gg.tensor(HOST, device="cuda")),
    "tensor of lists": ("tensor", lambda: lambda: gg.tensor([[1.0] * N] * N, device="cuda")),
    "tensor of a tensor": ("tensor", lambda: taken(full(), gg.tensor)),
    "asarray": ("asarray", lambda: lambda: gg.asarray(HOST, device="cuda")),
    "from main memory": ("to_device", lambda: taken(gg.tensor(HOST, device="cpu"), lambda x: x.to("cuda"))),
    "another dtype": ("astype", lambda: taken(full(), lambda x: x.to(gg.float64))),
    "clone": ("clone", lambda: taken(full(), lambda x: x.clone())),
    "a copy": ("Tensor.__deepcopy__", lambda: taken(full(), copy.deepcopy)),
    "a pickle": ("_restore", unpickled),
    "a model is made": ("Linear", lambda: layer),
    "a model is moved": ("Linear.to", lambda: taken(layer("cpu"), lambda m: m.to("cuda"))),
    "a model is widened": ("Linear.double", lambda: taken(layer(), lambda m: m.double())),
    "a model is loaded": ("Linear.load_state_dict", resuming),
    "the state of an optimizer": ("Adam.step", lambda: updating(gg.optim.Adam)),
    "momentum": ("SGD.step", lambda: updating(lambda p: gg.optim.SGD(p, lr=0.1, momentum=0.9))),
    "the state is loaded": ("Adam.load_state_dict", loading_adam),
    "initial values": ("normal_", lambda: taken(full(), gg.nn.init.normal_)),
    "orthogonal ones": ("orthogonal_", lambda: taken(full(), gg.nn.init.orthogonal_)),
    "batches": ("batches", loading),
    "an operation": ("tanh", lambda: taken(full(requires_grad=True), gg.tanh)),
    "a product": ("matmul", lambda: taken(full(), lambda x: x @ x)),
    "a backward pass": ("backward", looking_ahead),
    "sort": ("sort", lambda: taken(full(), gg.sort)),
    "cumsum": ("cumsum", lambda: taken(full(), lambda x: gg.cumsum(x, 0))),
    "argmax": ("argmax", lambda: taken(full().reshape(-1, 1), lambda x: gg.argmax(x, 1))),
    "median": ("median", lambda: taken(full(), gg.median)),
    "in": ("Tensor.__contains__", lambda: taken(full(), lambda x: 3.0 in x)),
    "one_hot": ("one_hot", lambda: taken(gg.zeros(N * N, dtype="int64", device="cuda"), lambda i: F.one_hot(i, 2))),
    "a compiled step": ("Compiled", compiled),
}


@pytest.mark.parametrize("bounded", [False, True], ids=["full", "bounded"])
@pytest.mark.parametrize("way", list(WAYS))
def test_every_way_to_run_out_is_told_with_the_call(gpu: State, way: str, bounded: bool) -> None:
    name, make = WAYS[way]
    gg.zeros(1, device="cuda")
    call = make()
    call_once = gg.rand(2, 2, device="cuda")  # what the device keeps for good is there
    assert (call_once @ call_once).shape == (2, 2)
    gg.cuda.empty_cache()
    before, gpu.capacity = gpu.capacity, gpu.taken[0] + BYTES // 8
    if bounded:
        gpu.capacity = before
        gg.cuda.set_memory_limit(gg.cuda.memory_reserved() + BYTES // 8)
    try:
        with pytest.raises(gg.OutOfMemoryError) as caught:
            call()
    finally:
        gpu.capacity = before
        gg.cuda.set_memory_limit(0)
    text = str(caught.value)
    assert re.match(rf"\[{re.escape(name)}\] out of memory on cuda:0", text)
    assert re.search(r"Out of memory allocating [\d,]+ bytes .*MiB are in arrays, .* free for all programs\n", text)
    assert "Try a smaller batch" in text
    assert isinstance(caught.value, MemoryError)
    call()  # nothing of it is broken


def test_it_is_cupys_error_too_and_crosses_processes(gpu: State) -> None:
    import cupy

    theirs = cupy.cuda.memory.OutOfMemoryError
    gg.zeros(1, device="cuda")
    gg.cuda.set_memory_limit(gg.cuda.memory_reserved() + 512)
    try:
        with pytest.raises(theirs, match=r"\[zeros\]") as caught:
            gg.zeros(N, N, device="cuda")
        with pytest.raises(theirs, match=r"^Out of memory allocating") as alone:
            cupy.empty((N, N), np.float32)
    finally:
        gg.cuda.set_memory_limit(0)
    assert isinstance(caught.value, gg.OutOfMemoryError)
    assert isinstance(alone.value, theirs), "CuPy's own words where nothing of gpugrad was called"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (gg.OutOfMemoryError, str(caught.value))


def test_a_function_of_the_users_within_one_of_ours_names_the_inner_call(gpu: State) -> None:
    x = gg.zeros(2, device="cuda")
    gg.cuda.set_memory_limit(gg.cuda.memory_reserved() + 512)
    try:
        with pytest.raises(gg.OutOfMemoryError, match=r"^\[ones\] out of memory on cuda:0"):
            gg.checkpoint(lambda x: gg.ones(N, N, device="cuda") * x[0])(x)
    finally:
        gg.cuda.set_memory_limit(0)


HUGE = 1 << 58


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("zeros", lambda: gg.zeros(HUGE, device="cpu")),
        ("rand", lambda: gg.rand(HUGE, device="cpu")),
        ("arange", lambda: gg.arange(HUGE, device="cpu")),
        ("eye", lambda: gg.eye(1 << 30, device="cpu")),
        ("tanh", lambda: gg.tanh(gg.broadcast_to(gg.zeros(1, device="cpu"), (HUGE,)))),
        ("sort", lambda: gg.sort(gg.broadcast_to(gg.zeros(1, device="cpu"), (HUGE,)))),
    ],
)
def test_main_memory_runs_out_in_the_same_words(name: str, call: Callable[[], Any]) -> None:
    with pytest.raises(gg.OutOfMemoryError, match=rf"\[{name}\] out of memory on cpu.*Unable to allocate"):
        call()
