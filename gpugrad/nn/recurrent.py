"""Recurrent layers and cells: tanh (or relu), LSTM and GRU, with PyTorch's names, state and order of gates.

The walk through time is one operation for each layer and direction, in `ops.recurrent`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ..backend import backend_of
from ..ops.arguments import bare, operand
from ..ops.joining import concatenate, stack
from ..ops.linalg import linear
from ..ops.recurrent import CELLS, recurrent
from ..ops.rows import dropout as drop
from . import init
from .layers import new_parameter, require_sizes
from .module import Module, Parameter


def _kind(name: str, kind: str, nonlinearity: str | None) -> str:
    if nonlinearity is None:
        return kind
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"[{name}] nonlinearity = {nonlinearity!r}; expected 'tanh' or 'relu'")
    return f"rnn_{nonlinearity}"


class _Recurrent(Module):
    """What layers and cells share: four parameters for each direction of each layer, and a step's product."""

    kind: ClassVar[str]
    input_size: int
    hidden_size: int
    bias: bool

    def _make(self, suffix: str, inputs: int, device: Any, dtype: Any) -> None:
        """The parameters whose names end in `suffix`."""
        name, rows = type(self).__name__, CELLS[self._cell].gates * self.hidden_size
        shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, self.hidden_size)}
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}  # type: ignore[dict-item]
        for what, shape in shapes.items():
            setattr(self, what + suffix, new_parameter(shape, device, dtype, name))

    def reset_parameters(self) -> None:
        """Draw all parameters anew, uniform in +-1/sqrt(hidden_size)."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    @property
    def _cell(self) -> str:
        return str(self.__dict__.get("_nonlinear", self.kind))

    def _products(self, suffix: str, x: Any) -> tuple[Any, Parameter, Parameter | None]:
        """What the inputs give to the gates at all times, the recurrent weight, and the bias of a GRU's state."""
        apart = CELLS[self._cell].apart
        given = getattr(self, f"bias_ih{suffix}") if self.bias else None
        own = getattr(self, f"bias_hh{suffix}") if self.bias else None
        if own is not None and not apart:
            given = given + own
        y = linear(x, getattr(self, f"weight_ih{suffix}"), given)
        return y, getattr(self, f"weight_hh{suffix}"), own if apart else None

    def _zeros(self, like: Any, *shape: int) -> Any:
        return backend_of(bare(like)).xp.zeros(shape, like.dtype)

    def _input(self, x: Any, axes: tuple[int, ...], form: str) -> Any:
        x = operand(x)
        if x.ndim not in axes or x.shape[-1] != self.input_size:
            raise ValueError(f"[{type(self).__name__}] input has shape {tuple(x.shape)}; expected {form}")
        return x

    def _state(self, what: str, state: Any, shape: tuple[int, ...]) -> Any:
        state = operand(state)
        if tuple(state.shape) != shape:
            raise ValueError(
                f"[{type(self).__name__}] {what} has shape {tuple(state.shape)}; expected {shape} for this input"
            )
        return state


