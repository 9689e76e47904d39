"""A transformers model that its user holds in memory, as extraction takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import max_positions
from atlas_assets.models.mlps import find_mlps, readout_width


@contextmanager
def in_memory(network: Any, tokenizer: Any) -> Iterator[LoadedModel]:
    """Lend a model to extraction, as it is: on its device, in its precision, its matrices dense.

    Modules that are in training mode are put in evaluation mode, and back when the block ends.

    Args:
        network: a causal language model of transformers.
        tokenizer: its tokenizer; no special tokens are added.

    Raises:
        ModelError: something else was given, or the MLP modules cannot be found.
    """
    _require(network, PreTrainedModel, "model", "a causal language model of transformers")
    _require(tokenizer, PreTrainedTokenizerBase, "tokenizer", "the model's tokenizer")
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        mlps = find_mlps(network)
        first = next(network.parameters())
        yield LoadedModel(
            network=network,
            base=network.base_model,
            mlps=mlps,
            width=readout_width(network.base_model, mlps),
            tokenizer=_MemoryTokenizer(tokenizer, network.get_input_embeddings().weight.shape[0]),
            device=first.device,
            dtype=first.dtype,
            max_positions=max_positions(network.config),
            identity=ModelIdentity(model_id=network.name_or_path or type(network).__name__),
        )
    finally:
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

    def __init__(self, tokenizer: Any, rows: int) -> None:
        self._tokenizer = tokenizer
        self._rows = rows
        self.vocab_size = len(tokenizer)
        named = tokenizer.get_vocab().get(END_OF_TEXT)
        candidates = (named, tokenizer.eos_token_id, tokenizer.pad_token_id)
        self.pad_id = next((i for i in candidates if i is not None and i < rows), 0)

    def encode(self, text: str, /) -> list[int]:
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str], /) -> list[list[int]]:
        found: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]
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
        return found

    def spans_all(self, texts: Sequence[str], /) -> list[list[tuple[int, int]]]:
        found = self._tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
        spans: list[list[tuple[int, int]]] = found["offset_mapping"]
        return spans

    def decode(self, ids: list[int], /) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))
