"""What a model is trained and judged on, as tokens: tokenizer, streams and batches.

Each is a function of its inputs and seeds alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from atlas_assets.stages.circuits.samples import half_of
from tools.corpus import Corpus
from tools.train_embedded.recipe import Recipe

IntArray = npt.NDArray[np.int64]
#: how the family splits a text before BPE (docs/science.md §1)
SPLIT_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
#: tokens of a held-out sequence, and sequences of the part of them for the loss curve
HELD_OUT_LENGTH, SAMPLE = 256, 64


@dataclass(frozen=True, eq=False)
class TokenStream:
    """Texts one after the other, each closed by ``<|endoftext|>``.

    Attributes:
        ids: int64 ``[tokens]``.
        starts: int64, sorted: positions at which a window may begin.
    """

    ids: IntArray
    starts: IntArray

    def rows(self, length: int, most: int) -> IntArray:
        """Cut it into int64 ``[rows, length]``; of many, take fewer than twice ``most``, spread."""
        count = len(self.ids) // length
        return self.ids[: count * length].reshape(count, length)[:: max(count // most, 1)]


@dataclass(frozen=True, eq=False)
class Material:
    """Tokens to train on and to judge by.

    Attributes:
        tokenizer: trained on the standard library, held-out files included.
        train: the streams ``library``, ``packages`` and ``prompts``.
        held_out: files of the standard library, whole packages, and the prompts of the domains that
            test, by the same names.
        manifest: what they are from, as plain data, and the SHA-256 of it.
    """

    tokenizer: Tokenizer
    train: Mapping[str, TokenStream]
    held_out: Mapping[str, TokenStream]
    manifest: Mapping[str, Any]

    def sample(self, stream: str = "library") -> IntArray:
        """Return a fixed part of a held-out stream, int64 ``[64, tokens]``, evenly spread."""
        return self.held_out[stream].rows(HELD_OUT_LENGTH, SAMPLE)[:SAMPLE]


def gather(recipe: Recipe, corpus: Corpus, prompts: pl.DataFrame) -> Material:
    """Encode the corpus and object prompts, columns ``variation_id`` and ``prompt_text``.

    Prompts of domains that discover are trained on, those of domains that test are held out.
    """
    files = sorted([*corpus.train["library"], *corpus.held_out["library"]], key=lambda s: s.name)
    tokenizer = train_bpe((source.text for source in files), recipe.options["vocab_size"])
    sides, asked = [], []
    for sources, half in ((corpus.train, discovers()), (corpus.held_out, ~discovers())):
        streams = {
            name: token_stream(tokenizer, [source.text for source in of_name])
            for name, of_name in sources.items()
        }
        texts = prompts.filter(half)["prompt_text"].to_list()
        sides.append({**streams, "prompts": token_stream(tokenizer, texts, whole=True)})
        asked += texts
    counts = [{name: len(stream.ids) for name, stream in side.items()} for side in sides]
    told = {
        "tokens": dict(zip(("train", "held_out"), counts, strict=True)),
        **corpus.manifest(),
        "prompts": {"sha256": hashlib.sha256("\0".join(asked).encode()).hexdigest()},
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    return Material(tokenizer, sides[0], sides[1], {"sha256": digest, **told})


def discovers() -> pl.Expr:
    """Tell of object prompts whether their domain is one of those that discover circuits."""
    domains = [domain for domain in range(5) if half_of(domain) == "discovery"]
    return (pl.col("variation_id") % 5).is_in(domains)


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE of exactly ``vocab_size`` ids, the last of which is ``<|endoftext|>``.

    Ids 0 to 255 are the bytes, the ones after them the merges in the order they were found. The
    same texts give the same tokenizer; it is a ModelError where they hold too few pairs.
    """
    tokenizer = Tokenizer(models.BPE())
    pattern = pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pattern, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    what = f"the texts are too short for a tokenizer of {vocab_size} ids"
    found = f"{tokenizer.get_vocab_size()} ids"
    expect(tokenizer.token_to_id(END_OF_TEXT) == vocab_size - 1, ModelError, what, found=found)
    return tokenizer


def token_stream(tokenizer: Tokenizer, texts: Sequence[str], *, whole: bool = False) -> TokenStream:
    """Encode modules or prompts as one stream of tokens, in their order.

    If ``whole``, windows begin where a text does, as prompts are read, and not at any line.
    """
    end = tokenizer.token_to_id(END_OF_TEXT)
    decoded = [tokenizer.decode([token]) for token in range(tokenizer.get_vocab_size())]
    ends = np.array([not whole and text.endswith("\n") for text in decoded])
    ends[end] = True
    parts: list[IntArray] = []
    for first in range(0, len(texts), 256):  # what a text is encoded to is large
        encoded = tokenizer.encode_batch(list(texts[first : first + 256]))
        parts.extend(np.array([*text.ids, end], dtype=np.int64) for text in encoded)
    ids = np.concatenate(parts)
    return TokenStream(ids, np.flatnonzero(np.concatenate([[True], ends[ids[:-1]]])))


def batch(streams: Mapping[str, TokenStream], recipe: Recipe, step: int) -> list[IntArray]:
    """Draw what step 1, 2, … trains on: windows from the streams, by their shares in the recipe.

    Returns:
        Per entry of ``windows`` an int64 ``[sequences, window]``: inputs and, one further, targets.
        A stream that is shorter than a window is a ModelError.
    """
    rng = np.random.default_rng([recipe.seed, step])
    names = sorted(recipe.shares)
    shares = np.array([recipe.shares[name] for name in names])
    parts = []
    for window in recipe.windows:
        rows = []
        for each in rng.choice(len(names), recipe.part_tokens // window, p=shares / shares.sum()):
            ids, starts = streams[names[each]].ids, streams[names[each]].starts
            fitting = int(np.searchsorted(starts, len(ids) - window, side="right"))
            what = f"the corpus is too small: {names[each]} needs at least {window} tokens"
            expect(fitting > 0, ModelError, what, found=f"{len(ids)} tokens")
            start = starts[rng.integers(fitting)]
            rows.append(ids[start : start + window])
        parts.append(np.stack(rows))
    return parts
