"""The stand-in is honest: it offers nothing that CuPy has not, and refuses what CuPy refuses."""

from typing import Any

import numpy as np
import pytest

import gpugrad as gg
from tests.standin import State, module, real_cupy

cupy = module()


@pytest.fixture
def real() -> Any:
    found = real_cupy()
    if found is None:
        pytest.skip("CuPy is not installed; its names cannot be compared")
    return found


def public(thing: Any) -> set[str]:
    return {name for name in vars(thing) if not name.startswith("_")}


def test_every_name_is_one_of_cupys(real: Any) -> None:
    missing = {name for name in public(cupy) if not hasattr(real, name)}
    missing |= {f"cuda.{name}" for name in public(cupy.cuda) if not hasattr(real.cuda, name)}
    missing |= {f"cuda.runtime.{name}" for name in public(cupy.cuda.runtime) if not hasattr(real.cuda.runtime, name)}
    assert not missing


@pytest.mark.parametrize("kind", ["ndarray", "RawModule"])
def test_every_method_is_one_of_cupys(real: Any, kind: str) -> None:
    extra = {name for name in public(getattr(cupy, kind)) if not hasattr(getattr(real, kind), name)}
    assert extra <= {"built"}, "built() is the stand-in's own"


@pytest.mark.parametrize("kind", ["Device", "Stream", "Event", "MemoryPool"])
def test_every_method_of_the_runtime_is_one_of_cupys(real: Any, kind: str) -> None:
    assert not {n for n in public(getattr(cupy.cuda, kind)) if not hasattr(getattr(real.cuda, kind), n)}


def test_an_unlisted_name_is_an_error_that_says_so(gpu: State) -> None:
    with pytest.raises(AttributeError, match=r"the stand-in has no cupy\.sparse"):
        cupy.sparse  # noqa: B018


def test_arguments_that_cupy_does_not_know_are_refused(gpu: State, real: Any) -> None:
    with pytest.raises(TypeError, match="where"):
        cupy.sum(cupy.ones(3), where=True)


def test_it_is_no_numpy_array_and_never_becomes_one(gpu: State) -> None:
    x = cupy.ones(3)
    assert not isinstance(x, np.ndarray)
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    for mixed in (lambda: x + np.ones(3), lambda: np.ones(3) + x, lambda: cupy.add(x, [1, 2, 3])):
        with pytest.raises(TypeError):
            mixed()
    with pytest.raises(TypeError):
        x[...] = np.ones(3)
    with pytest.raises(TypeError):
        cupy.matmul(x, np.ones(3))


def test_numpys_functions_dispatch_to_it(gpu: State) -> None:
    x = cupy.ones(3)
    assert type(np.exp(x)) is cupy.ndarray
    assert type(np.sum(x)) is cupy.ndarray


def test_reductions_and_scalars_stay_arrays(gpu: State) -> None:
    x = cupy.ones((2, 3), np.float32)
    for found in (x.sum(), x[0, 0], cupy.max(x), x + 1, x * np.float32(2)):
        assert type(found) is cupy.ndarray
        assert found.dtype == np.float32
    assert gpu.syncs == []


def test_what_waits_is_counted(gpu: State) -> None:
    x, row = cupy.ones(()), cupy.ones(3)
    float(x), x.item(), x.get(), bool(x), int(x), x.tolist(), row.nonzero(), row[row > 0]
    assert gpu.syncs == ["float", "item", "get", "bool", "int", "tolist", "nonzero", "boolean index"]


def test_host_indices_are_counted_as_uploads(gpu: State) -> None:
    x = cupy.ones(3)
    x[[0, 1]], x[np.array([1])], x[cupy.array([1])]
    assert gpu.uploads == ["list", "ndarray"]


def test_views_share_memory_and_name_their_owner(gpu: State) -> None:
    x = cupy.zeros((3, 4))
    view = x.T[1:]
    assert view.base is x
    assert view.data.ptr == x.data.ptr + 8
    view[...] = 1
    assert float(x.sum()) == 9.0


def test_fresh_memory_is_aligned_and_holds_garbage(gpu: State) -> None:
    x = cupy.empty((5,), np.float32)
    assert x.data.ptr % 512 == 0
    assert not (x.get() == 0).any()


