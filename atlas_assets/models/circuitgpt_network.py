"""The network of circuitgpt as modules of torch (docs/science.md §7), without transformers.

Modules carry the names of the Hub's checkpoints, so a file's tensors load as they are, with or
without the prefix ``circuit_model.``. `models.circuitgpt` makes the same modules models of
transformers, which takes 3.5 s of processor time to import: what loads, runs and looks at a
circuitgpt asks for the classes of this module, which are the bases of both kinds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_layers import Stack, causal

#: what may come before the names of tensors in a checkpoint
PREFIX = "circuit_model"


class CircuitGPTBlocks(nn.Module):
    """The blocks, without logits.

    It holds the unembedding's tensors too, for they have the same prefix in the Hub's format; they
    take no part in `forward`.

    Attributes:
        config: sizes and options.
    """

    config: CircuitGPTConfig

    def assemble(self, config: CircuitGPTConfig) -> None:
        """Make the modules and tensors; the tensors hold no weights of a model yet."""
        vocab = config.vocab_size
        self.transformer = Stack(config)
        self.lm_head = nn.Linear(config.d_model, vocab, bias=False)
        self.final_logits_bias = nn.Parameter(torch.zeros(vocab))
        if config.enable_bigram_table:
            self.bigram_table = nn.Parameter(
                torch.zeros(vocab, vocab), requires_grad=config.learnable_bigram_table
            )

    def get_input_embeddings(self) -> nn.Module:
        """Return the module that embeds token ids, of weight ``[vocab_size, d_model]``."""
        return self.transformer.wte

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        use_cache: bool | None = None,  # noqa: ARG002 - generic callers pass it; there is no cache
        return_dict: bool | None = None,
    ) -> BaseModelOutput | tuple[Tensor, ...]:
        """Run the blocks on token ids, up to the final norm.

        Positions count from the left, padding included.

        Args:
            input_ids: int64 ``[batch, tokens]``, tokens ≤ block_size.
            attention_mask: ``[batch, tokens]``, 0 at padding; None: every position is real, and
                each sees itself and all before it.
            use_cache: accepted for the sake of generic callers; there is no cache.
            return_dict: False for a tuple.

        Returns:
            ``last_hidden_state`` ``[batch, tokens, d_model]``, after the final norm.

        Raises:
            ModelError: the sequence is longer than block_size.
        """
        tokens = input_ids.shape[1]
        expect(
            tokens <= self.config.block_size,
            ModelError,
            "a sequence is too long for the model",
            where="input_ids",
            expected=f"at most {self.config.block_size} tokens (block_size)",
            found=f"{tokens} tokens",
            remedy="shorten the text or cut its ids",
        )
        states = self.transformer(input_ids, _visible(attention_mask, tokens))
        output = BaseModelOutput(last_hidden_state=states)
        return output if return_dict is not False else output.to_tuple()

    def logits(self, states: Tensor, ids: Tensor) -> Tensor:
        """Compute logits ``[..., vocab_size]`` from states ``[..., d_model]`` and their ids."""
        logits: Tensor = self.lm_head(states)
        logits += self.final_logits_bias
        if self.config.enable_bigram_table:
            logits += F.embedding(ids, self.bigram_table)
        return logits


class CircuitGPTNetwork(nn.Module):
    """circuitgpt with its unembedding: ids to logits.

    Attributes:
        config: sizes and options.
        circuit_model: the blocks.
    """

    config: CircuitGPTConfig
    circuit_model: CircuitGPTBlocks

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        use_cache: bool | None = None,  # noqa: ARG002 - as for `CircuitGPTBlocks.forward`
        return_dict: bool | None = None,
    ) -> CausalLMOutput | tuple[Tensor, ...]:
        """Compute the logits of the next token at every position.

        Args:
            input_ids: int64 ``[batch, tokens]``, as for `CircuitGPTBlocks.forward`.
            attention_mask: ``[batch, tokens]`` or None, as for `CircuitGPTBlocks.forward`.
            labels: int64 ``[batch, tokens]``, the ids themselves (the shift happens here), -100
                where no loss is wanted.
            use_cache: accepted for the sake of generic callers; there is no cache.
            return_dict: False for a tuple.

        Returns:
            ``logits`` ``[batch, tokens, vocab_size]`` and, given labels, ``loss``: mean
            cross-entropy in nats.
        """
        states = self.circuit_model(input_ids, attention_mask).last_hidden_state
        logits = self.circuit_model.logits(states, input_ids)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100
            )
        output = CausalLMOutput(loss=loss, logits=logits)
        return output if return_dict is not False else output.to_tuple()


class PlainBlocks(CircuitGPTBlocks):
    """The blocks as a module of torch alone."""

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__()
        self.config = config
        self.assemble(config)


class CircuitGPT(CircuitGPTNetwork):
    """circuitgpt with its unembedding as a module of torch alone."""

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__()
        self.config = config
        self.circuit_model = PlainBlocks(config)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.circuit_model.final_logits_bias.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.circuit_model.final_logits_bias.dtype

    @property
    def base_model(self) -> CircuitGPTBlocks:
        """The part that runs the blocks, under transformers' name for it."""
        return self.circuit_model

    def get_input_embeddings(self) -> nn.Module:
        """Return the module that embeds token ids, of weight ``[vocab_size, d_model]``."""
        return self.circuit_model.get_input_embeddings()


def _visible(attention_mask: Tensor | None, tokens: int) -> Tensor | None:
    """Bool ``[batch, 1, tokens, tokens]``: earlier real positions, and oneself (so none sees 0)."""
    if attention_mask is None:
        return None
    real = attention_mask.bool()[:, None, None, :]
    own = torch.eye(tokens, dtype=torch.bool, device=attention_mask.device)
    return causal(tokens, attention_mask.device) & (real | own)
