"""The artifacts of stage 11: object prompts, checker prompts, token-checker prompts.

Their checks hold prompts to what they say: numbered without a gap, Python, about their concept.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial

import polars as pl

from atlas_assets.errors import ArtifactError, unsound
from atlas_assets.stages.artifact import Artifact, Model, Needs
from atlas_assets.stages.check import Check, Details, Inspected, NotApplicableError
from atlas_assets.stages.making import Making
from atlas_assets.stages.prompts import checker_prompts as checkers
from atlas_assets.stages.prompts import object_prompts as objects
from atlas_assets.stages.prompts.checker_prompts import avoids_concept
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.prompts.syntax import shows

_unsound = partial(unsound, "the prompts are not sound")
#: the cut of the grid, as `AtlasSettings.parameters` names it, where it decides which prompts are
_CUT = {"ast_nodes": None, "builtins": None}


def _object_prompts(making: Making) -> pl.DataFrame:
    threshold = making.model.loss_threshold
    scored = making.model.score(making.inventory.object_candidates())
    kept, dropped = objects.filter_by_loss(scored, threshold)
    making.note(
        candidate_prompts=scored.height,
        kept_pairs=len(set(objects.names_of_pairs(kept))),
        dropped_pairs=dropped,
        loss_threshold_nats=threshold,
        mean_sequence_loss_nats=float(scored["sequence_loss"].mean()),  # type: ignore[arg-type]
        **objects.spread_of_losses(scored),
    )
    return kept


def _checker_prompts(variant: checkers.Variant, making: Making) -> pl.DataFrame:
    """Take the prompts of the concepts that occur in a pair of the grid in force."""
    return making.inventory.checker_prompts(variant, making.model.tokenizer)


# the prompts of a whole grid: claims and checks ask the same of them several times in a run
@lru_cache(maxsize=2**17)
def shows_node(text: str, ast_node: str) -> bool:
    """Return whether a text is Python with an AST node of that type (``ast_verified``)."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return shows(tree, ast_node)


def _are_own(of: Inspected) -> bool:
    return "start" in of.value.columns


def _require_python(of: Inspected) -> None:
    if _are_own(of):
        raise NotApplicableError("not applicable: own prompts are in whatever language")


def _object_prompts_parse(of: Inspected) -> Details:
    _require_python(of)
    columns = ("ast_node", "prompt_text", "ast_verified")
    distinct = of.value.select(columns).unique(maintain_order=True)
    for ast_node, text, verified in distinct.rows():
        if not verified:
            raise _unsound_prompt(ast_node, "a prompt with ast_verified", text)
        if not shows_node(text, ast_node):
            raise _unsound_prompt(ast_node, f"Python with a node {ast_node}", text)
    return {"distinct_prompts": distinct.height}


def _checker_prompts_parse(of: Inspected) -> Details:
    _require_python(of)
    keywords = load_stimuli().checker_prompts.keyword_map
    distinct = of.value.select("object", "keyword", "prompt_text").unique(maintain_order=True)
    for concept, keyword, text in distinct.rows():
        entry = keywords.get(concept)
        if entry is None or entry.keyword != keyword:
            wanted = f"the keyword {entry.keyword!r}" if entry else "a concept that has a keyword"
            raise _unsound(concept, wanted, repr(keyword))
        if keyword not in text:
            raise _unsound_prompt(concept, f"the keyword {keyword!r} in it", text)
        if not avoids_concept(text, entry):
            raise _unsound_prompt(concept, "Python without the concept", text)
    return {"distinct_prompts": distinct.height}


def _unsound_prompt(about: str, expected: str, text: str) -> ArtifactError:
    return _unsound(f"a prompt of {about}", expected, f"{text!r:.200}")


def _object_prompt_counts(of: Inspected) -> Details:
    if _are_own(of):
        enough, expected = pl.col("rows") > 0, "prompts numbered from 0"
        return {"pairs": _numbered(of.value, ("concept", "unit"), enough, expected)}
    wanted = of.variations or of.value["variation_id"].n_unique()
    expected = f"{wanted} prompts, numbered from 0"
    units = ("ast_node", "builtin_obj")
    return {"pairs": _numbered(of.value, units, pl.col("rows") == wanted, expected)}


def _checker_prompt_counts(of: Inspected) -> Details:
    if _are_own(of):
        enough, expected = pl.col("rows") > 0, "prompts numbered from 0"
        return {"concepts": _numbered(of.value, ("object",), enough, expected)}
    most = load_stimuli().checker_prompts.target_per_object
    expected = f"at most {most} prompts, numbered from 0"
    return {"concepts": _numbered(of.value, ("object",), pl.col("rows") <= most, expected)}


def _numbered(table: pl.DataFrame, unit: Sequence[str], enough: pl.Expr, expected: str) -> int:
    """Check that the prompts of every unit are enough and numbered; return how many units."""
    if table.is_empty():
        raise _unsound("the prompts", "at least one", "none")
    number = pl.col("variation_id")
    units = table.group_by(pl.concat_str(unit, separator=" × ").alias("unit")).agg(
        number.len().alias("rows"),
        number.min().alias("first"),
        number.max().alias("last"),
        (number.sort() == pl.int_range(pl.len())).all().alias("gapless"),
    )
    unsound = units.filter(~(enough & pl.col("gapless"))).sort("unit")
    for name, rows, first, last, _ in unsound.head(1).rows():
        raise _unsound(name, expected, f"{rows}, from {first} to {last}")
    return units.height


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
    of_own="The own prompts that show a concept, per concept and unit, scored by the model.",
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
    of_own="The own checker prompts, per concept: they do not show it.",
    compute=partial(_checker_prompts, "checker"),
    model=Model.TOKENIZER,
    departures=_CUT,
    needs=Needs.CHECKERS,
    checks=_CHECKS_OF_CHECKERS,
)

TOKEN_CHECKER_PROMPTS = Artifact(
    key="token_checker_prompts",
    title="Token-checker prompts",
    filename="token_checker_prompts.parquet",
    content=replace(checkers.PUBLISHED_SCHEMA, own=None),
    group="stage_11_prompts",
    description="The checker prompts of the token-independence analysis: the same method with "
    "its own identifier templates (paper §6).",
    compute=partial(_checker_prompts, "token_checker"),
    model=Model.TOKENIZER,
    departures=_CUT,
    needs=Needs.KEYWORDS,
    checks=_CHECKS_OF_CHECKERS,
)
