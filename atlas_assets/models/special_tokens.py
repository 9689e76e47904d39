"""What comes before the tokens of a prompt: the beginning-of-sequence token, where wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        return before_text(bos, before_by(known), named, where=where)
    whole, plain = (tokenizer.encode("a", add_special_tokens=added).ids for added in (True, False))
    own = before(whole, plain)
    asked = told.get("add_bos_token")
    if bos == "auto" and isinstance(asked, bool):
        bos = "always" if asked and named is not None else "never"  # as transformers takes it
    return before_text(bos, own, named, where=where)


def before(whole: Sequence[int], plain: Sequence[int]) -> tuple[int, ...]:
    """Return the ids of a text with special tokens that come before those of the text alone."""
    starts = range(len(whole) - len(plain) + 1) if plain else ()
    first = next((at for at in starts if list(whole[at : at + len(plain)]) == list(plain)), 0)
    return tuple(whole[:first])


def before_by(known: Any) -> tuple[int, ...]:
    """Return the ids that a tokenizer of transformers puts before a text."""
    whole, plain = (known("a", add_special_tokens=added)["input_ids"] for added in (True, False))
    return before(whole, plain)


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