def test_capture_refuses_what_a_device_refuses(gpu: State) -> None:
    x = cupy.ones((2, 2), np.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        cupy.add(x, x, x)
        for waits in (
            x.item,
            x.get,
            stream.synchronize,
            lambda: float(x[0, 0]),
            lambda: x[x > 0],
            lambda: cupy.array([1]),
        ):
            with pytest.raises((RuntimeError, ValueError)):
                waits()
        with pytest.raises(NotImplementedError, match="cuBLAS"):
            cupy.matmul(x, x)
        with pytest.raises(RuntimeError, match="invalidated"):
            stream.is_capturing()
        with pytest.raises(RuntimeError, match="StreamCaptureInvalidated"):
            stream.end_capture()
        assert not stream.is_capturing()
    x.get()
    with pytest.raises(RuntimeError, match="default stream"):
        cupy.cuda.get_current_stream().begin_capture()


def test_a_graph_writes_where_it_was_recorded(gpu: State) -> None:
    """Memory that a recording gave back is written in each replay, whoever has it now."""
    x, pool = cupy.ones(256, np.float32), cupy.cuda.MemoryPool()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream, cupy.cuda.using_allocator(pool.malloc):
        cupy.add(x, x)  # takes memory
        stream.begin_capture()
        cupy.add(x, x)
        late = cupy.ones(256, np.float32)
        graph = stream.end_capture()
        del late
        victim = cupy.zeros(256, np.float32)
        graph.launch(stream)
        assert not (victim.get() == 0).any()
        del victim
        pool.free_all_blocks()
        with pytest.raises(RuntimeError, match="IllegalAddress: memory of the graph went back"):
            graph.launch(stream)
    with stream:
        stream.begin_capture()
        y = cupy.add(x, x)  # from the common pool
        graph = stream.end_capture()
        graph.launch(stream)
        assert (y.get() == 2).all()
        del y
        with pytest.raises(RuntimeError, match="IllegalAddress: the graph uses memory that the common pool"):
            graph.launch(stream)


def test_a_capture_spans_the_streams_that_its_events_reach(two_gpus: State) -> None:
    def stream_on(number: int) -> Any:
        with cupy.cuda.Device(number):
            return cupy.cuda.Stream(non_blocking=True)

    def capture(join: bool, fork: bool = True) -> Any:
        first, second = stream_on(0), stream_on(1)
        with cupy.cuda.Device(1):
            y = cupy.zeros(4, np.float32)
            outside = second.record()
        with first:
            first.begin_capture()
            with pytest.raises(RuntimeError, match="CaptureIsolation"):
                first.wait_event(outside)
            if fork:
                second.wait_event(first.record())
            with cupy.cuda.Device(1), second:
                y += 1
                done = second.record()
            if join:
                first.wait_event(done)
            graph = first.end_capture()
        return graph, first, second, y

    with pytest.raises(RuntimeError, match="CaptureUnjoined"):
        capture(join=False)
    two_gpus.captured.clear()
    with pytest.raises(RuntimeError, match="is no part of the capture"):
        capture(join=False, fork=False)
    two_gpus.captured.clear()
    graph, first, second, y = capture(join=True)
    with pytest.raises(RuntimeError, match="without waiting for what device 1 does"):
        graph.launch(first)
    with cupy.cuda.Device(1):
        event = second.record()
    first.wait_event(event)
    graph.launch(first)
    with cupy.cuda.Device(1):
        assert y.get().tolist() == [1.0] * 4
    with first:
        first.begin_capture()
        with pytest.raises(RuntimeError, match="CaptureImplicit"):
            cupy.cuda.Stream(null=True).wait_event(first.record())
        first.end_capture()


SOURCE = 'extern "C" __global__ void scale(float* x, float a) { x[threadIdx.x] *= a; }'


def test_a_raw_kernel_runs_its_source_and_checks_its_arguments(gpu: State) -> None:
    x = cupy.ones(4, np.float32)
    kernel = cupy.RawModule(code=SOURCE, options=("--std=c++17",)).get_function("scale")
    kernel((1,), (4,), (x, np.float32(3)))
    assert x.get().tolist() == [3.0] * 4
    for bad in ((x, 3.0), (x, 3), (np.ones(4, np.float32), np.float32(3)), (x,)):
        with pytest.raises((TypeError, RuntimeError)):
            kernel((1,), (4,), bad)
    with pytest.raises(TypeError, match="tuples"):
        kernel([1], (4,), (x, np.float32(3)))
    assert gpu.launches[0] == "scale"


def test_arrays_belong_to_the_device_they_were_made_on(two_gpus: State) -> None:
    x = cupy.ones(3)
    with cupy.cuda.Device(1):
        assert cupy.ones(1).device.id == 1
        with pytest.raises(ValueError, match="Array device must be same as the current device"):
            x + 1


@pytest.mark.parametrize(
    ("grid", "block", "shared"),
    [((1, 65536), (32,), 0), ((2**31,), (32,), 0), ((1,), (64, 32), 0), ((1,), (32,), 65536)],
)
def test_launches_beyond_a_devices_limits_are_refused(gpu: State, grid: Any, block: Any, shared: int) -> None:
    import cupy

    kernel = cupy.RawModule(code='extern "C" __global__ void f(int n) {}').get_function("f")
    with pytest.raises(RuntimeError, match="INVALID_VALUE"):
        kernel(grid, block, (np.int32(1),), shared_mem=shared)


def test_the_largest_matrices_stay_within_the_limits_of_a_launch(gpu: State) -> None:
    """Grids for more rows, columns and elements than 16 or 32 bits count; nothing runs."""
    from gpugrad.backend import cuda_conv, cuda_launch, cuda_norms, cuda_windows
    from gpugrad.fusion.cuda_compiler import CudaLauncher, cuda_source
    from tests.cuda_backend.cases import AXPY

    launcher = CudaLauncher(cuda_source(AXPY, ("float32",) * 3, ("float32",)))
    for shape, strides in (((2**33,), (4,)), ((2**20, 2**12), (4, 2**23)), ((2**33, 3), (0, 4)), ((3, 2**33), (4, 0))):
        given = launcher.plan(shape, [strides, None, None, None], [0] * 4)
        assert given is not None
        assert given.grid[0] < 2**31
        assert given.grid[1] <= 65535
    assert cuda_launch.flat_grid(2**40)[0] <= 65535
    assert cuda_windows.flat_grid(2**31 - 1)[0] < 2**31
    image = gg.zeros(1, 2, 3, 3, device="cuda").data
    assert [cuda_conv.fits(image, (2, 1, n, 256), 2, (1, 1)) for n in (255, 256)] == [True, False]
    for rows, columns in ((2**33, 1), (1, 2**33), (2**20, 2**12)):
        assert cuda_norms.row_chunks(rows, columns)[1] <= 65535
