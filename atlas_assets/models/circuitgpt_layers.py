"""The layers of circuitgpt (docs/science.md §7): attention, MLP, block and their stack.

Modules carry the names of the Hub's checkpoints. The output of a block's ``mlp`` module is, unless
another site is asked for (`models.sites`), the readout of that layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn

from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.sparsity import abs_topk

LAYER_NORM_EPS = 1e-5
#: what attention pads to, see `padded_attention`
QUERY_MULTIPLE, KEY_MULTIPLE = 8, 16
#: neurons of tokens that an MLP works on at a time on a CPU
CACHED_NEURONS = 2**19
#: a dense product is efficient from this many tokens on
DENSE_TOKENS = 512


class Sparsity(nn.Module):
    """S(x, location): the activation sparsity of one place; passes x through where it is off."""

    def __init__(self, config: CircuitGPTConfig, location: str, width: int) -> None:
        super().__init__()
        self.kept = config.kept(location, width)

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Sparsify ``x`` ``[..., width]`` to the same shape, into ``out`` where it is given.

        See `abs_topk` for what ``out`` may be.
        """
        if self.kept is None:
            return x if out is None else out.copy_(x)
        return abs_topk(x, self.kept, out)


class RMSNorm(nn.Module):
    """x / √(mean x² + eps) · weight, eps being the machine epsilon of x's dtype.

    torch's own module takes float32's epsilon for half precision too; §7 says the dtype's.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` ``[..., width]`` along its last axis; the shape stays."""
        return F.rms_norm(x, self.weight.shape, self.weight, torch.finfo(x.dtype).eps)


class AttentionSink(nn.Module):
    """The learned logit of the extra key that every query of a head sees."""

    def __init__(self, n_head: int) -> None:
        super().__init__()
        self.sink_logit = nn.Parameter(torch.zeros(n_head))


class Attention(nn.Module):
    """Causal self-attention with sparsity on q, k and v over the whole width."""

    def __init__(self, config: CircuitGPTConfig, width_in: int) -> None:
        super().__init__()
        self.pads = True
        self.n_head, self.d_head = config.n_head, config.d_head
        inner = self.n_head * self.d_head
        self.sparse_in = Sparsity(config, "attn_in", width_in)
        self.c_attn = nn.Linear(width_in, 3 * inner, bias=config.bias)
        self.sparse_q = Sparsity(config, "attn_q", inner)
        self.sparse_k = Sparsity(config, "attn_k", inner)
        self.sparse_v = Sparsity(config, "attn_v", inner)
        self.attn_imp = AttentionSink(self.n_head) if config.sink else None
        self.c_proj = nn.Linear(inner, config.d_model, bias=config.bias)
        self.sparse_out = Sparsity(config, "attn_out", config.d_model)

    def forward(self, x: Tensor, visible: Tensor | None) -> Tensor:
        """Attend from every position of ``x`` ``[batch, tokens, width_in]`` to the visible keys.

        Args:
            x: the normed residual stream, followed by position embeddings that are concatenated.
            visible: bool ``[batch, 1, tokens, tokens]``, which keys (last axis) a query sees; None:
                itself and the ones before it.

        Returns:
            What is added to the residual stream, ``[batch, tokens, d_model]``.
        """
        q, k, v = self.c_attn(self.sparse_in(x)).chunk(3, dim=-1)
        q, k, v = (
            part.unflatten(-1, (self.n_head, self.d_head)).transpose(1, 2)
            for part in (self.sparse_q(q), self.sparse_k(k), self.sparse_v(v))
        )
        return self.finish(self._attend(q, k, v, visible).transpose(1, 2).flatten(-2))

    def finish(self, heads: Tensor) -> Tensor:
        """Project heads ``[..., n_head · d_head]`` to the residual stream ``[..., d_model]``."""
        output: Tensor = self.sparse_out(self.c_proj(heads))
        return output

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        """Attention ``[batch, heads, tokens, d_head]``.

        A sink is one more key and value, both zero: q · 0 adds nothing, so the extra key's logit is
        what the additive mask holds.
        """
        tokens = q.shape[-2]
        attend = padded_attention if self.pads else F.scaled_dot_product_attention
        if self.attn_imp is None:
            if visible is None and (tokens % KEY_MULTIPLE == 0 or not self.pads):
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return attend(q, k, v, _hidden(q, visible))
        sink_logit = self.attn_imp.sink_logit
        if visible is None and sink_logit.requires_grad and torch.is_grad_enabled():
            return _attend_with_learned_sink(q, k, v, sink_logit)
        hidden = _hidden(q, visible)
        sink = sink_logit.to(q.dtype)[None, :, None, None]
        shape = (hidden.shape[0], q.shape[1], tokens)
        bias = torch.cat([sink.expand(*shape, 1), hidden.expand(*shape, tokens)], dim=-1)
        return attend(q, F.pad(k, (0, 0, 1, 0)), F.pad(v, (0, 0, 1, 0)), bias)


