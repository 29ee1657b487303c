"""Autocast: which operations run in half precision and which in float32, asked for by thread.

The lists by name and the casts are here, and nothing else: `tensor.apply` and `ops.core` hand their operands over while
somebody asks (`CASTING` is not empty), functions that compare dtypes do it at their door. Master weights and loss
scaling are the optimizers' matter (`optim.scaler`).
"""

from __future__ import annotations

import contextlib
import functools
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

import numpy as np

from . import mutation, nodes
from .backend import WrappedArray, backend_of
from .backend.precision import bfloat16
from .gradmode import recording
from .nodes import Node
from .observing import walk_observer
from .primitive import FUNCTIONS
from .tape import in_dtype

F = TypeVar("F", bound=Callable[..., Any])

# Products: their time is what half precision saves, and they add up in float32.
LOW: Final = frozenset(
    """
    activated_linear conv conv_input conv_weight gru linear lstm matmul rnn_relu rnn_tanh scaled_dot_product_attention
    """.split()
)

# Long sums and steep functions: half precision would overflow, or lose what the result is made of.
FLOAT32: Final = frozenset(
    """
    arccos arcsin binary_cross_entropy cosh cross_entropy cumprod cumsum erfinv exp exp2 expm1 gammaln
    layer_norm log log10 log1p log2 log_ndtr log_sigmoid log_softmax logaddexp logaddexp2 logit logsumexp mean ndtri
    norm polygamma power prod reciprocal rms_norm rsqrt sinh softmax softplus square sum tan
    absolute_error angle_lack cut_entropy divergence gaussian_error huber_error likelihood_error log_divergence
    logit_entropy margin_error poisson_error poisson_rate_error side_error smooth_error soft_lack squared_error stirling
    """.split()
)

CASTING: Final[list[None]] = []  # one entry for each block that some thread is in; empty: nothing is asked or paid

_FULL: Final = np.dtype(np.float32)


# A cast that was made: the parameter, its array and the clock then, and the result.
_Made = tuple[Any, Any, int, Any]
_Casts = dict[tuple[int, bool], _Made]  # by parameter, and whether operations were recorded


class Policy:
    """What one block asks for: the type of products, and the casts of parameters that were made in it.

    `ready` are casts that nobody has asked for yet: those that the last block which began alike asked for. They are
    made with the block's first; None, until then. `part` says that it is a part of a block, with casts of its own.
    """

    __slots__ = ("cache", "dtype", "part", "ready")

    def __init__(self, dtype: Any, cache: bool, part: bool = False) -> None:
        self.dtype, self.part = dtype, part
        self.cache: _Casts | None = {} if cache else None
        self.ready: _Casts | None = None


# The parameters that were cast in the last block which began with this one, and in the last part of one.
_Together = weakref.WeakKeyDictionary[Node, list[weakref.ref[Any]]]
_together: Final[tuple[_Together, _Together]] = weakref.WeakKeyDictionary(), weakref.WeakKeyDictionary()


_policy: Final[ContextVar[Policy | None]] = ContextVar("gpugrad_autocast", default=None)
current: Final = _policy.get  # of this thread; None outside `autocast`


