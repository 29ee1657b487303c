"""CuPy's functions that refuse tensors say what to use, and none takes a tensor's values: the real CuPy, no device."""

import importlib
import inspect
import os
import pickle
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from gpugrad.bridges import cupy as bridge
from tests.standin import real_cupy

SPACES = (*bridge.SPACES, "cupyx", "cupy.random", "cupyx.scipy.ndimage", "cupyx.scipy.sparse", "cupyx.scipy.stats")


@pytest.fixture
def plain() -> Any:
    """CuPy as it is."""
    found = real_cupy()
    if found is None:
        pytest.skip("CuPy is not installed")
    importlib.import_module("cupyx.scipy.special")
    bridge.hints(False)
    return found


@pytest.fixture
def cupy(plain: Any) -> Iterator[Any]:
    """CuPy with hints."""
    bridge.hints(True)
    yield plain
    bridge.hints(False)


def square() -> gg.Tensor:
    return gg.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=np.float64, requires_grad=True)


def array(cupy: Any) -> Any:
    """A CuPy array on the host's memory: enough for what looks at types and shapes only."""
    data = np.ones((2, 2))
    memory = cupy.cuda.UnownedMemory(data.ctypes.data, data.nbytes, data, device_id=0)
    return cupy.ndarray((2, 2), data.dtype, memptr=cupy.cuda.MemoryPointer(memory, 0))


def calls(cupy: Any) -> dict[str, tuple[Any, ...]]:
    """Arguments with tensors among them, in all places that functions have."""
    t, s, a = square(), gg.tensor(2.0, dtype=np.float64, requires_grad=True), array(cupy)
    return {
        "t": (t,), "t[0]": (t[0],), "tt": (t, t), "ta": (t, a), "at": (a, t), "t0": (t, 0), "t2": (t, 2),
        "[tt]": ([t, t],), "[at]": ([a, t],), "[s1]": ([s, 1.0],), "as": (a, s), "t(2,2)": (t, (2, 2)),
        "(2,2)s": ((2, 2), s), "att": (a, t, t), "taa": (t, a, a), "ij,jk": ("ij,jk", t, a), "2s": (2, s),
        "at0": (a, t, 0),
    }  # fmt: skip


CALLS = {
    "matmul": "at", "inner": "ta", "vdot": "at", "dot": "at", "kron": "ta", "stack": "[tt]", "cumsum": "t",
    "cumprod": "t", "expand_dims": "t0", "broadcast_to": "t(2,2)", "split": "t2", "zeros_like": "t", "array": "[tt]",
    "pad": "t0", "roll": "t0", "any": "t", "median": "t", "nonzero": "t", "linalg.norm": "t(2,2)", "linalg.svd": "t",
}  # fmt: skip


@pytest.mark.parametrize("name", list(CALLS))
def test_the_error_names_the_function_to_use(cupy: Any, name: str) -> None:
    function: Any = cupy
    for part in name.split("."):
        function = getattr(function, part)
    expected = rf"^\[cupy\.{name}\] .*; use gpugrad\.numpy\.{name}, or the array, x\.detach\(\)\.data"
    try:
        with pytest.raises((TypeError, AttributeError, ValueError), match=expected) as error:
            function(*calls(cupy)[CALLS[name]])
    except ImportError as missing:
        pytest.skip(f"CuPy first loads a library: {missing}")
    assert error.value.__cause__ is not None, "what CuPy said is lost"


def test_no_function_refuses_a_tensor_in_its_own_words(cupy: Any) -> None:
    """Whatever fails with a tensor says so in the form of the house, except for what the missing device raises."""
    found, named, theirs = 0, set(), []
    for space, name, _, thin in bridge._replaced:
        for arguments in calls(cupy).values():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    thin(*arguments)
            except bridge._REFUSALS as error:
                found += 1
                theirs += [] if str(error).startswith("[") else [f"{space.__name__}.{name}: {error}"]
                named |= set() if error.__cause__ is None else {thin}
            except (RuntimeError, ImportError, ArithmeticError, LookupError):  # no device or library; not about types
                pass
    assert theirs == []
    assert found > 1000
    assert len(named) > 120


