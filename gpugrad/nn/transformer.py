"""The Transformer of Vaswani et al. (2017): encoder, decoder and both; names, state and masks are PyTorch's."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, ClassVar

from ..ops.creation import full, get_default_dtype
from ..ops.diagonal import triu
from ..tensor import Tensor
from . import functional as F  # noqa: N812 - its name everywhere
from . import init
from .attention import MultiheadAttention
from .containers import ModuleList
from .layers import Dropout, LayerNorm, Linear, require_sizes
from .module import Module


class _Layer(Module):
    """Attentions and a perceptron, each with a layer norm and a shortcut.

    Args:
        d_model: features of an element of the sequence.
        nhead: heads.
        dim_feedforward: hidden units of the perceptron.
        dropout: probability behind the attention, inside and behind the perceptron, and of the shares.
        activation: of the perceptron: a function, or its name.
        layer_norm_eps: of the norms.
        batch_first: whether inputs are (n, length, d_model); (length, n, d_model) otherwise.
        norm_first: norms in front of attention and perceptron instead of behind the sums.
        bias: whether the linear layers and norms have biases.
        device: where the parameters live.
        dtype: of the parameters.

    Raises:
        ValueError: the heads do not divide `d_model`, or an unknown activation.
    """

    attentions: ClassVar[tuple[str, ...]]
    self_attn: MultiheadAttention

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        for name in self.attentions:
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where))
        self.linear1 = Linear(d_model, dim_feedforward, bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **where)
        self.norm_first = norm_first
        steps = range(1, len(self.attentions) + 2)
        for i in steps:
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, **where))
        for i in steps:
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = activation if callable(activation) else getattr(F, activation, None)
        if self.activation is None:
            raise ValueError(
                f"[{type(self).__name__}] activation = {activation!r}; expected a function, or a name as 'gelu'"
            )

    def _step(self, i: int, x: Any, work: Callable[[Any], Any]) -> Any:
        """The `i`-th part of the layer, with its norm, dropout and shortcut."""
        norm, drop = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
        return x + drop(work(norm(x))) if self.norm_first else norm(x + drop(work(x)))

    def _perceptron(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))  # type: ignore[misc]


class TransformerEncoderLayer(_Layer):
    """Self-attention and a perceptron, each with a layer norm and a shortcut; arguments as `_Layer`."""

    __doc__ = (_Layer.__doc__ or "").replace("Attentions and", "Self-attention and", 1)
    attentions = ("self_attn",)

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        """A sequence to one of the same shape; the masks are those of `MultiheadAttention.forward`."""
        masks = src_key_padding_mask, False, src_mask, True, is_causal
        src = self._step(1, src, lambda x: self.self_attn(x, x, x, *masks)[0])
        return self._step(2, src, self._perceptron)


class TransformerDecoderLayer(_Layer):
    """Self-attention, attention to what an encoder found, and a perceptron; arguments as `_Layer`."""

    __doc__ = (_Layer.__doc__ or "").replace(
        "Attentions and", "Self-attention, attention to an encoder's output and", 1
    )
    attentions = ("self_attn", "multihead_attn")
    multihead_attn: MultiheadAttention

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None, tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """A sequence to one of the same shape, with the encoder's output `memory`; masks as in `MultiheadAttention`."""
        own = tgt_key_padding_mask, False, tgt_mask, True, tgt_is_causal
        other = memory_key_padding_mask, False, memory_mask, True, memory_is_causal
        tgt = self._step(1, tgt, lambda x: self.self_attn(x, x, x, *own)[0])
        tgt = self._step(2, tgt, lambda x: self.multihead_attn(x, memory, memory, *other)[0])
        return self._step(3, tgt, self._perceptron)


class _Stack(Module):
    """Copies of a layer, one behind the other.

    Args:
        layer: the layer; each copy begins with its parameters.
        num_layers: copies.
        norm: a last layer, or None.
    """

    norm: Module | None

    def __init__(self, layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        require_sizes(type(self).__name__, num_layers=num_layers)
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.norm = norm

    def _through(self, x: Any, *given: Any) -> Any:
        for layer in self.layers:
            x = layer(x, *given)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """Copies of an encoder's layer, one behind the other, and `norm` behind the last; the two flags have no effect."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        """A sequence to one of the same shape; the masks go to every layer."""
        return self._through(src, mask, src_key_padding_mask, bool(is_causal))


class TransformerDecoder(_Stack):
    """Copies of a decoder's layer, one behind the other, and `norm` behind the last."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__(decoder_layer, num_layers, norm)

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """A sequence to one of the same shape; `memory` and the masks go to every layer."""
        padding = tgt_key_padding_mask, memory_key_padding_mask
        return self._through(tgt, memory, tgt_mask, memory_mask, *padding, bool(tgt_is_causal), memory_is_causal)


class Transformer(Module):
    """An encoder and a decoder that attends to its output, each with a norm behind its last layer.

    Args:
        d_model: features of an element of a sequence.
        nhead: heads.
        num_encoder_layers: layers of the encoder.
        num_decoder_layers: layers of the decoder.
        dim_feedforward: as `TransformerEncoderLayer`, like what is not named here.
        dropout: likewise.
        activation: likewise.
        custom_encoder: in place of the encoder.
        custom_decoder: in place of the decoder.
        layer_norm_eps: likewise.
        batch_first: likewise.
        norm_first: likewise.
        bias: likewise.
        device: where the parameters live.
        dtype: of the parameters.
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: str | Callable[[Any], Any] = "relu",
        custom_encoder: Module | None = None, custom_decoder: Module | None = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        shape = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias
        where: dict[str, Any] = {"device": device, "dtype": dtype}

        def norm() -> LayerNorm:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **where)

        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*shape, **where), num_encoder_layers, norm()
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*shape, **where), num_decoder_layers, norm()
        )
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None, memory_mask: Any = None,
        src_key_padding_mask: Any = None, tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Any:  # fmt: skip
        """Two sequences to one of the shape of `tgt`; the masks go to every layer they belong to."""
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        padding = tgt_key_padding_mask, memory_key_padding_mask
        return self.decoder(tgt, memory, tgt_mask, memory_mask, *padding, tgt_is_causal, memory_is_causal)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Numbers to add to scores: -inf where a key comes after the query, 0 elsewhere."""
        later: Tensor = triu(full((sz, sz), -math.inf, get_default_dtype() if dtype is None else dtype, device), 1)
        return later
