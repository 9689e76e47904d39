"""Tiny random networks of every causal language model class of transformers, and what is read.

``python -m tools.families`` writes the table of docs/families.md: each class with its default
configuration, shrunk; the modules that are read, or why it is refused. A test holds what is read
to hooks on single prompts.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from atlas_assets.errors import ModelError
from atlas_assets.models.loading import mlps_of
from atlas_assets.models.readout_points import readout_points

PAGE = Path(__file__).parents[1] / "docs" / "families.md"
VOCABULARY = 320
#: what a number of a configuration is at most, by its name; the first that fits
_AT_MOST: tuple[tuple[str, int], ...] = (
    (r"(.*_)?vocab_size(_per_layer_input)?|.*_vocab", VOCABULARY),
    (r"(num|n)_(hidden_)?(layers|blocks)|n_layers?|depth|num_dense_layers|max_window_layers", 3),
    (r"(en|de)coder_layers|num_(en|de)coder_layers", 2),
    (r"(.*_)?num_(key_value|kv)_heads|n_kv_heads|multi_query_group_num|linear_num_key_heads", 2),
    (r"(.*_)?(num|n)_(.*_)?heads?|(.*_)?attention_heads", 4),
    (r".*(hidden|embed|embedding)_(size|dim)|d_model|n_embd|emb_dim|lru_width", 32),
    (
        r".*(intermediate|ffn|ff|feed_forward|expert|shared|hidden)_?(size|dim)|dff|dim_ff|d_inner",
        48,
    ),
    (r"qk_head_dim", 16),
    (r"(.*_)?head_(dim|size)|.*_head_dim|d_kv|dim_head|d_head|rotary_dim", 8),
    (r"mamba_d_ssm|mamba_d_state|ssm_state_size", 16),
    (r".*lora_rank", 8),
    (r"(.*_)?experts|.*_experts", 4),
    (r".*experts_per_tok(en)?|moe_topk|moe_k|top_k_experts", 2),
    (r"n_group|topk_group|num_expert_group", 1),
    (r"max_.*positions?|max_position_embeddings|n_positions|n_ctx|max_seq_len|seq_length", 128),
)
_LISTS = ("layer_types", "mlp_layer_types", "layers_block_type", "block_types")
_MAMBA = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_ssm": 64}
#: what a class needs besides, or has to be given to be a causal language model
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "bamba": _MAMBA,
    "falcon_h1": _MAMBA,
    "granitemoehybrid": {
        **_MAMBA,
        "num_local_experts": 4,
        "shared_intermediate_size": 24,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"],
    },
    "granitemoeshared": {"shared_intermediate_size": 24},
    "mamba2": {"num_heads": 4, "head_dim": 16},
    "deepseek_v2": {"num_experts_per_tok": 2, "n_routed_experts": 4, "n_shared_experts": 1},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2},
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gpt_neo": {
        "num_layers": 2,
        "attention_layers": ["global", "local"],
        "attention_types": [[["global", "local"], 1]],
    },
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8, "num_experts": 4, "moe_topk": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "ministral": {"head_dim": 8},
    "nemotron": {"num_key_value_heads": 2, "head_dim": 8},
    "qwen4_exp_text": {"head_dim": 8},
    "reformer": {"is_decoder": True, "axial_pos_shape": [8, 16], "axial_pos_embds_dim": [16, 16]},
    "xmod": {"default_language": "en_XX", "is_decoder": True},
    **{
        name: {"is_decoder": True}
        for name in (
            *("bert", "bert-generation", "big_bird", "camembert", "data2vec-text", "electra"),
            *("ernie", "megatron-bert", "rembert", "roberta", "roberta-prelayernorm", "roc_bert"),
            *("roformer", "xlm-roberta", "xlm-roberta-xl"),
        )
    },
    "xlm": {"causal": True},
}


@dataclass(frozen=True)
class Family:
    """What is read of a class, or why it is not.

    Attributes:
        model_type: what ``config.json`` calls it.
        read: the modules, with ``*`` for the layer; empty where it is refused.
        why: the cause of a refusal.
        built: whether there is a network at all.
    """

    model_type: str
    read: str = ""
    why: str = ""
    built: bool = True


def model_types() -> tuple[str, ...]:
    """The model types that have a causal language model class."""
    return tuple(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES))


def build(model_type: str, **changes: Any) -> Any:
    """A tiny random network of a class, from its default configuration, shrunk."""
    kind = CONFIG_MAPPING[model_type]
    default = kind().to_dict()
    for name in ("model_type", "transformers_version"):
        default.pop(name, None)
    options = _shrunk(default) | dict(CHANGES.get(model_type, {})) | changes
    torch.manual_seed(0)
    make: Any = AutoModelForCausalLM.from_config  # has no types
    return make(kind.from_dict(options)).eval()


def _shrunk(options: Mapping[str, Any]) -> dict[str, Any]:
    # what single layers differ in is said by their numbers, of which there are fewer
    kept = {name: value for name, value in options.items() if name != "per_layer_config"}
    small = {name: _at_most(name, value) for name, value in kept.items()}
    if options.get("num_key_value_heads") == options.get("num_attention_heads") is not None:
        small["num_key_value_heads"] = small["num_attention_heads"]
    layers = small.get("num_hidden_layers", 3)
    for name, values in small.items():
        if isinstance(values, list) and (
            name in _LISTS or len(values) == options.get("num_hidden_layers")
        ):
            kinds = list(dict.fromkeys(map(str, values)))
            first = [next(v for v in values if str(v) == kind) for kind in kinds]
            small[name] = (first + values)[:layers]
    return small


def _at_most(name: str, value: Any) -> Any:
    if isinstance(value, dict) and not name.startswith(("rope", "id2", "label2")):
        return _shrunk(value)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        return value
    if re.fullmatch(r".*(token_id|token_index|_idx)", name):
        return value if value < VOCABULARY else value % 8
    most = next((most for pattern, most in _AT_MOST if re.fullmatch(pattern, name)), value)
    return min(value, most)


def examine(model_type: str) -> Family:
    """What is read of a class."""
    try:
        network = build(model_type)
    except Exception as error:  # configurations, and what they need, are others' affair
        return Family(model_type, why=f"{type(error).__name__}: {error}", built=False)
    try:
        names = mlps_of(network)
        readout_points(network, network.base_model, names)
    except ModelError as error:
        return Family(model_type, why=f"{error.what}: {error.found}")
    places = dict.fromkeys(
        " + ".join(re.sub(r"\.\d+\.", ".*.", part) for part in parts) for parts in names
    )
    return Family(model_type, read=" or ".join(places))


def table(families: Iterator[Family] | list[Family]) -> str:
    """The table of docs/families.md."""
    lines = ["| `model_type` | read, or why not |", "|---|---|"]
    for family in families:
        said = " ".join(family.why.split())
        short = said if len(said) < 160 else f"{said[:159]}…"
        refused = "*refused*" if family.built else "*not built from its default configuration*"
        cell = f"`{family.read}`" if family.read else f"{refused}: {short.replace('|', '/')}"
        lines.append(f"| {family.model_type} | {cell} |")
    return "\n".join(lines)


def main() -> None:
    """Write the table into the page."""
    warnings.simplefilter("ignore")
    quiet: Any = transformers.logging.set_verbosity_error  # has no types
    quiet()
    families = [examine(model_type) for model_type in model_types()]
    built = [family for family in families if family.built]
    read = sum(bool(family.read) for family in built)
    text = PAGE.read_text(encoding="utf-8").partition("## Every class\n")[0]
    text += "## Every class\n\n"
    text += (
        f"`python -m tools.families` with transformers {transformers.__version__}: of "
        f"{len(families)} model types, {len(built)} could be built from their default "
        f"configuration, shrunk (BERTs as decoders); of these, {read} are read "
        f"({read / len(built):.0%}). A test compares what is read with hooks on single prompts.\n\n"
    )
    PAGE.write_text(f"{text}{table(families)}\n", encoding="utf-8")
    sys.stdout.write(f"{read} of {len(built)} read\n")


if __name__ == "__main__":
    main()