@contextmanager
def in_authors_order(network: nn.Module) -> Iterator[None]:
    """Sum in attention as the authors' own network does; on a CPU, float32 gives its bits.

    Otherwise attention is padded (`padded_attention`), so that a prompt gets the same bits in every
    batch and on the tree. The two orders differ where activations are nearly tied.
    """
    attentions = [module for module in network.modules() if isinstance(module, Attention)]
    for attention in attentions:
        attention.pads = False
    try:
        yield
    finally:
        for attention in attentions:
            attention.pads = True


def _hidden(q: Tensor, visible: Tensor | None) -> Tensor:
    """Return what is added to the scores: 0 at a visible key, −inf at the others."""
    if visible is None:
        visible = causal(q.shape[-2], q.device)[None, None]
    return q.new_zeros(()).masked_fill(~visible, float("-inf"))


def padded_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attend over keys and queries padded to multiples of `KEY_MULTIPLE`, `QUERY_MULTIPLE`.

    Sums over a row of scores go by the vector registers of a CPU, and what does not fill one is
    added in another order. Where every register is full, the result of a query is the same, bit by
    bit, however much padding follows; seen to hold up to about 480 keys.

    Args:
        q: ``[batch, heads, queries, d_head]``, like the result.
        k: ``[batch, heads, keys, d_head]``, like ``v``.
        v: the values.
        bias: ``[batch or 1, heads or 1, queries, keys]``, added to the scores.
    """
    queries, keys = bias.shape[-2:]
    more_queries, more_keys = -queries % QUERY_MULTIPLE, -keys % KEY_MULTIPLE
    if more_keys:
        k, v = (F.pad(part, (0, 0, 0, more_keys)) for part in (k, v))
        bias = F.pad(bias, (0, more_keys), value=float("-inf"))
    if more_queries:
        q, bias = F.pad(q, (0, 0, 0, more_queries)), F.pad(bias, (0, 0, 0, more_queries))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)[..., :queries, :]


class MLP(nn.Module):
    """A block's MLP.

    Attributes:
        in_pieces: whether it may work on some tokens at a time; otherwise its modules are called
            once each.
    """

    def __init__(self, config: CircuitGPTConfig, width_in: int) -> None:
        super().__init__()
        self.in_pieces = True
        self.sparse_in = Sparsity(config, "mlp_in", width_in)
        self.c_fc = nn.Linear(width_in, config.d_mlp, bias=config.bias)
        self.activation = F.gelu if config.activation_type == "gelu" else F.relu
        self.sparse_neuron = Sparsity(config, "mlp_neuron", config.d_mlp)
        self.c_proj = nn.Linear(config.d_mlp, config.d_model, bias=config.bias)
        self.sparse_out = Sparsity(config, "mlp_out", config.d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``[batch, tokens, d_model]`` from ``[batch, tokens, width_in]``."""
        if not self.in_pieces or x.device.type != "cpu" or torch.is_grad_enabled():
            return self._run(x)
        # on a CPU, as many tokens at a time as keep their neurons in a core's cache
        least = DENSE_TOKENS if isinstance(self.c_fc, nn.Linear) else 1
        size = max(CACHED_NEURONS // self.c_fc.out_features, least)
        if size >= x.shape[:-1].numel():
            return self._run(x)
        pieces = [self._run(rows) for rows in torch.split(x.reshape(-1, x.shape[-1]), size)]
        return torch.cat(pieces).view(*x.shape[:-1], -1)

    def _run(self, x: Tensor) -> Tensor:
        hidden = self.sparse_neuron(self.activation(self.c_fc(self.sparse_in(x))))
        output: Tensor = self.sparse_out(self.c_proj(hidden))
        return output


class Block(nn.Module):
    """One layer: attention, then MLP, each added to the residual stream."""

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__()
        width_in = config.d_model + (config.d_pos_emb or 0)
        self.ln_1 = _norm(config, config.d_model)
        self.ln_p1 = _norm(config, config.d_pos_emb) if config.d_pos_emb else None
        self.attn = Attention(config, width_in)
        self.sparse_post_attn = Sparsity(config, "resid_post_attn", config.d_model)
        self.ln_2 = _norm(config, config.d_model)
        self.ln_p2 = _norm(config, config.d_pos_emb) if config.d_pos_emb else None
        self.mlp = MLP(config, width_in)
        self.sparse_post_mlp = Sparsity(config, "resid_post_mlp", config.d_model)
        self.residual = F.relu if config.residual_activation_type == "relu" else None

    def forward(self, x: Tensor, positions: Tensor, visible: Tensor | None) -> Tensor:
        """Carry the residual stream ``[batch, tokens, d_model]`` through one layer; see `step`."""
        return self.step(x, positions, lambda entered: self.attn(entered, visible))

    def step(self, x: Tensor, positions: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """Carry the residual stream through one layer, with attention given as a function.

        Args:
            x: the stream, ``[..., tokens, d_model]``.
            positions: position embeddings ``[tokens, d_pos_emb]``; unused when they were added.
            attend: gives what attention adds to the stream, from its input.

        Returns:
            The stream after the layer, of the shape of ``x``.
        """
        x = self.attended(x, positions, attend)
        return self.added(x, self.readout(x, positions))

    def attended(self, x: Tensor, positions: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        """Carry the stream past attention, the first half of `step`, which has the arguments."""
        x = self._add(x, attend(_beside(self.ln_1(x), self.ln_p1, positions)))
        after: Tensor = self.sparse_post_attn(x)
        return after

    def readout(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return what the MLP gives for the stream after attention, of the shape of ``x``."""
        given: Tensor = self.mlp(_beside(self.ln_2(x), self.ln_p2, positions))
        return given

    def added(self, x: Tensor, readout: Tensor) -> Tensor:
        """Add what the MLP gives to the stream after attention: the stream after the layer."""
        after: Tensor = self.sparse_post_mlp(self._add(x, readout))
        return after

    def _add(self, x: Tensor, update: Tensor) -> Tensor:
        return x + update if self.residual is None else self.residual(x + update)


class Stack(nn.Module):
    """Embeddings, blocks and the final norm."""

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.d_model)
        self.wpe = nn.Embedding(config.block_size, config.d_pos_emb or config.d_model)
        self.adds_positions = config.d_pos_emb is None
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = _norm(config, config.d_model)

    def embedded(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the stream before the blocks, and the position embeddings that blocks are given.

        Of ids ``[batch, tokens]`` these are ``[batch, tokens, d_model]`` and ``[tokens, width]``.
        """
        x, positions = self.wte(ids), self.wpe.weight[: ids.shape[1]]
        return (x + positions if self.adds_positions else x), positions

    def forward(self, ids: Tensor, visible: Tensor | None) -> Tensor:
        """Run ids ``[batch, tokens]`` to normed states ``[batch, tokens, d_model]``."""
        x, positions = self.embedded(ids)
        for block in self.h:
            x = block(x, positions, visible)
        states: Tensor = self.ln_f(x)
        return states


def _attend_with_learned_sink(q: Tensor, k: Tensor, v: Tensor, sink_logit: Tensor) -> Tensor:
    """Causal attention ``[batch, heads, tokens, d_head]`` with the sink, fast when training.

    torch has no fused kernel for a mask that has a gradient. So the sink is a key like any other,
    in front of the first token: on one more axis of q and k, where every query is √d_head, the
    sink's key is its logit and all others are zero.
    """
    width = q.shape[-1]
    extra = torch.zeros(2 * width, dtype=q.dtype, device=q.device)  # kernels like even widths
    extra[width] = 1.0
    q, k, v = (F.pad(part, (0, width, 1, 0)) for part in (q, k, v))
    first = torch.zeros(q.shape[-2], 1, dtype=q.dtype, device=q.device)
    first[0] = 1.0
    q = q + extra * math.sqrt(width)
    k = k + sink_logit.to(k.dtype)[None, :, None, None] * (first * extra)
    heads = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / math.sqrt(width))
    return heads[..., 1:, :width]


def _norm(config: CircuitGPTConfig, width: int) -> nn.Module:
    if config.rms_norm:
        return RMSNorm(width)
    return nn.LayerNorm(width, eps=LAYER_NORM_EPS, bias=config.ln_bias)


def _beside(x: Tensor, norm: nn.Module | None, positions: Tensor) -> Tensor:
    """``x`` with the normed position embeddings after it on the last axis, where there are any."""
    if norm is None:
        return x
    return torch.cat([x, norm(positions).expand(*x.shape[:-1], -1)], dim=-1)


def causal(tokens: int, device: torch.device) -> Tensor:
    """Return bool ``[tokens, tokens]``: which keys (last axis) a query sees, itself included."""
    return torch.ones(tokens, tokens, dtype=torch.bool, device=device).tril()
