"""A loaded model as extraction uses it: a network, the modules that are read and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from atlas_assets.models.identity import ModelIdentity
from atlas_assets.stages.prompts.tokens import CorpusTokenizer


class ModelTokenizer(CorpusTokenizer, Protocol):
    """A tokenizer that can also pad a batch for its model.

    Attributes:
        pad_id: the id that fills up the short sequences of a batch: that of ``<|endoftext|>``, else
            of the end-of-sequence token; None where the tokenizer has neither.
        vocab_size: the number of ids, added tokens included.
    """

    pad_id: int | None
    vocab_size: int

    def encode_with_spans(
        self, texts: Sequence[str], /
    ) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Return of every text the ids that ``encode_all`` gives, and the characters of each token.

        A token's characters are given as the first and one past the last.
        """


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A loaded causal language model, with everything that extraction and scoring need.

    Attributes:
        network: in eval mode; called with ids int64 ``[batch, tokens]`` its result's ``logits`` are
            ``[batch, tokens, vocabulary]``.
        base: the part of the network that runs the blocks, without the unembedding.
        points: per layer in order, the module whose forward output ``[batch, tokens, width]`` is
            the readout, and takes its place in the network where a hook changes it.
        width: neurons per readout.
        tokenizer: the model's own.
        device: where the weights lie.
        dtype: precision of the weights.
        max_positions: longest sequence, in tokens.
        identity: names and digests of what was loaded.
        kernels: which matrices run in which layout; results of models that differ in it alone
            differ by the order of float sums.
    """

    network: nn.Module
    base: nn.Module
    points: tuple[nn.Module, ...]
    width: int
    tokenizer: ModelTokenizer
    device: torch.device
    dtype: torch.dtype
    max_positions: int
    identity: ModelIdentity
    kernels: str = "dense"

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return len(self.points)
