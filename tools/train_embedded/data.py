"""From modules and prompts to tokens to batches, each a function of its inputs and seeds alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from tokenizers import Tokenizer

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.stages.circuits.samples import half_of
from tools.train_embedded.corpus import Source
from tools.train_embedded.recipe import Recipe

IntArray = npt.NDArray[np.int64]
_TEXTS_AT_A_TIME = 256


@dataclass(frozen=True, eq=False)
class TokenStream:
    """Texts one after the other, each closed by ``<|endoftext|>``.

    Attributes:
        ids: int64 ``[tokens]``.
        starts: int64, sorted: positions at which a window may begin.
    """

    ids: IntArray
    starts: IntArray


def split(sources: Sequence[Source], one_in: int) -> tuple[list[Source], list[Source]]:
    """Split into files to train on and files held out, whose SHA-256 is divisible by ``one_in``.

    The digest is the text's, so that copies of a file lie on the same side.
    """
    train: list[Source] = []
    held_out: list[Source] = []
    for source in sources:
        (train if int(source.sha256, 16) % one_in else held_out).append(source)
    return train, held_out


def token_stream(tokenizer: Tokenizer, texts: Sequence[str], *, whole: bool = False) -> TokenStream:
    """Encode texts as one stream of tokens, in their order.

    Args:
        tokenizer: with ``<|endoftext|>`` among its ids.
        texts: modules, or prompts.
        whole: whether windows begin where a text does, as prompts are read, and not at any line.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    size = tokenizer.get_vocab_size()
    ends = np.array([tokenizer.decode([token]).endswith("\n") for token in range(size)])
    if whole:
        ends[:] = False
    ends[end] = True
    parts: list[IntArray] = []
    for first in range(0, len(texts), _TEXTS_AT_A_TIME):  # what a text is encoded to is large
        encoded = tokenizer.encode_batch(list(texts[first : first + _TEXTS_AT_A_TIME]))
        parts.extend(np.array([*text.ids, end], dtype=np.int64) for text in encoded)
    ids = np.concatenate(parts)
    return TokenStream(ids, np.flatnonzero(np.concatenate([[True], ends[ids[:-1]]])))


def discovers() -> pl.Expr:
    """Tell of object prompts whether their domain is one of those that discover circuits."""
    return pl.col("variation_id").map_elements(
        lambda number: half_of(number % 5) == "discovery", return_dtype=pl.Boolean
    )


def batch(streams: Mapping[str, TokenStream], recipe: Recipe, step: int) -> list[IntArray]:
    """Draw what step 1, 2, … trains on: windows from the streams, by their shares in the recipe.

    Returns:
        Per entry of ``windows`` an int64 ``[sequences, window]``: inputs and, one further, targets.

    Raises:
        ModelError: a stream is shorter than a window.
    """
    rng = np.random.default_rng([recipe.seed, step])
    names = sorted(recipe.shares)
    shares = np.array([recipe.shares[name] for name in names])
    parts = []
    for window in recipe.windows:
        chosen = rng.choice(len(names), size=recipe.part_tokens // window, p=shares / shares.sum())
        parts.append(np.stack([_window(streams[names[each]], window, rng) for each in chosen]))
    return parts


def _window(stream: TokenStream, length: int, rng: np.random.Generator) -> IntArray:
    fitting = int(np.searchsorted(stream.starts, len(stream.ids) - length, side="right"))
    expect(
        fitting > 0,
        ModelError,
        "the corpus is too small to train on",
        expected=f"at least {length} tokens",
        found=f"{len(stream.ids)} tokens",
        remedy="train on more text, or on shorter sequences",
    )
    start = stream.starts[rng.integers(fitting)]
    return stream.ids[start : start + length]


def windows(stream: TokenStream, length: int) -> IntArray:
    """Cut the stream into int64 ``[windows, length]``; what is left over at its end is dropped."""
    count = len(stream.ids) // length
    return stream.ids[: count * length].reshape(count, length)
