"""What an atlas shows, in a few sentences: how alike circuits are, keywords, ablation …"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.stages.circuits.quality import core_of
from atlas_assets.stages.circuits.yardsticks import identifying
from atlas_assets.stages.concepts import Kind, kinds_of
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import PUBLISHED, Setting

#: kinds of concepts, with what their circuits are called
_OF_KIND: dict[Kind, str] = {
    "ast": "an AST node’s circuit",
    "builtin": "a builtin’s",
    "own": "a concept’s circuit",
}


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
    checker: Masks | None,
    leaderboard: pl.DataFrame | None,
) -> list[Finding]:
    """Return what can be said of an atlas; what it has no numbers of is left out.

    Args:
        universal: The universal masks at ``setting``.
        setting: The setting that is spoken of.
        checker: The masks of the keywords of concepts at ``setting``.
        leaderboard: The table ``circuit_leaderboard``.
    """
    found: list[Finding] = []
    if universal is not None and setting is not None and universal.names:
        found.append(Finding("shared", _shared(universal, setting)))
        if checker is not None:
            found.append(Finding("keyword", _keyword(in_keywords(universal, checker))))
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
    if not sizes.any():
        return (
            f"At {setting}, no concept’s circuit has a neuron: none of the model’s {total:,} is as "
            "large and as regular as that asks."
        )
    # one concept, or the two of one pair, are alike by themselves
    alike = n > 2 and core > sizes.mean() / 2
    told = f"{n:,} concepts have {different:,} different ones"
    if different == 1:
        told = f"all {n:,} concepts have the same one" if n > 1 else "there is one concept"
    begin = "Circuits of different concepts are largely the same neurons: at" if alike else "At"
    return (
        f"{begin} {setting}, a concept’s circuit has {sizes.mean():.0f} of the model’s {total:,} "
        f"neurons on average, and {core:,} {'neuron is' if core == 1 else 'neurons are'} in at "
        f"least 90% of all circuits; {told}."
    )


@dataclass(frozen=True)
class InKeywords:
    """How much of a circuit lies in the masks of keywords, on average over concepts.

    A share is of all neurons of a concept's circuit, whatever their layer; concepts without a
    neuron have none. (``token_fraction`` of the table ``summary`` is another number, the mean over
    layers, with 0 for a layer in which the circuit has no neuron.)

    Attributes:
        own: The share in the mask of the concept's own keyword.
        others: The mean share in the masks of the other concepts' keywords, of the same kind: what
            any keyword would do. ``None`` where no other concept of the kind has a keyword.
    """

    own: float
    others: float | None


def in_keywords(universal: Masks, checker: Masks) -> dict[Kind, InKeywords]:
    """Return it for each kind of concept that has keywords, and a circuit with a neuron.

    Args:
        universal: The circuits.
        checker: The masks of keywords, of prompts that do not use the concept, by concept.
    """
    both = sorted(set(universal.names) & set(checker.names))
    found: dict[Kind, InKeywords] = {}
    for kind in kinds_of(both):
        circuits = universal.select(both).of_kind(kind)
        keywords = checker.select(circuits.names)
        n = len(circuits.names)
        sizes = circuits.sizes().sum(axis=1)
        there = np.flatnonzero(sizes)
        if not len(there):
            continue
        circuit, keyword = (
            masks.bits.reshape(n, -1).astype(np.float32) for masks in (circuits, keywords)
        )
        shares = (circuit @ keyword.T)[there] / sizes[there, np.newaxis]
        own = shares[np.arange(len(there)), there]
        others = float(np.mean((shares.sum(axis=1) - own) / (n - 1))) if n > 1 else None
        found[kind] = InKeywords(float(own.mean()), others)
    return found


def _keyword(found: dict[Kind, InKeywords]) -> str:
    if not found:
        return "No concept of this atlas has both a circuit and checker prompts to compare it with."
    own = " and ".join(f"{each.own:.1%} of {_OF_KIND[kind]}" for kind, each in found.items())
    compared = [each.others for each in found.values() if each.others is not None]
    others = " and ".join(f"{share:.1%}" for share in compared)
    if "own" in found:
        control = f", and {others} for another concept’s, without that one" if compared else ""
        return (
            f"Without the concept, {own} fire for its own checker prompts{control}, on average "
            "over concepts."
        )
    if compared and min(compared) > 1 / 2:
        begin = "Most of a circuit also fires for any other keyword"
    elif min(each.own for each in found.values()) > 1 / 2:
        begin = "Most of a circuit fires for the keyword alone as well"
    else:
        begin = "A part of a circuit fires for the keyword alone as well"
    control = f", and {others} for another concept’s in text that does not use that one"
    return (
        f"{begin}: {own} fire for its own keyword in text that does not use the concept"
        f"{control if compared else ''}, on average over concepts."
    )


def _ablation(leaderboard: pl.DataFrame) -> Iterator[str]:
    board = leaderboard.filter((pl.col("type") == "all") & pl.col("specificity_low").is_not_null())
    published = board.filter((pl.col("definition") == PUBLISHED) & (pl.col("size") > 0))
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
    ending = f"; by other definitions it is above nothing: {others}"
    if row["specificity_low"] > 0:
        yield (
            f"{cost}, which is more than what other concepts’ prompts lose: the difference is "
            f"{_interval(row)}{others and ending}."
        )
    elif row["specificity_high"] < 0:
        yield (
            f"{cost}, and other concepts’ prompts more than that: the difference is "
            f"{_interval(row)}{others and ending}."
        )
    else:
        yield (
            f"{cost}, which is not shown to be more than what other concepts’ prompts lose: the "
            f"difference is {_interval(row)}{others and ending}."
        )


def _interval(row: dict[str, Any]) -> str:
    value, low, high = (row[f"specificity{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
