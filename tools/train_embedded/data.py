"""From modules to tokens to batches, each a function of its inputs and seeds alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from atlas_assets.errors import ModelError
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from tools.train_embedded.corpus import Source
from tools.train_embedded.recipe import Recipe

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TokenStream:
    """Modules one after the other, each closed by ``<|endoftext|>``.

    Attributes:
        ids: int64 ``[tokens]``.
        line_starts: int64, sorted: positions at which a line of source begins.
    """

    ids: IntArray
    line_starts: IntArray


def split(sources: Sequence[Source], one_in: int) -> tuple[list[Source], list[Source]]:
    """Split into files to train on and files held out, whose SHA-256 is divisible by ``one_in``.

    The digest is the text's, so that copies of a file lie on the same side.
    """
    train: list[Source] = []
    held_out: list[Source] = []
    for source in sources:
        (train if int(source.sha256, 16) % one_in else held_out).append(source)
    return train, held_out


def token_stream(tokenizer: Tokenizer, sources: Sequence[Source]) -> TokenStream:
    """Encode the sources as one stream of tokens, in their order."""
    size = tokenizer.get_vocab_size()
    ends_line = np.array([tokenizer.decode([token]).endswith("\n") for token in range(size)])
    end = tokenizer.token_to_id(END_OF_TEXT)
    ends_line[end] = True
    encoded = tokenizer.encode_batch([source.text for source in sources])
    ids = np.concatenate([np.array([*text.ids, end], dtype=np.int64) for text in encoded])
    starts = np.flatnonzero(np.concatenate([[True], ends_line[ids[:-1]]]))
    return TokenStream(ids, starts)


def batch(stream: TokenStream, recipe: Recipe, step: int) -> list[IntArray]:
    """Draw what step 1, 2, … trains on: windows that begin where a line does, as prompts do.

    Returns:
        Per entry of ``sequence_lengths`` an int64 ``[sequences, length + 1]``: inputs and, one
        further, targets.

    Raises:
        ModelError: the stream is shorter than a window.
    """
    rng = np.random.default_rng([recipe.seed, step])
    parts = []
    for length in recipe.sequence_lengths:
        fitting = np.searchsorted(stream.line_starts, len(stream.ids) - length, side="left")
        if not fitting:
            raise ModelError(
                "the corpus is too small to train on",
                expected=f"more than {length} tokens",
                found=f"{len(stream.ids)} tokens",
                remedy="train on more text, or on shorter sequences",
            )
        chosen = rng.integers(0, fitting, size=recipe.part_tokens // length)
        parts.append(stream.ids[stream.line_starts[chosen, None] + np.arange(length + 1)])
    return parts


def windows(stream: TokenStream, length: int) -> IntArray:
    """Cut the stream into int64 ``[windows, length]``; what is left over at its end is dropped."""
    count = len(stream.ids) // length
    return stream.ids[: count * length].reshape(count, length)
