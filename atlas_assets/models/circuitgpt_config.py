"""The configuration of the circuitgpt family (docs/science.md §7), as a transformers config class.

Written from the specification. Keys that this implementation does not know are kept and reported;
an option that it knows but cannot honour is refused by name, never ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, ClassVar

from transformers import PretrainedConfig

from atlas_assets.errors import ModelError, expect

#: where activation sparsity can apply, in the order of the forward pass
LOCATIONS = (
    "attn_in",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_out",
    "resid_post_attn",
    "mlp_in",
    "mlp_neuron",
    "mlp_out",
    "resid_post_mlp",
)

#: without these a checkpoint's shape is unknown
_REQUIRED = ("block_size", "vocab_size", "n_layer", "n_head", "d_model")
#: what no tensor's name or shape reveals: taking a default for one of them must not be silent
_UNSEEN = ("residual_activation_type", "activation_type", "afrac")
#: options of the authors' code that change nothing at these values, and are refused at others
_WITHOUT_EFFECT: Mapping[str, bool | None] = {
    "unembed_rank": None,
    "bigram_table_rank": None,
    "mup_width_multiplier": None,
    "afrac_ste": False,
    "afrac_ste_only_non_neurons": False,
    "afrac_approx": False,
    "rtopk": False,
    "mup": False,
    "enable_fp8_linear": False,
    "scale_invariance": False,
}
#: known keys that are no fields: transformers' own, or in the family's configs without effect
_KNOWN_ELSEWHERE = frozenset(
    {
        "attn_implementation",
        "auto_map",
        "experts_implementation",
        "model_type",
        "n_mlp",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "per_layer_config",
        "tokenizer_class",
        "torch_dtype",
        "transformers_weights",
        *_WITHOUT_EFFECT,
    }
)

_log = logging.getLogger(__name__)


class CircuitGPTConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes and options of a circuitgpt model; see docs/science.md §7 for their meaning.

    Attributes:
        block_size: longest sequence, in tokens.
        vocab_size: number of token ids.
        n_layer, n_head, d_model: blocks, heads per block, width of the residual stream.
        d_head: width of one head; default ``d_model // n_head``.
        d_mlp: hidden neurons of a block's MLP; default ``4 * d_model`` (older configs: ``n_mlp``).
        bias, ln_bias: biases of the linear layers; of LayerNorm.
        rms_norm: RMSNorm (eps: the dtype's machine epsilon) instead of LayerNorm (eps 1e-5).
        residual_activation_type: ``identity`` or ``relu``, after each residual add.
        activation_type: ``gelu`` (the exact erf form) or ``relu``.
        afrac: share of entries that activation sparsity keeps, in (0, 1]; None: all.
        afrac_loctypes: comma-separated places where it applies (`LOCATIONS`).
        tied_unembed: the unembedding is the embedding matrix.
        enable_bigram_table, learnable_bigram_table: logits get ``bigram_table[ids]``; it trains.
        d_pos_emb: width of a position embedding concatenated inside every block; None: an
            embedding of width d_model added once.
        sinusoidal_cat_pos_emb: how training began the position embedding, which the checkpoint
            holds; without effect here.
        sink: one more key per head, always visible, of learned logit and value 0.
        loss_threshold: mean loss (nats) above which this model drops a prompt pair; None: the
            paper's. Not part of the Hub's format.
        dropout, dropout_cat_pos_emb, flash, grad_checkpointing, enable_sparse_kernels,
            debug_nans, tokenizer_name: training-only keys of the family, kept and not acted on.

    Raises:
        ModelError: an option is out of its range or not supported; the message names the key.
    """

    model_type = "circuitgpt"
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "intermediate_size": "d_mlp",
        "max_position_embeddings": "block_size",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "head_dim": "d_head",
        "tie_word_embeddings": "tied_unembed",
    }

    block_size: int = 512
    vocab_size: int = 2048
    n_layer: int = 8
    n_head: int = 8
    d_model: int = 128
    # integers once __post_init__ has filled them in
    d_head: Any = None
    d_mlp: Any = None
    bias: bool = True
    ln_bias: bool = True
    rms_norm: bool = False
    residual_activation_type: str = "identity"
    activation_type: str = "gelu"
    afrac: float | None = None
    afrac_loctypes: str = ""
    tied_unembed: bool = False
    enable_bigram_table: bool = False
    learnable_bigram_table: bool = False
    d_pos_emb: int | None = None
    sinusoidal_cat_pos_emb: bool = False
    sink: bool = False
    loss_threshold: float | None = None

    dropout: float = 0.0
    dropout_cat_pos_emb: bool = False
    flash: bool = True
    grad_checkpointing: bool = False
    enable_sparse_kernels: bool = False
    debug_nans: bool = False
    tokenizer_name: str | None = None

    initializer_range: float = 0.02
    use_cache: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    pad_token_id: int | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Fill derived sizes, refuse what cannot be honoured, report unknown keys."""
        for alias in self.attribute_map.keys() & kwargs.keys():
            setattr(self, alias, kwargs.pop(alias))
        older = kwargs.pop("n_mlp", None)
        if None not in (older, self.d_mlp) and older != self.d_mlp:
            raise _unsupported("n_mlp", f"the value of d_mlp, {self.d_mlp}", older)
        self.d_mlp = older if self.d_mlp is None else self.d_mlp
        for key, value in _WITHOUT_EFFECT.items():
            if key in kwargs and kwargs[key] is not value:
                expected = "null" if value is None else "false"
                raise _unsupported(key, expected, kwargs[key])
        for key, (is_allowed, allowed) in _ALLOWED.items():
            if not is_allowed(getattr(self, key)):
                raise _unsupported(key, allowed, getattr(self, key))
        unknown = sorted(self.sparse_locations.difference(LOCATIONS))
        if unknown:
            raise _unsupported("afrac_loctypes", ", ".join(LOCATIONS), ", ".join(unknown))
        if self.d_head is None and self.d_model % self.n_head:
            raise _unsupported("n_head", f"a divisor of d_model {self.d_model}", self.n_head)
        self.d_head = self.d_head or self.d_model // self.n_head
        self.d_mlp = self.d_mlp or 4 * self.d_model
        _report_unknown(kwargs)
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """Read a config as transformers does, but refuse one without sizes (ModelError)."""
        given = _without_aliases(config_dict, cls.attribute_map)
        missing = ", ".join(key for key in _REQUIRED if key not in given)
        expect(
            not missing,
            ModelError,
            "the model's config.json is incomplete",
            where=missing,
            expected=f"the keys {', '.join(_REQUIRED)}",
            found=f"no {missing}",
            remedy="complete config.json from the checkpoint's source",
        )
        for key in _UNSEEN:
            if key not in given:
                _log.warning("config.json has no %r; taking %r", key, getattr(cls, key))
        return super().from_dict(given, **kwargs)

    def kept(self, location: str, width: int) -> int | None:
        """Return how many of ``width`` entries stay at ``location``; None where all do."""
        if self.afrac is None or location not in self.sparse_locations:
            return None
        return int(self.afrac * width)

    @property
    def sparse_locations(self) -> frozenset[str]:
        """The places named by ``afrac_loctypes``."""
        return frozenset(part.strip() for part in self.afrac_loctypes.split(",") if part.strip())


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


_SIZE = (_is_size, "an integer ≥ 1")
_OPTIONAL_SIZE = (lambda value: value is None or _is_size(value), "an integer ≥ 1 or null")
_FLAG = (lambda value: isinstance(value, bool), "true or false")
#: option → whether a value is allowed, and what is, in words
_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(_REQUIRED, _SIZE),
    **dict.fromkeys(("d_head", "d_mlp", "d_pos_emb"), _OPTIONAL_SIZE),
    **dict.fromkeys(("bias", "ln_bias", "rms_norm", "tied_unembed", "sink"), _FLAG),
    **dict.fromkeys(("enable_bigram_table", "learnable_bigram_table"), _FLAG),
    "activation_type": (lambda value: value in ("gelu", "relu"), "gelu or relu"),
    "residual_activation_type": (lambda value: value in ("identity", "relu"), "identity or relu"),
    "sinusoidal_cat_pos_emb": _FLAG,
    "afrac": (
        lambda value: value is None or (_is_positive(value) and value <= 1),
        "a number in (0, 1] or null",
    ),
    "afrac_loctypes": (lambda value: isinstance(value, str), "comma-separated names"),
    "loss_threshold": (
        lambda value: value is None or _is_positive(value),
        "a number > 0 (nats) or null",
    ),
}


def _report_unknown(given: Mapping[str, Any]) -> None:
    known = _KNOWN_ELSEWHERE.union(field.name for field in fields(PretrainedConfig))
    unknown = sorted(key for key in given if key not in known and not key.startswith("_"))
    if unknown:
        _log.warning(
            "config.json has keys that this implementation of circuitgpt does not know; "
            "they are kept and have no effect: %s",
            ", ".join(unknown),
        )


def _without_aliases(config: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """The config under the family's own names, which win over transformers' names for the same."""
    given = {key: value for key, value in config.items() if key not in aliases}
    for alias in sorted(aliases.keys() & config.keys()):
        own = aliases[alias]
        if given.setdefault(own, config[alias]) != config[alias]:
            _log.warning("config.json: %r is taken, %r contradicts it", own, alias)
    return given


def _unsupported(key: str, expected: str, found: object) -> ModelError:
    return ModelError(
        f"the model's config.json asks for something unsupported: {key}",
        where=key,
        expected=expected,
        found=repr(found),
        remedy="use a checkpoint without this option, or correct config.json if it is a mistake",
    )
