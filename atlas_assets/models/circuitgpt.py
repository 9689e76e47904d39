"""The circuitgpt family as transformers models, after its specification (docs/science.md §7).

The modules are those of `models.circuitgpt_network`. A checkpoint's tensors load as they are, with
or without the prefix ``circuit_model.``, and are saved with it. Nothing here runs code from a
checkpoint.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import check_loaded
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig
from atlas_assets.models.circuitgpt_network import PREFIX, CircuitGPTBlocks, CircuitGPTNetwork


class CircuitGPTPreTrainedModel(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The base of both circuitgpt classes; it loads only checkpoints that fit exactly."""

    config_class = CircuitGPTConfig
    base_model_prefix = PREFIX
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


class CircuitGPTModel(CircuitGPTBlocks, CircuitGPTPreTrainedModel):  # type: ignore[misc]
    """The blocks, without logits, as a model of transformers."""

    _tied_weights_keys = {  # noqa: RUF012 - transformers reads it from the class
        "lm_head.weight": "transformer.wte.weight"
    }

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__(config)
        self.assemble(config)
        self.post_init()  # type: ignore[no-untyped-call]


class CircuitGPTForCausalLM(CircuitGPTNetwork, CircuitGPTPreTrainedModel):  # type: ignore[misc]
    """circuitgpt with its unembedding, as a model of transformers."""

    def __init__(self, config: CircuitGPTConfig) -> None:
        super().__init__(config)
        self.circuit_model = CircuitGPTModel(config)
        self.post_init()  # type: ignore[no-untyped-call]


# with this, transformers' Auto classes know the family
AutoConfig.register(CircuitGPTConfig.model_type, CircuitGPTConfig, exist_ok=True)
AutoModel.register(CircuitGPTConfig, CircuitGPTModel, exist_ok=True)
AutoModelForCausalLM.register(CircuitGPTConfig, CircuitGPTForCausalLM, exist_ok=True)