def cast(name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The operands of the operation `name` in the type that this thread's block asks for; others as they are.

    Rules run on bare arrays, whose types the forward has settled, so operands without a tensor among them stay.
    """
    policy = _policy.get()
    if policy is None or not any(hasattr(a, "_node") for a in args):
        return args
    if name in LOW:
        target = policy.dtype
    elif name in FLOAT32:
        target = _FULL
    else:
        return args
    return tuple([_cast(a, target, policy) if _differs(a, target) else a for a in args])


def _differs(a: Any, target: Any) -> bool:
    """Whether an operand is a float of at most 32 bits (bfloat16 is one to NumPy by its name only), of another type."""
    dtype = getattr(a, "dtype", None)
    if dtype is None or dtype == target or dtype.itemsize > 4 or dtype.itemsize < 2:
        return False
    return bool(dtype.kind == "f" or dtype.name == "bfloat16")


def _cast(a: Any, target: Any, policy: Policy) -> Any:
    if not hasattr(a, "_node"):
        return a.astype(target)
    node = a._node
    if node is None or not node.leaf or policy.cache is None or isinstance(a.data, WrappedArray):
        return _converted(a, target)
    key = id(a), recording()
    if policy.ready is None:
        policy.ready = _made_at_once(policy, node)
    found = policy.cache.get(key) or policy.ready.pop(key, None)
    if found is None or not _fresh(found, a, target):
        found = a, a.data, mutation.tick(), _converted(a, target)
    policy.cache[key] = found
    return found[3]


def _fresh(made: _Made, a: Any, target: Any) -> bool:
    """Whether a cast is still that of `a`."""
    tensor, array, seq, out = made
    unchanged = not mutation.changes or mutation.stale((array,), seq) is None
    return bool(tensor is a and array is a.data and out.dtype == target and unchanged)


def _made_at_once(policy: Policy, first: Node) -> _Casts:
    """The casts of all parameters that a block which begins with this one will ask for, as far as is known."""
    known, target = _together[policy.part].get(first), policy.dtype
    if known is None or walk_observer.get() is not None:  # who watches sees each cast by itself
        return {}
    found = [t for t in (ref() for ref in known) if t is not None and _differs(t, target)]
    found = [t for t in found if t._node is not None and t._node.leaf and not isinstance(t.data, WrappedArray)]
    backend = backend_of(found[0].data) if found else None
    found = [t for t in found if backend_of(t.data) is backend]
    arrays = backend.cast_many([t.data for t in found], target) if backend is not None else ()
    return {
        (id(t), recording()): (t, t.data, mutation.tick(), _converted(t, target, made))
        for t, made in zip(found, arrays, strict=True)
        if made is not None
    }


def _remember(policy: Policy | None) -> None:
    """At the end of a block: what it cast, for the next one that begins alike."""
    if policy is None or not policy.cache:
        return
    first = next(iter(policy.cache.values()))[0]
    if type(first.data) is not np.ndarray and first._node is not None:
        _together[policy.part][first._node] = [weakref.ref(made[0]) for made in policy.cache.values()]


def _converted(a: Any, target: Any, made: Any = None) -> Any:
    """A tensor in another type (the array may be `made` already), recorded where it needs a gradient."""
    out = FUNCTIONS["astype"](a.detach(), target) if made is None else nodes.new_tensor(made, None)
    if a._node is not None and recording():
        node = CastNode()
        node.parents, node.wide = a._node, a.dtype if a.dtype.itemsize > out.dtype.itemsize else None
        node.seq, node.shape, node.dtype, node.scalars = mutation.tick(), out.shape, out.dtype, None
        return nodes.new_tensor(out.data, node)
    return out


def narrowed(*operands: Any) -> tuple[bool, ...]:
    """Which operands autocast has cast from a wider type, so that their cotangents may come in that."""
    return tuple([getattr(getattr(a, "_node", None), "wide", None) is not None for a in operands])


class CastNode(Node):
    """A cast that autocast made: it keeps nothing, so several backward passes of one block may share it.

    A cotangent may come in the type of the input at once, from a product that adds up in it anyway.
    """

    __slots__ = ("wide",)
    name = "astype"
    single = True
    fresh = True

    @property
    def saved(self) -> None:
        """Nothing, also after a walk."""
        return

    @saved.setter
    def saved(self, value: Any) -> None:
        pass

    def vjp(self, g: Any) -> Any:
        """The cotangent in the type of the input."""
        return g if g.dtype == self.wide else in_dtype(g, self.parents.dtype)

    vjp_graph = vjp

    def jvp(self, given: Any, graph: bool) -> Any:
        """The tangent in the type of the output."""
        return in_dtype(given[0], self.dtype)


@contextlib.contextmanager
def inside(policy: Policy | None) -> Iterator[None]:
    """A block under `policy` (None: without autocast) whatever stands around it, with casts of its own."""
    if policy is None and not CASTING:
        yield
        return
    own = None if policy is None else Policy(policy.dtype, policy.cache is not None, part=True)
    token = _policy.set(own)
    CASTING.append(None)
    try:
        yield
    finally:
        CASTING.pop()
        _policy.reset(token)
        _remember(own)


class autocast:  # noqa: N801 - a context manager and decorator under PyTorch's name
    """Mixed precision: within this block (or decorated function) products run in half precision.

    Parameters stay in float32 and so do their gradients; an operation casts what it is given:

    - in `dtype`: matrix products and all that is made of them (`linear`, `einsum`, attention), convolutions;
    - in float32: softmax, losses, norms, sums, means, products, powers, exponentials and logarithms (the lists are
      `gpugrad.casting.LOW` and `FLOAT32`, shown in `docs/mixed-precision.md`);
    - everything else in the type that comes in; of two types the wider.

    Only floats of 32 bits or fewer are cast: float64 stays. A parameter is cast once in a block, and again after an
    optimizer has changed it. Run the forward and the loss inside; `backward` computes in the types of the forward
    wherever it is called. float16 needs a `gg.GradScaler`, bfloat16 (which needs the package ml_dtypes) does not. On a
    CPU the numbers are the same, not the speed: half precision is computed in float32 and rounded.

    Args:
        device_type: the dtype, as in `gg.autocast("float16")`; or, as PyTorch's, "cuda" or "cpu", which is passed over:
            the block holds for operations on every device.
        dtype: float16 or bfloat16, by name or as a dtype; float32 as `enabled=False`. If it is not said, float16 with
            "cuda", bfloat16 otherwise.
        enabled: False switches autocast off within the block, also inside another one.
        cache_enabled: keep the casts of parameters until the outermost block ends.

    Raises:
        ValueError: another dtype.

    Example:
        >>> import gpugrad as gg
        >>> x, w = gg.ones(2, 3), gg.ones(4, 3, requires_grad=True)
        >>> with gg.autocast("float16"):
        ...     y = gg.linear(x, w)
        ...     loss = (y * y).mean()
        >>> loss.backward()
        >>> y.dtype, loss.dtype, w.grad.dtype
        (dtype('float16'), dtype('float32'), dtype('float32'))
    """

    def __init__(
        self, device_type: Any = None, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = True
    ) -> None:
        if dtype is None:
            kind = device_type.partition(":")[0] if isinstance(device_type, str) else device_type
            dtype = {"cuda": "float16", "cpu": "bfloat16", None: "bfloat16"}.get(kind, device_type)
        self._dtype = _half(dtype) if enabled else None
        self._cache = cache_enabled is not False
        self._tokens: list[Any] = []

    def __enter__(self) -> None:
        around, policy = _policy.get(), None
        if self._dtype is not None:
            policy = Policy(self._dtype, self._cache)
            if around is not None and around.dtype == self._dtype and around.cache is not None and self._cache:
                policy = around
        self._tokens.append(_policy.set(policy))
        CASTING.append(None)

    def __exit__(self, *exc: object) -> None:
        CASTING.pop()
        ending = _policy.get()
        _policy.reset(self._tokens.pop())
        if ending is not _policy.get():
            _remember(ending)

    def __call__(self, function: F) -> F:
        """Decorate: run `function` under autocast."""
        dtype, cache = self._dtype, self._cache

        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with autocast(dtype, enabled=dtype is not None, cache_enabled=cache):
                return function(*args, **kwargs)

        return inner  # type: ignore[return-value]


def _half(dtype: Any) -> Any:
    """The dtype of products; None for float32."""
    if dtype == "bfloat16":
        return bfloat16("autocast")
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    name = None if found is None else found.name
    if name not in ("float16", "bfloat16", "float32"):
        raise ValueError(f'[autocast] dtype = {dtype!r}; expected "float16" or "bfloat16" (the device needs no naming)')
    return None if name == "float32" else found