class _Layer(_Recurrent):
    """A stack of recurrent layers, in one direction or two."""

    def _build(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float,
        bidirectional: bool, device: Any, dtype: Any,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        require_sizes(name, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers)
        if not 0 <= dropout <= 1:
            raise ValueError(f"[{name}] dropout = {dropout}; expected a probability in [0, 1]")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        for layer in range(num_layers):
            inputs = input_size if not layer else hidden_size * len(self._directions)
            for direction in self._directions:
                self._make(f"_l{layer}{direction}", inputs, device, dtype)
        self.reset_parameters()

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> tuple[Any, Any]:
        """The states after each step, and the last ones.

        Args:
            input: (length, n, input_size), (n, length, input_size) with `batch_first`, or one sequence (length,
                input_size).
            hx: the first states, (layers * directions, n, hidden_size), of an LSTM the pair (h, c); zeros if not given.
            lengths: (n,), how long each sequence is; what is behind gives zeros and leaves the states as they are. In
                place of PyTorch's packed sequences. All are of the full length if not given.

        Returns:
            (output (length, n, directions * hidden_size), laid out like the input; the last states, in the form of
            `hx`).

        Raises:
            ValueError: shapes do not fit.
        """
        form = "(n, length, {})" if self.batch_first else "(length, n, {})"
        x = self._input(input, (2, 3), f"{form.format(self.input_size)}, or one sequence without n")
        alone = x.ndim == 2
        turned = self.batch_first and not alone
        x = x[:, None] if alone else x
        length, n = (x.shape[1], x.shape[0]) if turned else x.shape[:2]
        if not length:
            raise ValueError(f"[{type(self).__name__}] input has shape {tuple(x.shape)}; expected one step or more")
        h, c = self._first(x, hx, n, alone)
        keep = None if lengths is None else self._keep(x, lengths, length, n)
        last: tuple[list[Any], list[Any]] = ([], [])
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = drop(x, self.dropout, self.training)
            outputs = []
            for direction in self._directions:
                given, weight, bias = self._products(f"_l{layer}{direction}", x)
                given = given.swapaxes(0, 1) if turned and not layer else given
                k = len(last[0])
                y, h_n, c_n = recurrent(
                    self._cell, given, h[k], None if c is None else c[k], weight, bias,
                    reverse=bool(direction), keep=keep,
                )  # fmt: skip
                outputs.append(y)
                last[0].append(h_n)
                last[1].append(c_n)
            x = outputs[0] if len(outputs) == 1 else concatenate(outputs, -1)
            x = x if keep is None else x * keep
        states = [stack(s, 0) for s in last[: CELLS[self._cell].states]]
        if alone:
            x, states = x[:, 0], [s[:, 0] for s in states]
        return x.swapaxes(0, 1) if turned else x, states[0] if len(states) == 1 else tuple(states)

    def _first(self, x: Any, hx: Any, n: int, alone: bool) -> tuple[Any, Any]:
        """The first states h and c; c is None but for an LSTM."""
        two, count = CELLS[self._cell].states == 2, self.num_layers * len(self._directions)
        shape = (count, n, self.hidden_size)
        if hx is None:
            zeros = self._zeros(x, *shape)
            return zeros, zeros if two else None
        if two and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise ValueError(f"[{type(self).__name__}] hx: expected the pair (h, c), got {type(hx).__name__}")
        wanted = (count, self.hidden_size) if alone else shape
        states = [self._state("hx", s, wanted).reshape(shape) for s in (hx if two else (hx,))]
        return states[0], states[1] if two else None

    def _keep(self, x: Any, lengths: Any, length: int, n: int) -> Any:
        """1 where a sequence has a step and 0 behind its end, (length, n, 1)."""
        backend = backend_of(bare(x))
        lengths = bare(operand(lengths))
        if tuple(lengths.shape) != (n,):
            raise ValueError(f"[{type(self).__name__}] lengths has shape {tuple(lengths.shape)}; expected ({n},)")
        return (backend.xp.arange(length)[:, None] < backend.xp.asarray(lengths))[:, :, None].astype(x.dtype)

    def extra_repr(self) -> str:
        """Sizes, and what is not the default."""
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"num_layers={self.num_layers}"] if self.num_layers != 1 else []
        for name, usual in (("bias", True), ("batch_first", False), ("dropout", 0.0), ("bidirectional", False)):
            parts += [f"{name}={getattr(self, name)}"] if getattr(self, name) != usual else []
        return ", ".join(parts)


