"""The artifacts of stage 11: object prompts, checker prompts, token-checker prompts."""

from __future__ import annotations

from functools import lru_cache, partial

import polars as pl

from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.artifact import Artifact, Model
from atlas_assets.stages.check import Check, Details, Inspected
from atlas_assets.stages.concepts import concept_name
from atlas_assets.stages.making import Making
from atlas_assets.stages.prompts import checker_prompts as checkers
from atlas_assets.stages.prompts import object_prompts as objects
from atlas_assets.stages.prompts.integrity import (
    checker_prompts_are_complete,
    checker_prompts_avoid_their_concept,
    object_prompts_are_complete,
    object_prompts_show_their_node,
)
from atlas_assets.stages.prompts.stimuli import load_stimuli

#: the cut of the grid, as `AtlasSettings.parameters` names it, where it decides which prompts are
_CUT = {"ast_nodes": None, "builtins": None}


@lru_cache(maxsize=1)
def object_candidates(settings: AtlasSettings) -> pl.DataFrame:
    """The object prompts before the filter, on the grid that the settings cut.

    Returns:
        ``[pairs · variations, 7]`` with the columns of `objects.CANDIDATE_SCHEMA`.
    """
    return objects.generate(
        load_stimuli(),
        ast_nodes=settings.ast_nodes,
        builtins=settings.builtins,
        variations=settings.variations,
    )


def _object_prompts(making: Making) -> pl.DataFrame:
    threshold = making.model.loss_threshold
    scored = making.model.score(object_candidates(making.settings))
    kept = objects.filter_by_loss(scored, threshold)
    making.note(
        candidate_prompts=scored.height,
        kept_pairs=kept.select("ast_node", "builtin_obj").n_unique(),
        dropped_pairs=objects.dropped_pairs(scored, threshold),
        loss_threshold_nats=threshold,
        mean_sequence_loss_nats=float(scored["sequence_loss"].mean()),  # type: ignore[arg-type]
    )
    return kept


def _checker_prompts(variant: checkers.Variant, making: Making) -> pl.DataFrame:
    return checkers.generate(
        load_stimuli(),
        making.model.tokenizer,
        variant=variant,
        concepts=_testable_concepts(making.settings),
    )


def _testable_concepts(settings: AtlasSettings) -> list[str]:
    """The concepts with a keyword that occur in a pair of the grid in force."""
    pairs = objects.candidate_pairs(
        load_stimuli(), ast_nodes=settings.ast_nodes, builtins=settings.builtins
    )
    present = {concept_name("ast", ast_node) for ast_node, _ in pairs}
    present |= {concept_name("builtin", builtin) for _, builtin in pairs}
    return [name for name in checkers.concepts_with_keyword(load_stimuli()) if name in present]


def _object_prompt_counts(of: Inspected) -> Details:
    return {"pairs": object_prompts_are_complete(of.value, of.variations)}


def _object_prompts_parse(of: Inspected) -> Details:
    return {"distinct_prompts": object_prompts_show_their_node(of.value)}


def _checker_prompt_counts(of: Inspected) -> Details:
    target = load_stimuli().checker_prompts.target_per_object
    return {"concepts": checker_prompts_are_complete(of.value, target)}


def _checker_prompts_parse(of: Inspected) -> Details:
    keywords = load_stimuli().checker_prompts.keyword_map
    return {"distinct_prompts": checker_prompts_avoid_their_concept(of.value, keywords)}


_CHECKS_OF_CHECKERS = (
    Check(
        "counts",
        "each concept has its prompts, at most 50, numbered from 0",
        _checker_prompt_counts,
    ),
    Check(
        "prompts_parse",
        "each prompt is Python, holds the concept's keyword and not the concept",
        _checker_prompts_parse,
    ),
)

OBJECT_PROMPTS = Artifact(
    key="object_prompts",
    title="Object prompts",
    filename="11A_object_prompts.parquet",
    content=objects.PUBLISHED_SCHEMA,
    group="stage_11_prompts",
    description="50 prompts per (AST node, builtin) pair, scored by the model; pairs whose "
    "mean loss exceeds the threshold are dropped whole (paper §4).",
    compute=_object_prompts,
    model=Model.NETWORK,
    departures={**_CUT, "variations": 50, "loss_threshold": None},
    checks=(
        Check("counts", "each pair has as many prompts, numbered from 0", _object_prompt_counts),
        Check(
            "prompts_parse", "each prompt is Python and holds its AST node", _object_prompts_parse
        ),
    ),
)

CHECKER_PROMPTS = Artifact(
    key="checker_prompts",
    title="Checker prompts",
    filename="11B_checker_prompts.parquet",
    content=checkers.PUBLISHED_SCHEMA,
    group="stage_11_prompts",
    description="Up to 50 prompts per testable concept that hold its keyword without the "
    "concept: in strings, comments, identifiers, dict keys and prints (paper §4).",
    compute=partial(_checker_prompts, "checker"),
    model=Model.TOKENIZER,
    departures=_CUT,
    checks=_CHECKS_OF_CHECKERS,
)

TOKEN_CHECKER_PROMPTS = Artifact(
    key="token_checker_prompts",
    title="Token-checker prompts",
    filename="token_checker_prompts.parquet",
    content=checkers.PUBLISHED_SCHEMA,
    group="stage_11_prompts",
    description="The checker prompts of the token-independence analysis: the same method with "
    "its own identifier templates (paper §6).",
    compute=partial(_checker_prompts, "token_checker"),
    model=Model.TOKENIZER,
    departures=_CUT,
    checks=_CHECKS_OF_CHECKERS,
)