def test_every_substitute_is_there_and_ours(cupy: Any) -> None:
    names = [(bridge.SPACES[space.__name__], name) for space, name, _, _ in bridge._replaced]
    assert len(names) == len(set(names)) > 200
    for space, name in names:
        function = getattr(importlib.import_module(space), name)
        assert callable(function)
        assert function is not getattr(np, name, None)
    assert {"matmul", "concatenate", "einsum", "stack", "cumsum", "pad", "sort"} <= {name for _, name in names}
    assert not {"sin", "add", "where_", "ndarray", "float32", "arange", "finfo"} & {name for _, name in names}


def test_functions_stay_what_they_were_but_for_the_error(plain: Any) -> None:
    before = {(space, name): value for space in bridge.SPACES for name, value in vars(sys_module(space)).items()}
    bridge.hints(True)
    try:
        bridge.hints(True)
        for space, name, own, thin in bridge._replaced:
            assert before[space.__name__, name] is own
            assert thin.__wrapped__ is own
            assert thin.__doc__ == own.__doc__
            assert pickle.loads(pickle.dumps(thin)) is getattr(space, name) is thin
            assert signature(thin) == signature(own)
        assert plain.concat is plain.concatenate
        assert plain.concat.__qualname__ == "concatenate"
        assert plain.linalg.matmul is plain.matmul
        assert plain.matmul._signature == plain.matmul.__wrapped__._signature
        assert isinstance(plain.add, plain.ufunc)
    finally:
        bridge.hints(False)
    assert all(vars(sys_module(space))[name] is value for (space, name), value in before.items())


def sys_module(name: str) -> types.ModuleType:
    return importlib.import_module(name)


def signature(function: Callable[..., Any]) -> Any:
    try:
        return inspect.signature(function)
    except ValueError:  # compiled, and without one
        return None


def test_what_somebody_else_put_there_stays(cupy: Any) -> None:
    own = cupy.matmul.__wrapped__
    cupy.matmul = somebodys = object()
    try:
        bridge.hints(False)
        assert cupy.matmul is somebodys
    finally:
        cupy.matmul = own


def test_errors_without_a_tensor_and_errors_of_our_operations_are_left_alone(cupy: Any) -> None:
    for call in (lambda: cupy.matmul(1, 2), lambda: cupy.stack([1.0]), lambda: cupy.cumsum("a")):
        with pytest.raises(TypeError, match=r"^Argument 'a' has incorrect type") as error:
            call()
        assert error.value.__cause__ is None
    with pytest.raises(np.exceptions.AxisError, match=r"^\[sum\] axis = 5 for an array of shape") as error:
        cupy.sum(square(), axis=5)
    assert error.value.__cause__ is None
    with pytest.raises(TypeError, match=r"^\[cupy\.sum\] sum\(\) got an unexpected .* use gpugrad\.numpy\.sum,"):
        cupy.sum(square(), gpu=True)


def test_cupys_own_calls_of_its_functions_leave_the_word_to_the_outermost(cupy: Any) -> None:
    scope = {"__name__": "cupy._inside", "cupy": cupy}
    exec("def outer(x): return cupy.array([x])\ndef typed(x): return cupy.cumsum(x)", scope)  # as if it were CuPy's
    with pytest.raises(TypeError, match=r"^\[cupy\.outer\] takes bare arrays only.*use gpugrad\.numpy\.outer"):
        scope["outer"](square())  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"^Argument 'a' has incorrect type"):
        scope["typed"](square())  # type: ignore[operator]
    with pytest.raises(TypeError, match=r"^\[cupy\.array\] takes bare arrays only.*use gpugrad\.numpy\.array"):
        cupy.array([square()])