class RNN(_Layer):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) over sequences (J. Elman 1990).

    Args:
        input_size: features of an input.
        hidden_size: of a state.
        num_layers: layers, each on the states of the one before.
        nonlinearity: "tanh" or "relu".
        bias: whether there are biases.
        batch_first: whether inputs are (n, length, input_size); (length, n, input_size) otherwise.
        dropout: probability between layers, in training.
        bidirectional: whether a second direction walks from the end, its states beside those of the first.
        device: where the parameters live.
        dtype: of the parameters.

    Attributes:
        weight_ih_l0: (gates * hidden_size, input_size), as are those of further layers `_l1`, ... and of the other
            direction, `_reverse`.
        weight_hh_l0: (gates * hidden_size, hidden_size).
        bias_ih_l0: (gates * hidden_size,).
        bias_hh_l0: likewise; of no use beside the other but in a GRU, and there for the sake of PyTorch's state.
    """

    kind = "rnn_tanh"

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.nonlinearity, self._nonlinear = nonlinearity, _kind("RNN", self.kind, nonlinearity)
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)


class _Gated(_Layer):
    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype)


class LSTM(_Gated):
    """Long short-term memory over sequences (S. Hochreiter and J. Schmidhuber 1997).

    Args:
        input_size: features of an input.
        hidden_size: of a state.
        num_layers: layers, each on the states of the one before.
        bias: whether there are biases.
        batch_first: whether inputs are (n, length, input_size); (length, n, input_size) otherwise.
        dropout: probability between layers, in training.
        bidirectional: whether a second direction walks from the end, its states beside those of the first.
        device: where the parameters live.
        dtype: of the parameters.

    Attributes:
        weight_ih_l0: (gates * hidden_size, input_size), as are those of further layers `_l1`, ... and of the other
            direction, `_reverse`. Gates: input, forget, cell, output.
        weight_hh_l0: (gates * hidden_size, hidden_size).
        bias_ih_l0: (gates * hidden_size,).
        bias_hh_l0: likewise; of no use beside the other but in a GRU, and there for the sake of PyTorch's state.
    """

    kind = "lstm"


class GRU(_Gated):
    """Gated recurrent units over sequences (K. Cho et al. 2014; the reset behind the product, as PyTorch's).

    Args:
        input_size: features of an input.
        hidden_size: of a state.
        num_layers: layers, each on the states of the one before.
        bias: whether there are biases.
        batch_first: whether inputs are (n, length, input_size); (length, n, input_size) otherwise.
        dropout: probability between layers, in training.
        bidirectional: whether a second direction walks from the end, its states beside those of the first.
        device: where the parameters live.
        dtype: of the parameters.

    Attributes:
        weight_ih_l0: (gates * hidden_size, input_size), as are those of further layers `_l1`, ... and of the other
            direction, `_reverse`. Gates: reset, update, new.
        weight_hh_l0: (gates * hidden_size, hidden_size).
        bias_ih_l0: (gates * hidden_size,).
        bias_hh_l0: likewise; of no use beside the other but in a GRU, and there for the sake of PyTorch's state.
    """

    kind = "gru"


class _CellModule(_Recurrent):
    """A single step."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self._build(input_size, hidden_size, bias, device, dtype)

    def _build(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        require_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._make("", input_size, device, dtype)
        self.reset_parameters()

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next state.

        Args:
            input: (n, input_size), or (input_size,).
            hx: the state before, (n, hidden_size) or (hidden_size,); of an `LSTMCell` the pair (h, c); zeros if not
                given.

        Returns:
            The state, in the form of `hx`.

        Raises:
            ValueError: shapes do not fit.
        """
        x = self._input(input, (1, 2), f"(n, {self.input_size}) or ({self.input_size},)")
        two, alone = CELLS[self._cell].states == 2, x.ndim == 1
        x = x[None] if alone else x
        shape = (x.shape[0], self.hidden_size)
        if hx is None:
            zeros = self._zeros(x, *shape)
            states = [zeros, zeros]
        else:
            given = hx if two else (hx,)
            states = [self._state("hx", s, shape[alone:]).reshape(shape) for s in given]
        gates, weight, bias = self._products("", x)
        _, h, c = recurrent(self._cell, gates[None], states[0], states[1] if two else None, weight, bias)
        h, c = (h[0], c[0] if two else None) if alone else (h, c)
        return (h, c) if two else h

    def extra_repr(self) -> str:
        """Sizes, and whether there are biases."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_CellModule):
    """One step h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu (J. Elman 1990).

    Args:
        input_size: features of an input.
        hidden_size: of a state.
        bias: whether there are biases.
        nonlinearity: "tanh" or "relu".
        device: where the parameters live.
        dtype: of the parameters.
    """

    kind = "rnn_tanh"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        Module.__init__(self)
        self.nonlinearity, self._nonlinear = nonlinearity, _kind("RNNCell", self.kind, nonlinearity)
        self._build(input_size, hidden_size, bias, device, dtype)


class LSTMCell(_CellModule):
    """One step of a long short-term memory; `layer(x, (h, c))` gives the next pair. Gates: input, forget, cell, output.

    Args:
        input_size: features of an input.
        hidden_size: of a state.
        bias: whether there are biases.
        device: where the parameters live.
        dtype: of the parameters.
    """

    kind = "lstm"


class GRUCell(_CellModule):
    """One step of gated recurrent units. Gates: reset, update, new.

    Args:
        input_size: features of an input.
        hidden_size: of a state.
        bias: whether there are biases.
        device: where the parameters live.
        dtype: of the parameters.
    """

    kind = "gru"
