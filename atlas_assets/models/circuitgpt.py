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
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_layers import Stack, causal
from atlas_assets.models.tensors import check_loaded


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
            ModelError: a tensor is missing, is not the model's, or has another shape.
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
        model.check_tied(where=str(pretrained_model_name_or_path))
        return (model, info) if wants_info else model

    def check_tied(self, where: str) -> None:
        """Refuse a checkpoint that contradicts ``tied_unembed``; the base model has no head."""

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        for name in ("sink_logit", "final_logits_bias", "bigram_table"):
            own = module._parameters.get(name)
            if own is not None and not getattr(own, "_is_hf_initialized", False):
                nn.init.zeros_(own)


class CircuitGPTModel(CircuitGPTPreTrainedModel):  # type: ignore[no-untyped-call]
    """The blocks, without logits.

    Args:
        config: sizes and options.
        with_head: also hold the unembedding's tensors, which lie under the same prefix in the
            Hub's format; `CircuitGPTForCausalLM` asks for them. They take no part in `forward`.
    """

    def __init__(self, config: CircuitGPTConfig, *, with_head: bool = False) -> None:
        super().__init__(config)
        self.transformer = Stack(config)
        if with_head:
            self._add_head(config)
        else:
            self._keys_to_ignore_on_load_unexpected = [
                r"lm_head\.weight$",
                r"final_logits_bias$",
                r"bigram_table$",
            ]
        self.post_init()  # type: ignore[no-untyped-call]

    def _add_head(self, config: CircuitGPTConfig) -> None:
        vocab = config.vocab_size
        self.lm_head = nn.Linear(config.d_model, vocab, bias=False)
        self.final_logits_bias = nn.Parameter(torch.zeros(vocab))
        if config.enable_bigram_table:
            self.bigram_table = nn.Parameter(
                torch.zeros(vocab, vocab), requires_grad=config.learnable_bigram_table
            )

    def get_input_embeddings(self) -> nn.Module:
        """Return the module that embeds token ids, of weight ``[vocab_size, d_model]``."""
        return self.transformer.wte

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the module that embeds token ids."""
        self.transformer.wte = value  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
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
        del use_cache
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
        return BaseModelOutput(last_hidden_state=states) if return_dict is not False else (states,)


class CircuitGPTForCausalLM(CircuitGPTPreTrainedModel):  # type: ignore[no-untyped-call]
    """circuitgpt with its unembedding: ids to logits."""

    _tied_weights_keys = {  # noqa: RUF012 - transformers reads it from the class
        "circuit_model.lm_head.weight": "circuit_model.transformer.wte.weight"
    }

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__(config)
        self.circuit_model = CircuitGPTModel(config, with_head=True)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        """Return the module that embeds token ids, of weight ``[vocab_size, d_model]``."""
        return self.circuit_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the module that embeds token ids."""
        self.circuit_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the unembedding, of weight ``[vocab_size, d_model]``."""
        head: nn.Module = self.circuit_model.lm_head
        return head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the module that turns states into logits."""
        self.circuit_model.lm_head = value

    def check_tied(self, where: str) -> None:
        """Refuse a checkpoint with a second matrix where the config says they are one.

        Raises:
            ModelError: ``lm_head.weight`` is in the file and differs from ``wte.weight``.
        """
        head = self.circuit_model.lm_head.weight
        expect(
            not self.config.tied_unembed or head is self.circuit_model.transformer.wte.weight,
            ModelError,
            "the checkpoint contradicts its config.json",
            where=f"{where}: lm_head.weight",
            expected="no such tensor, or one equal to transformer.wte.weight (tied_unembed)",
            found="another matrix",
            remedy="set tied_unembed to false, or fetch the checkpoint again",
        )

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Compute the logits of the next token at every position.

        Args:
            input_ids: int64 ``[batch, tokens]``, tokens ≤ block_size.
            attention_mask: ``[batch, tokens]``, 0 at padding; None: every position is real.
            labels: int64 ``[batch, tokens]``, the ids themselves (the shift happens here), -100
                where no loss is wanted.
            use_cache: accepted for the sake of generic callers; there is no cache.
            return_dict: False for a tuple.

        Returns:
            ``logits`` ``[batch, tokens, vocab_size]`` and, given labels, ``loss``: mean
            cross-entropy in nats.

        Raises:
            ModelError: the sequence is longer than block_size.
        """
        model = self.circuit_model
        states = model(input_ids, attention_mask, use_cache=use_cache).last_hidden_state
        logits = model.lm_head(states) + model.final_logits_bias
        if self.config.enable_bigram_table:
            logits = logits + F.embedding(input_ids, model.bigram_table)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100
            )
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return CausalLMOutput(loss=loss, logits=logits)


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
