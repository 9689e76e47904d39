"""Small random networks as loaded models, and units of prompts: nothing is read or downloaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from atlas_assets.extraction.extraction import PromptReadings, Scores, extract, read_prompts, score
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.progress import Progress
from atlas_assets.stages.activations.activations import Activations

PAD_ID = 256
VOCABULARY = 257
POSITIONS = 96
WIDTH = 16
LAYERS = 3
FINGERPRINT = "0123456789abcdef"
UNITS = {
    "While__len": ["while x:\n    pass", "len", "while len(x) > 3:\n    x = x[1:]"],
    "For__list": ["for x in list(y):\n    print(x)", "a", "for i in l: pass", "a"],
    "Assert___isolated_": ["assert x", "a = 1\nassert a", "assert not None, 'nothing'"],
    "For__set": ["for x in set(y): pass", "for i in l: pass"],
}


def extracted(model: Any, units: Mapping[str, Sequence[str]], **options: Any) -> Activations:
    """Sums and counts; unless told otherwise, nothing is kept."""
    options.setdefault("shards", ShardStore(None, FINGERPRINT))
    return extract(model, units, progress=Progress("reading"), **options)


def read(model: Any, units: Mapping[str, Sequence[str]], **options: Any) -> PromptReadings:
    """Sums, counts and losses; unless told otherwise, nothing is kept."""
    options.setdefault("shards", ShardStore(None, FINGERPRINT))
    return read_prompts(model, units, progress=Progress("reading"), **options)


def scored(model: Any, texts: Sequence[str], **options: Any) -> Scores:
    """Losses and lengths; unless told otherwise, nothing is kept."""
    options.setdefault("shards", ShardStore(None, FINGERPRINT))
    return score(model, texts, progress=Progress("scoring"), **options)


class ByteTokenizer:
    """One id per UTF-8 byte; id 256 pads."""

    pad_id = PAD_ID
    vocab_size = VOCABULARY
    prefix: tuple[int, ...] = ()

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def encode_with_spans(
        self, texts: Sequence[str]
    ) -> list[tuple[list[int], list[tuple[int, int]]]]:
        spans = (
            [(at, at + 1) for at, character in enumerate(text) for _ in character.encode()]
            for text in texts
        )
        return list(zip(self.encode_all(texts), spans, strict=True))

    def decode(self, ids: list[int]) -> str:
        return bytes(token for token in ids if token != PAD_ID).decode(errors="replace")


class ToyBase(nn.Module):
    """Causal, position-aware and without attention; notes every batch it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU()) for _ in range(LAYERS)
        )
        self.batches: list[tuple[int, int]] = []

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.batches.append((ids.shape[0], ids.shape[1]))
        x = self.embed(ids)
        steps = torch.arange(1, ids.shape[1] + 1, dtype=x.dtype).view(1, -1, 1)
        for mlp in self.mlps:
            x = x + mlp(x.cumsum(dim=1) / steps)
        return x


class ToyLM(nn.Module):
    """`ToyBase` with an unembedding."""

    def __init__(self) -> None:
        super().__init__()
        self.base = ToyBase()
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(self.base(ids)))


def loaded(
    network: nn.Module, base: nn.Module, mlps: list[nn.Module], *, positions: int = POSITIONS
) -> LoadedModel:
    network.eval()
    parameter = next(network.parameters())
    return LoadedModel(
        network=network,
        base=base,
        points=tuple(mlps),
        width=WIDTH,
        tokenizer=ByteTokenizer(),
        device=parameter.device,
        dtype=parameter.dtype,
        max_positions=positions,
        identity=ModelIdentity(model_id="tiny"),
    )


def toy(seed: int = 0, *, positions: int = POSITIONS, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(seed)
    network = ToyLM().to(dtype)
    return loaded(network, network.base, list(network.base.mlps), positions=positions)


def gpt2() -> LoadedModel:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    sizes = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_positions": POSITIONS}
    network = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **sizes))
    return loaded(network, network.transformer, [block.mlp for block in network.transformer.h])


def llama() -> LoadedModel:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=POSITIONS,
    )
    network = LlamaForCausalLM(config)
    return loaded(network, network.model, [block.mlp for block in network.model.layers])


def circuitgpt(*, block_size: int = POSITIONS, width: int = WIDTH, **options: Any) -> LoadedModel:
    from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM
    from atlas_assets.models.circuitgpt_config import CircuitGPTConfig

    torch.manual_seed(3)
    config = CircuitGPTConfig(
        vocab_size=VOCABULARY,
        block_size=block_size,
        n_layer=LAYERS,
        n_head=2,
        d_model=width,
        **options,
    )
    network = CircuitGPTForCausalLM(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    base = network.circuit_model
    mlps = [block.mlp for block in base.transformer.h]
    model = loaded(network, base, mlps, positions=block_size)
    return replace(model, width=width)


def sparse_circuitgpt() -> LoadedModel:
    """Every option of the paper's model that changes the forward pass."""
    return circuitgpt(
        rms_norm=True,
        afrac=0.25,
        afrac_loctypes="attn_in,attn_q,attn_k,attn_v,attn_out,mlp_in,mlp_neuron,mlp_out",
        enable_bigram_table=True,
        sink=True,
        d_pos_emb=8,
    )


ARCHITECTURES: dict[str, Callable[[], LoadedModel]] = {
    "gpt2": gpt2,
    "llama": llama,
    "circuitgpt": circuitgpt,
    "sparse circuitgpt": sparse_circuitgpt,
}
