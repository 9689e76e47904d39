"""Prompt tables as units of extraction: unit name → its prompts in row order."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from atlas_assets.stages.concepts import pair_name

Units = dict[str, list[str]]


def units_of_object_prompts(prompts: pl.DataFrame) -> Units:
    """Group the object prompts (stage 11A) by pair: ``"For__list"`` → its prompts."""
    pairs = zip(prompts["ast_node"], prompts["builtin_obj"], strict=True)
    return _group((pair_name(*pair) for pair in pairs), prompts["prompt_text"])


def units_of_checker_prompts(prompts: pl.DataFrame) -> Units:
    """Group checker or token-checker prompts by concept: ``"ast__For"`` → its prompts."""
    return _group(prompts["object"], prompts["prompt_text"])


def _group(names: Iterable[str], texts: Iterable[str]) -> Units:
    units: Units = {}
    for name, text in zip(names, texts, strict=True):
        units.setdefault(name, []).append(text)
    return units
