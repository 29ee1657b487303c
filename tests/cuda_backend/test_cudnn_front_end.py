"""Our graphs given to the real front end of cuDNN, where it is installed: it needs no GPU to take and check them.

The front end alone builds them; with cuDNN's library beside it they are validated as well, but for attention, which is
only checked on a device.
"""

from collections.abc import Callable
from typing import Any

import pytest

from gpugrad.backend import cudnn_graphs
from gpugrad.backend.conv import Geometry
from gpugrad.backend.cudnn_graphs import Builder, packed

AT = Geometry((2, 1), ((1, 2), (0, 1)), (1, 2), 1)
ROWS = Geometry((2,), ((1, 1),), (1,), 2)
VOLUME = Geometry((1, 1, 1), ((1, 1),) * 3, (1, 1, 1), 1)
X, W = (4, 8, 9, 8), (16, 8, 3, 2)
Y = (4, 16, *AT.output(X[2:], W[2:]))


def heads(*shape: int) -> Any:
    """As layers have them: heads side by side in a row."""
    _, count, _, columns = shape
    return shape, (shape[2] * count * columns, columns, count * columns, 1)


Q, K = heads(2, 4, 64, 32), heads(2, 4, 48, 32)
V = (2, 4, 48, 32), tuple(packed([2, 4, 48, 32]))

# name: how many tensors the graph has, and how it is described
GRAPHS: dict[str, tuple[int, Callable[[Builder], None]]] = {
    "convolution, bias and relu": (4, lambda b: cudnn_graphs.conv(b, X, W, Y, AT, True, True)),
    "convolution alone": (3, lambda b: cudnn_graphs.conv(b, X, W, Y, AT, False, False)),
    "sequences in groups": (4, lambda b: cudnn_graphs.conv(b, (4, 8, 9), (16, 4, 3), (4, 16, 5), ROWS, True, False)),
    "volumes": (
        3,
        lambda b: cudnn_graphs.conv(b, (2, 8, 5, 5, 5), (16, 8, 3, 3, 3), (2, 16, 5, 5, 5), VOLUME, False, False),
    ),
    "gradient of the images": (3, lambda b: cudnn_graphs.conv_input(b, Y, W, X, AT)),
    "gradient of the kernels": (3, lambda b: cudnn_graphs.conv_weight(b, X, Y, W, AT)),
    "batch normalisation": (12, lambda b: cudnn_graphs.batch_norm(b, X)),
    "batch normalisation of rows": (12, lambda b: cudnn_graphs.batch_norm(b, (30, 6))),
    "its gradient": (8, lambda b: cudnn_graphs.batch_norm_vjp(b, X)),
    "attention": (5, lambda b: cudnn_graphs.attention(b, [Q, K, V], Q, 0.1, True)),
    "attention's gradient": (9, lambda b: cudnn_graphs.attention_vjp(b, [Q, K, V, Q, Q], [Q, K, V], 0.1, True)),
}


@pytest.mark.parametrize("kind", ["FLOAT", "HALF", "BFLOAT16"])
@pytest.mark.parametrize("name", list(GRAPHS))
def test_a_graph_is_taken_and_valid(name: str, kind: str) -> None:
    dnn = pytest.importorskip("cudnn", reason="nvidia-cudnn-frontend is not installed")
    count, describe = GRAPHS[name]
    types = dnn.data_type
    graph = dnn.pygraph(
        io_data_type=getattr(types, kind), intermediate_data_type=types.FLOAT, compute_data_type=types.FLOAT
    )
    describe(Builder(dnn, graph))
    seen = sorted((t.uid, t) for t in graph.tensors.values() if not t.is_virtual)
    assert [uid for uid, _ in seen] == list(range(1, count + 1)), "numbered in the order of the arrays"
    assert all(len(t.dim) == len(t.stride) >= 4 for _, t in seen)
    try:
        dnn.backend_version()
    except RuntimeError:  # the library is not there
        return
    if "attention" not in name:
        graph.validate()
