"""What an atlas shows, in a few sentences: how alike circuits are, keywords, ablation …"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.stages.circuits.quality import core_of
from atlas_assets.stages.circuits.yardsticks import identifying
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import PUBLISHED, Setting

#: types of concepts in the columns of the summary, with what they are called
_OF_TYPE = {"ast": "an AST node’s circuit", "blt": "a builtin’s"}


@dataclass(frozen=True)
class Finding:
    """A sentence about an atlas.

    Attributes:
        topic: What it is about: ``shared``, ``keyword``, ``identification`` or ``ablation``.
        text: The sentence, of one or two clauses.
    """

    topic: str
    text: str


def findings(
    universal: Masks | None,
    setting: Setting | None,
    summary: pl.DataFrame | None,
    leaderboard: pl.DataFrame | None,
) -> list[Finding]:
    """Return what can be said of an atlas; what it has no numbers of is left out.

    Args:
        universal: The universal masks at ``setting``.
        setting: The setting that is spoken of.
        summary: The table ``summary``.
        leaderboard: The table ``circuit_leaderboard``.
    """
    found: list[Finding] = []
    if universal is not None and setting is not None and universal.names:
        found.append(Finding("shared", _shared(universal, setting)))
        if summary is not None:
            at = {"epsilon": setting.epsilon, "consistency": setting.consistency}
            rows = summary.filter(**at).rows(named=True)
            found += [Finding("keyword", _keyword(row)) for row in rows]
    if leaderboard is not None:
        found += [Finding("identification", text) for text in identifying(leaderboard)]
        found += [Finding("ablation", text) for text in _ablation(leaderboard)]
    return found


def _shared(universal: Masks, setting: Setting) -> str:
    bits = universal.bits
    n, total = len(bits), universal.n_layers * universal.width
    sizes = universal.sizes().sum(axis=1)
    core = int(core_of(bits).sum())
    different = len(np.unique(bits.reshape(n, -1), axis=0))
    alike = core > sizes.mean() / 2
    begin = "Circuits of different concepts are largely the same neurons: at" if alike else "At"
    return (
        f"{begin} {setting}, a concept’s circuit has {sizes.mean():.0f} of the model’s {total:,} "
        f"neurons on average, and {core:,} neurons are in at least 90% of all circuits; {n:,} "
        f"concepts have {different:,} different ones."
    )


def _keyword(row: dict[str, Any]) -> str:
    if row["mean_token_fraction"] is None:
        return "No concept of this atlas has checker prompts to compare its circuit with."
    told = [
        f"{row[f'{kind}_concept_fraction']:.1%} of {words}"
        for kind, words in _OF_TYPE.items()
        if row.get(f"{kind}_concept_fraction") is not None
    ]
    left = " and ".join(told) or f"{row['mean_concept_fraction']:.1%}"
    alone = "the keyword alone" if told else "the checker prompts"
    how_much = "Most" if row["mean_token_fraction"] > 1 / 2 else "A part"
    return (
        f"{how_much} of a circuit fires for {alone} as well, in text that does not use the "
        f"concept: what is left to the concept itself is {left}, on average over layers."
    )


def _ablation(leaderboard: pl.DataFrame) -> Iterator[str]:
    board = leaderboard.filter((pl.col("type") == "all") & pl.col("specificity_low").is_not_null())
    published = board.filter(definition=PUBLISHED)
    if published.is_empty():
        return
    row = published.row(0, named=True)
    specific = board.filter((pl.col("specificity_low") > 0) & (pl.col("definition") != PUBLISHED))
    cost = (
        "Without its circuit, a concept’s own prompts cost the model "
        f"{row['necessity']:+.2f} nats per token"
    )
    others = ", ".join(
        f"{each['definition']} {_interval(each)}" for each in specific.rows(named=True)
    )
    ending = f"; circuits by another definition cost their own concept more: {others}"
    if row["specificity_low"] > 0:
        yield f"{cost}, {_interval(row)} more than other concepts’ prompts{others and ending}."
    else:
        yield (
            f"{cost}, and other concepts’ prompts about as much: the difference, {_interval(row)}, "
            f"cannot be told from nothing{others and ending}."
        )


def _interval(row: dict[str, Any]) -> str:
    value, low, high = (row[f"specificity{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
