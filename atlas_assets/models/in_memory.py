"""A transformers model that its user holds in memory, as extraction takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import max_positions, mlps_of
from atlas_assets.models.sites import Site, points_at, release
from atlas_assets.models.special_tokens import Bos, before_of, before_text


@contextmanager
def in_memory(
    network: Any,
    tokenizer: Any,
    *,
    mlp: tuple[str, ...] = (),
    bos: Bos = "auto",
    site: Site = "mlp_out",
) -> Iterator[LoadedModel]:
    """Lend a model to extraction, as it is: on its device, in its precision, its matrices dense.

    Modules that are in training mode are put in evaluation mode, and back when the block ends.

    Args:
        network: a causal language model of transformers.
        tokenizer: its tokenizer.
        mlp, bos, site: as for `models.loading.load`.

    Raises:
        ModelError: something else was given, or the MLP modules or the site cannot be found.
        SettingsError: ``mlp`` names no modules.
    """
    _require(network, PreTrainedModel, "model", "a causal language model of transformers")
    _require(tokenizer, PreTrainedTokenizerBase, "tokenizer", "the model's tokenizer")
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    points: tuple[nn.Module, ...] = ()
    try:
        points, width = points_at(network, network.base_model, mlps_of(network, mlp), site)
        rows = network.get_input_embeddings().weight.shape[0]
        first = next(network.parameters())
        yield LoadedModel(
            network=network,
            base=network.base_model,
            points=points,
            width=width,
            tokenizer=_MemoryTokenizer(tokenizer, rows, bos, network.config.model_type),
            device=first.device,
            dtype=first.dtype,
            max_positions=max_positions(network.config),
            identity=ModelIdentity(model_id=network.name_or_path or type(network).__name__),
        )
    finally:
        release(network, points)
        for module in training:
            module.training = True


def _require(found: object, kind: type, what: str, expected: str) -> None:
    expect(
        isinstance(found, kind),
        ModelError,
        f"this is no {what} to read with",
        where=what,
        expected=expected,
        found=type(found).__name__,
        remedy="pass a model and its tokenizer, or a folder or Hub id and no tokenizer",
    )


class _MemoryTokenizer:
    """A tokenizer of transformers; ids that the embedding has no row for are refused."""

    def __init__(self, tokenizer: Any, rows: int, bos: Bos, model_type: str) -> None:
        self._tokenizer = tokenizer
        self._rows = rows
        self.vocab_size = len(tokenizer)
        named = tokenizer.get_vocab().get(END_OF_TEXT)
        candidates = (named, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self.pad_id = next((i for i in candidates if i is not None and i < rows), None)
        own, named = before_of(tokenizer), tokenizer.bos_token_id
        if model_type == "circuitgpt":
            own, named = (), None
        self.prefix = before_text(bos, own, named, where="tokenizer")

    def encode(self, text: str, /) -> list[int]:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str], /) -> list[list[int]]:
        found: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        self._require_embedded(found)
        return found

    def encode_with_spans(
        self, texts: Sequence[str], /
    ) -> list[tuple[list[int], list[tuple[int, int]]]]:
        found = self._tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
        self._require_embedded(found["input_ids"])
        return list(zip(found["input_ids"], found["offset_mapping"], strict=True))

    def decode(self, ids: list[int], /) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))

    def _require_embedded(self, found: list[list[int]]) -> None:
        largest = max((max(ids, default=0) for ids in found), default=0)
        expect(
            largest < self._rows,
            ModelError,
            "the tokenizer does not belong to the model",
            where="tokenizer",
            expected=f"token ids below {self._rows}, the rows of the embedding",
            found=f"id {largest}",
            remedy="pass the model's own tokenizer",
        )