def run(program: str, **environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_cupy_is_touched_only_when_a_gpu_is_used(plain: Any) -> None:
    program = (
        "import sys, gpugrad as gg, gpugrad.numpy\n"
        "gg.tanh(gg.ones(3)).sum(); print('cupy' in sys.modules)\n"
        "gg.cuda.set_cupy_hints(gg.cuda.get_cupy_hints()); print('cupy' in sys.modules)\n"
        "import cupy; own = cupy.matmul; gg.ones(3); print(cupy.matmul is own)\n"
        "from gpugrad.backend import cuda_settings; cuda_settings.apply_hints(); print(cupy.matmul is own)\n"
        "gg.cuda.set_cupy_hints(False); print(cupy.matmul is own)\n"
        "gg.cuda.set_cupy_hints(True); print(cupy.matmul is own)\n"
    )
    assert run(program, GPUGRAD_DEVICE="cpu") == ["False", "False", "True", "False", "True", "False"]
    off = ["False", "False", "True", "True", "True", "False"]
    assert run(program, GPUGRAD_DEVICE="cpu", GPUGRAD_CUPY_HINTS="0") == off


# Ways to a tensor's values. What Python itself converts by (`__float__`, `__int__`) warns, and `__array__` and
# `__dlpack__` refuse: tests/interop/test_protocols.py.
DOORS = ("data", "numpy", "item", "tolist", "detach", "cpu", "to", "to_device")
ASKED = {"show_config", "save", "savez", "savez_compressed", "savetxt", "load", "disp"}  # files and the terminal


@pytest.mark.parametrize("space", SPACES)
def test_no_function_takes_the_values_of_a_tensor(plain: Any, space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every public function, with tensors in all places: none opens a door, none returns an array without a device.

    Without a device a call ends where the device is wanted; what lies behind is CuPy's conversion through `__array__`.
    """
    opened: list[str] = []

    def door(name: str) -> property:
        before = inspect.getattr_static(gg.Tensor, name)

        def look(self: gg.Tensor) -> Any:
            if sys._getframe(1).f_globals.get("__name__", "").partition(".")[0] in ("cupy", "cupyx"):
                opened.append(f"{now}: {name}")
            return before.__get__(self, gg.Tensor)

        return property(look, getattr(before, "__set__", None))

    for name in DOORS:
        monkeypatch.setattr(gg.Tensor, name, door(name))
    given = calls(plain)
    for now, function in list(vars(sys_module(space)).items()):
        if now.startswith("_") or now in ASKED or not callable(function) or isinstance(function, type):
            continue
        for kind, arguments in given.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found = function(*arguments)
                except Exception:
                    continue
            parts = found if isinstance(found, tuple | list) else [found]
            bare = [p for p in parts if isinstance(p, np.ndarray | plain.ndarray) and p.dtype.kind in "fc"]
            memory = given["at"][0].data.mem  # the array that was among the arguments may come back, or a view of it
            new = [b for b in bare if isinstance(b, np.ndarray) or b.data.mem is not memory]
            assert not new, f"{space}.{now} of {kind}"
    assert opened == []


def test_items_and_methods_of_arrays_refuse_a_tensor_that_needs_a_gradient(plain: Any) -> None:
    a, t, s = array(plain), square(), square().sum()
    writes = (lambda: a.fill(s), lambda: a.__setitem__(0, t[0]), lambda: a.__setitem__((0, 0), s), lambda: a.repeat(s))
    for write in (*writes, lambda: plain.float64(s), lambda: plain.multiply.outer(t, t)):
        with pytest.raises(gg.GradientError, match=r"use x\.detach\(\)"):
            write()
    for call in (lambda: a.set(t), lambda: a.dot(t), lambda: plain.ndarray((2, 2), float, t), lambda: plain.asnumpy(t)):
        with pytest.raises(TypeError):
            call()
