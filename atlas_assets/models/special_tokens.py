"""What comes before the tokens of a prompt: the beginning-of-sequence token, where wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, Literal

from tokenizers import Tokenizer as TokenizerFile

from atlas_assets.errors import ModelError

#: ``auto``: what the tokenizer's own post-processor does
Bos = Literal["auto", "always", "never"]


def prefix_of(
    tokenizer: TokenizerFile,
    bos: Bos,
    *,
    config: Mapping[str, Any],
    told: Mapping[str, Any],
    where: str,
    known: Any = None,
) -> tuple[int, ...]:
    """Return the ids that every prompt begins with.

    Args:
        tokenizer: the checkpoint's.
        bos: whether a beginning-of-sequence token is wanted.
        config: ``config.json``.
        told: ``tokenizer_config.json``, and what ``special_tokens_map.json`` adds to it.
        where: the checkpoint, for the message.
        known: transformers' tokenizer of the checkpoint, whose beginning is followed where it is
            given; else that of ``tokenizer`` and ``told``.

    Raises ModelError where ``bos`` is ``always`` and the model has no such token. The family
    circuitgpt has none.
    """
    if config.get("model_type") == "circuitgpt":
        return before_text(bos, (), None, where=where)
    named = _named(tokenizer, config, told)
    if known is not None:
        return before_text(bos, before_of(known), named, where=where)
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    own = before_by(
        lambda text, added: tokenizer.encode(text, add_special_tokens=added).ids,
        (tokenizer.decode([number], skip_special_tokens=True) for number in range(size)),
    )
    asked = told.get("add_bos_token")
    if bos == "auto" and isinstance(asked, bool):
        bos = "always" if asked and named is not None else "never"  # as transformers takes it
    return before_text(bos, own, named, where=where)


def before(whole: Sequence[int], plain: Sequence[int]) -> tuple[int, ...]:
    """Return the ids of a text with special tokens that come before those of the text alone."""
    starts = range(len(whole) - len(plain) + 1) if plain else ()
    first = next((at for at in starts if list(whole[at : at + len(plain)]) == list(plain)), 0)
    return tuple(whole[:first])


def before_by(
    encode: Callable[[str, bool], Sequence[int]], tokens: Iterable[str]
) -> tuple[int, ...]:
    """Return the ids that a tokenizer puts before a text, seen at the first text that it encodes.

    Args:
        encode: gives the ids of a text, with or without special tokens.
        tokens: texts of its vocabulary, for one that has no ids for an ``a``.
    """
    for text in chain("a", tokens):
        try:
            plain = encode(text, False)
        except Exception:  # noqa: S112 - the library has nothing more specific for a text it lacks
            continue
        if plain:
            return before(encode(text, True), plain)
    return ()


def before_of(known: Any) -> tuple[int, ...]:
    """Return the ids that a tokenizer of transformers puts before a text."""
    return before_by(
        lambda text, added: known(text, add_special_tokens=added)["input_ids"],
        (known.decode([number], skip_special_tokens=True) for number in range(len(known))),
    )


def before_text(
    bos: Bos, own: tuple[int, ...], named: int | None, *, where: str
) -> tuple[int, ...]:
    """Return the ids that every prompt begins with: the tokenizer's own, the named one, or none.

    Raises ModelError where one is always wanted and there is none.
    """
    if bos == "never":
        return ()
    if bos == "auto" or own:
        return own
    if named is None:
        raise ModelError(
            "the model has no beginning-of-sequence token",
            where=where,
            expected="a bos_token in tokenizer_config.json, or a bos_token_id in config.json",
            found="neither, or a family that has none (circuitgpt)",
            remedy="set ATLAS_BOS to auto or never",
        )
    return (named,)


def _named(
    tokenizer: TokenizerFile, config: Mapping[str, Any], told: Mapping[str, Any]
) -> int | None:
    token = told.get("bos_token")
    token = token.get("content") if isinstance(token, dict) else token
    found = tokenizer.token_to_id(token) if isinstance(token, str) else None
    if found is not None:
        return int(found)
    text = config.get("text_config")
    for values in (config, text if isinstance(text, dict) else {}):
        number = values.get("bos_token_id")
        is_id = isinstance(number, int) and not isinstance(number, bool) and number >= 0
        if isinstance(number, int) and is_id and tokenizer.id_to_token(number) is not None:
            return number
    return None
