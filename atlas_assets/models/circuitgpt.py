"""The circuitgpt family as transformers models, after its specification (docs/science.md §7).

Modules carry the names of the Hub's checkpoints, so a file's tensors load as they are, with or
without the prefix ``circuit_model.``, and are saved with it. Nothing here runs code from a
checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone reads
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import check_loaded
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_layers import Stack, causal


class CircuitGPTPreTrainedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The base of both circuitgpt classes; it loads only checkpoints that fit exactly."""

    config_class = CircuitGPTConfig
    base_model_prefix = "circuit_model"
    _no_split_modules = ["Block"]  # noqa: RUF012 - transformers reads it from the class
    _supports_sdpa = True

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any) -> Any:
        """Load a checkpoint as transformers does, except that it must fit exactly.

        Raises:
            ModelError: a tensor is missing, is not the model's, or has another shape; or there is
                a second matrix where ``tied_unembed`` says that there is one.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs["ignore_mismatched_sizes"] = True  # so that they are named below, by us
        kwargs["trust_remote_code"] = False
        kwargs.setdefault("use_safetensors", True)
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs
        )
        model, info = loaded
        check_loaded(info, where=str(pretrained_model_name_or_path))
        base = model.base_model
        expect(
            not model.config.tied_unembed or base.lm_head.weight is base.transformer.wte.weight,
            ModelError,
            "the checkpoint contradicts its config.json",
            where=f"{pretrained_model_name_or_path}: lm_head.weight",
            expected="no such tensor, or one equal to transformer.wte.weight (tied_unembed)",
            found="another matrix",
            remedy="set tied_unembed to false, or fetch the checkpoint again",
        )
        return (model, info) if wants_info else model


class CircuitGPTModel(CircuitGPTPreTrainedModel):  # type: ignore[no-untyped-call]
    """The blocks, without logits.

    It holds the unembedding's tensors too, for they have the same prefix in the Hub's format; they
    take no part in `forward`.
    """

    _tied_weights_keys = {  # noqa: RUF012 - transformers reads it from the class
        "lm_head.weight": "transformer.wte.weight"
    }

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__(config)
        vocab = config.vocab_size
        self.transformer = Stack(config)
        self.lm_head = nn.Linear(config.d_model, vocab, bias=False)
        self.final_logits_bias = nn.Parameter(torch.zeros(vocab))
        if config.enable_bigram_table:
            self.bigram_table = nn.Parameter(
                torch.zeros(vocab, vocab), requires_grad=config.learnable_bigram_table
            )
        self.post_init()  # type: ignore[no-untyped-call]

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


class CircuitGPTForCausalLM(CircuitGPTPreTrainedModel):  # type: ignore[no-untyped-call]
    """circuitgpt with its unembedding: ids to logits."""

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__(config)
        self.circuit_model = CircuitGPTModel(config)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        use_cache: bool | None = None,  # noqa: ARG002 - as for `CircuitGPTModel.forward`
        return_dict: bool | None = None,
    ) -> CausalLMOutput | tuple[Tensor, ...]:
        """Compute the logits of the next token at every position.

        Args:
            input_ids: int64 ``[batch, tokens]``, as for `CircuitGPTModel.forward`.
            attention_mask: ``[batch, tokens]`` or None, as for `CircuitGPTModel.forward`.
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


def _visible(attention_mask: Tensor | None, tokens: int) -> Tensor | None:
    """Bool ``[batch, 1, tokens, tokens]``: earlier real positions, and oneself (so none sees 0)."""
    if attention_mask is None:
        return None
    real = attention_mask.bool()[:, None, None, :]
    own = torch.eye(tokens, dtype=torch.bool, device=attention_mask.device)
    return causal(tokens, attention_mask.device) & (real | own)


# with this, transformers' Auto classes know the family
AutoConfig.register(CircuitGPTConfig.model_type, CircuitGPTConfig, exist_ok=True)
AutoModel.register(CircuitGPTConfig, CircuitGPTModel, exist_ok=True)
AutoModelForCausalLM.register(CircuitGPTConfig, CircuitGPTForCausalLM, exist_ok=True)
