"""Prompt tables as units of extraction: unit name → its prompts in row order."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from atlas_assets.stages.concepts import pair_name

Units = dict[str, list[str]]


def units_of_object_prompts(prompts: pl.DataFrame) -> Units:
    """Object prompts by pair: ``"For__list"`` → its prompts.

    Args:
        prompts: columns ``ast_node``, ``builtin_obj``, ``prompt_text`` (stage 11A).
    """
    pairs = zip(prompts["ast_node"], prompts["builtin_obj"], strict=True)
    return _group((pair_name(*pair) for pair in pairs), prompts["prompt_text"])


def units_of_checker_prompts(prompts: pl.DataFrame) -> Units:
    """Checker prompts by concept: ``"ast__For"`` → its prompts.

    Args:
        prompts: columns ``object``, ``prompt_text`` (stage 11B and the token-checker run).
    """
    return _group(prompts["object"], prompts["prompt_text"])


def _group(names: Iterable[str], texts: Iterable[str]) -> Units:
    units: Units = {}
    for name, text in zip(names, texts, strict=True):
        units.setdefault(name, []).append(text)
    return units
