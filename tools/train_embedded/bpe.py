"""Byte-level BPE with the family's split pattern (docs/science.md §1), trained on given texts."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from atlas_assets.errors import ModelError, expect
from atlas_assets.models.checkpoint_files import END_OF_TEXT

SPLIT_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_bpe(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer of exactly ``vocab_size`` ids, the last of which is ``<|endoftext|>``.

    Ids 0 to 255 are the bytes, the ones after them the merges in the order they were found. The
    same texts give the same tokenizer.

    Raises:
        ModelError: the texts hold too few pairs for so many ids.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, special=True, normalized=False)])
    found = tokenizer.get_vocab_size(with_added_tokens=True)
    expect(
        found == vocab_size and tokenizer.token_to_id(END_OF_TEXT) == vocab_size - 1,
        ModelError,
        "the tokenizer has another size than asked for",
        expected=f"{vocab_size} ids, the last one {END_OF_TEXT}",
        found=f"{found} ids",
        remedy="train on more text, or ask for fewer ids",
    )
    return tokenizer
