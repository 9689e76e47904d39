"""Concept fractions with the keyword's token on both sides, so that the token cannot tell them.

The published decomposition compares a circuit A, read at the last token of object prompts, with a
mask B, read at the last token of prompts that hold the keyword and not the concept. Both are other
tokens than the keyword in most prompts, and what is in A∖B may be so for the token alone. Here both
are read at the last token of the keyword: object prompts are cut where the keyword of their AST
node, or the name of their builtin, ends, and keyword prompts where the keyword occurs last. What a
causal network gives at a token does not depend on what is cut. A word may be other tokens after a
space than at the start of a line or in a name, so that of each concept one token is taken, and the
prompts of both sides that end in it. Circuits, masks and fractions |A∖B| / |A| are then made by the
published rules, with intervals over the subject areas of the prompts as in
`stages.circuits.fraction_intervals`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import polars as pl

from atlas_assets.stages.activations.activations import Activations, Units
from atlas_assets.stages.artifact import Artifact, Entry, Model, Needs
from atlas_assets.stages.check import Check, Details, Inspected, contradicts
from atlas_assets.stages.circuits.fraction_intervals import (
    MEANS,
    SCHEMA,
    OfDomains,
    intervals,
    shown,
    units_by_domain,
)
from atlas_assets.stages.circuits.samples import DOMAINS
from atlas_assets.stages.concepts import Kind, concept_name, split_concept
from atlas_assets.stages.decomposition.decomposition import target_checker
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import sweep_masks, universal
from atlas_assets.stages.prompts.positions import Landmarks
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.prompts.tokens import KeywordSearch, Tokenizer
from atlas_assets.stages.setting import Setting

#: prompts of each pair and subject area that are read, at most
PER_AREA = 2
#: the column of object prompts that names the concept of a kind
_OWN: Mapping[Kind, str] = {"ast": "ast_node", "builtin": "builtin_obj"}


def cut_prompts(prompts: pl.DataFrame, keywords: Mapping[str, str], kind: Kind) -> pl.DataFrame:
    """Cut object prompts at the keywords of their AST nodes, or at the names of their builtins.

    Left are the first `PER_AREA` of each pair and subject area whose concept has a keyword and that
    hold it where the concept is.

    Args:
        prompts: ``ast_node``, ``builtin_obj``, ``variation_id``, ``prompt_text``.
        keywords: The keyword of each concept that has one.
        kind: Which of its two concepts a prompt is cut at, ``ast`` or ``builtin``.
    """
    landmarks = Landmarks.of(load_stimuli())
    some = prompts.filter(pl.col("variation_id") < PER_AREA * DOMAINS)

    def cut(of: str, text: str) -> str | None:
        keyword = keywords.get(concept_name(kind, of))
        if keyword is None:
            return None
        if kind == "ast":
            end = landmarks.keyword_end(text, of, keyword)
        else:
            end = landmarks.name_end(text, of)
        return None if end is None else text[:end]

    texts = [cut(*row) for row in some.select(_OWN[kind], "prompt_text").rows()]
    return some.with_columns(prompt_text=pl.Series(texts, dtype=pl.String)).drop_nulls(
        "prompt_text"
    )


def cut_checkers(checkers: pl.DataFrame, tokenizer: Tokenizer) -> Units:
    """Return the keyword prompts of each concept, cut where the keyword occurs last.

    Left out are those of which the tokenizer does not give back the text up to there.

    Args:
        checkers: ``object``, ``keyword``, ``prompt_text``.
        tokenizer: Says where a text holds a keyword (`stages.prompts.tokens`).
    """
    search = KeywordSearch(tokenizer)
    units: dict[str, list[str]] = {}
    for concept, keyword, text in checkers.select("object", "keyword", "prompt_text").rows():
        place = search.last_token(text, keyword)
        if place is not None:
            before = tokenizer.decode(tokenizer.encode(text)[: place + 1])
            if text.startswith(before):
                units.setdefault(concept, []).append(before)
    return units


def of_one_token(
    cut: pl.DataFrame, beside: Mapping[str, list[str]], tokenizer: Tokenizer, kind: Kind
) -> tuple[pl.DataFrame, Units]:
    """Return the cut prompts that end in the same token as the cut keyword prompts beside them.

    Of each concept it is one token: that in which the largest share of prompts ends on both sides,
    of equal ones the one of lowest id. Left out are concepts of which no token ends both.

    Args:
        cut: What `cut_prompts` gives for the kind.
        beside: What `cut_checkers` gives.
        tokenizer: Says in which token a text ends.
        kind: Which concept of a prompt it was cut at.
    """

    def last(text: str) -> int:
        return tokenizer.encode(text)[-1]

    ended = cut.with_columns(_last=pl.Series(map(last, cut["prompt_text"]), dtype=pl.Int64))
    kept, units = [ended.clear()], {}
    for (of,), prompts in ended.group_by(_OWN[kind], maintain_order=True):
        concept = concept_name(kind, str(of))
        keyword_ends = [last(text) for text in beside.get(concept, ())]
        sides = Counter(prompts["_last"].to_list()), Counter(keyword_ends)
        common = sorted(set(sides[0]) & set(sides[1]))
        if not common:
            continue
        token = max(common, key=lambda one: min(side[one] / side.total() for side in sides))
        kept.append(prompts.filter(pl.col("_last") == token))
        units[concept] = [
            text for text, end in zip(beside[concept], keyword_ends, strict=True) if end == token
        ]
    return pl.concat(kept).drop("_last"), units


def controlled(
    read: Mapping[Kind, Activations], checkers: Activations, sweep: Sequence[Setting]
) -> pl.DataFrame:
    """Return the concept fractions at keywords with their intervals, sorted by the key.

    Args:
        read: What was read of cut object prompts, by pair and subject area
            (`fraction_intervals.units_by_domain`), by the kind of concept they are cut at.
        checkers: What was read of cut keyword prompts, by concept.
        sweep: The settings.

    Returns:
        Columns ``fraction_intervals.SCHEMA``; means are of each type alone.
    """
    masks_of = dict(sweep_masks(checkers, sweep))
    tables = [SCHEMA.polars.to_frame()]
    for kind, activations in read.items():
        if not activations.names:
            continue
        by_domain = OfDomains.of(activations)
        whole = by_domain.drawn([1] * len(by_domain.n_prompts))
        stated, checked = {}, {}
        for setting, pairs in sweep_masks(whole, sweep):
            circuits = universal(pairs)
            there = [name for name in _of(checkers.names, kind) if name in circuits.names]
            checked[setting] = masks_of[setting].select(there)
            stated[setting] = target_checker(circuits, checked[setting])
        found = intervals(stated, checked, by_domain)
        tables.append(found.filter(pl.col("of") != "all"))
    return pl.concat(tables).sort(SCHEMA.key)


def _compute(making: Making) -> pl.DataFrame:
    prompts: pl.DataFrame = making.read("object_prompts")
    checkers: pl.DataFrame = making.read("checker_prompts")
    keywords = dict(checkers.select("object", "keyword").rows())
    at_keywords = cut_checkers(checkers, making.model.tokenizer)
    units: dict[str, list[str]] = {}
    beside: dict[str, list[str]] = {}
    apart: list[str] = []
    for kind, column in _OWN.items():
        cut = cut_prompts(prompts, keywords, kind)
        some, texts = of_one_token(cut, at_keywords, making.model.tokenizer, kind)
        found = units_by_domain(some, _of(keywords, kind))
        units |= {f"{kind} {name}": its for name, its in found.items()}
        beside |= texts
        names = {concept_name(kind, name) for name in cut[column].unique()}
        apart += sorted(names - set(texts))
    told = []
    if apart:
        told.append(f"left out, as no token ends both sides of them: {', '.join(apart)}")
    if making.settings.readout != "last_token":
        told.append("the prompts of each subject area were padded by themselves")
    making.remark("; ".join(told))
    if not units:
        return SCHEMA.polars.to_frame()
    read = making.model.read({**units, **beside})
    return controlled(
        {kind: _of_prefix(read, f"{kind} ") for kind in _OWN},
        read.select(tuple(sorted(beside))),
        making.sweep,
    )


def _of(concepts: Iterable[str], kind: Kind) -> list[str]:
    return [name for name in concepts if split_concept(name)[0] == kind]


def _of_prefix(read: Activations, prefix: str) -> Activations:
    """Return the units whose names begin so, without that beginning."""
    names = tuple(name for name in read.names if name.startswith(prefix))
    some = read.select(names)
    return replace(some, names=tuple(name.removeprefix(prefix) for name in names))


def _is_of_the_keywords(of: Inspected) -> Details:
    stated: pl.DataFrame = of.value
    concepts = set(of.input("checker_prompts")["object"])
    found = {name for name in stated["of"] if name not in MEANS}
    if found - concepts:
        raise contradicts("of", "concepts that have a keyword", ", ".join(sorted(found - concepts)))
    per_setting = stated.group_by("epsilon", "consistency").len()["len"]
    if per_setting.n_unique() > 1:
        raise contradicts("rows", "as many at every setting", f"{per_setting.to_list()}")
    return {"concepts": len(found), "left_out": len(concepts - found)}


TOKEN_CONTROL = Artifact(
    key="token_control",
    title="Concept fractions at keywords",
    filename="token_control.csv",
    content=SCHEMA,
    description="Per setting, the concept fraction |A∖B| / |A| of every concept that has a "
    "keyword, and its mean over each type, with A and B both read at the last token of the "
    "keyword, which is one and the same token in all of a concept's prompts, at most two of each "
    "pair and subject area, with 95% bootstrap intervals over the subject areas: what is left does "
    "not follow from the token that is read. The job validate makes it.",
    compute=_compute,
    code_version="2",
    inputs=("object_prompts", "checker_prompts"),
    model=Model.NETWORK,
    needs=Needs.GRID,
    on_demand=True,
    checks=(Check("is_of_the_keywords", "concepts that have a keyword", _is_of_the_keywords),),
    entries=(
        Entry(
            "fractions",
            partial(
                shown,
                caption="Concept fractions at keywords",
                about="Mean concept fractions of circuits and masks that are both read at the last "
                "token of the keyword",
            ),
        ),
    ),
)
