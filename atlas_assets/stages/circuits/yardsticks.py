"""The artifacts that judge circuits: nulls, quality, leaderboard, specificity; and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.activations.positions import PositionActivations
from atlas_assets.stages.artifact import Artifact, Entry, Needs
from atlas_assets.stages.circuits import definitions, effects, halves, quality
from atlas_assets.stages.circuits.artifacts import circuits_of
from atlas_assets.stages.circuits.identification import centroids, identify
from atlas_assets.stages.circuits.label_null import SCHEMA as NULL
from atlas_assets.stages.circuits.label_null import label_null
from atlas_assets.stages.circuits.wiring import CIRCUIT_EDGES
from atlas_assets.stages.making import Making, object_masks_at
from atlas_assets.stages.report.table import Table, table
from atlas_assets.stages.schema import Column, TableSchema
from atlas_assets.stages.setting import PUBLISHED, REFERENCE

SPECIFICITY = TableSchema(
    columns=(
        col.text("definition", "definition of a circuit"),
        col.concept("concept", "concept whose circuit is ablated"),
        col.concept("prompts_of", "concept whose prompts are run"),
        Column("rise", pl.Float64(), "mean rise of their loss, nats per token"),
        col.count("n_prompts", "prompts run", minimum=1),
    ),
    key=("definition", "concept", "prompts_of"),
)
#: the share of pairs ranked first from which circuits are said to tell concepts apart
IDENTIFYING = 0.25
_TOLD = {"ast": "AST nodes", "builtin": "builtins", "all": "all"}


def _label_null(making: Making) -> pl.DataFrame:
    pairs, _ = object_masks_at(making, REFERENCE)
    discovered = halves.pair_masks(_at_concepts(making), "discovery")
    return pl.concat(
        [
            label_null("calibrated", discovered, definitions.SHARE),
            label_null(PUBLISHED, pairs, 1.0),
        ]
    )


def _at_concepts(making: Making) -> PositionActivations:
    return PositionActivations.of(making.read("position_activations"), "concept")


def _losses(making: Making) -> pl.DataFrame:
    """Return the exact ablations where they are up to date, else the sample."""
    key = "ablation" if making.is_fresh("ablation") else "ablation_sample"
    losses: pl.DataFrame = making.read(key)
    return losses


def _judged(making: Making) -> list[quality.Judged]:
    losses = _losses(making)
    own = losses.filter(
        (pl.col("condition") == "ablate") & (pl.col("concept") == pl.col("prompts_of"))
    )
    nulls: pl.DataFrame = making.read("label_null")
    agreements: pl.DataFrame = making.read("split_half")
    at_defaults = agreements.filter(kappa=definitions.KAPPA, share=definitions.SHARE)
    activations = _at_concepts(making)
    discovered, held_out = (halves.pair_masks(activations, half) for half in ("discovery", "test"))
    centroid = identify(*centroids(discovered), held_out)
    found = []
    for definition, masks in circuits_of(making, making.definitions).items():
        mine = losses.filter(pl.col("definition") == definition)
        null = nulls.filter(pl.col("definition") == definition)
        counted = own.filter(pl.col("definition") == definition)["concept"].value_counts()
        found.append(
            quality.Judged(
                definition=definition,
                circuits=masks,
                identified=identify(masks.bits.astype(np.float64), masks.names, held_out),
                centroid=centroid,
                split_half=dict(at_defaults.select("concept", "jaccard").rows())
                if definition == "calibrated"
                else {},
                null_p=dict(null.select("concept", "p_value").rows()),
                effects=effects.effects(mine, masks.names) if mine.height else None,
                n_prompts=dict(counted.rows()),
            )
        )
    return found


def _quality(making: Making) -> pl.DataFrame:
    return pl.concat(quality.quality(each) for each in _judged(making))


def _leaderboard(making: Making) -> pl.DataFrame:
    stated: pl.DataFrame = making.read("circuit_quality")
    judged = _judged(making)
    tables = [stated.filter(pl.col("definition") == each.definition) for each in judged]
    return pl.concat(
        quality.leaderboard(each, of_it) for each, of_it in zip(judged, tables, strict=True)
    )


def _specificity(making: Making) -> pl.DataFrame:
    return effects.matrix(_losses(making)).cast(SPECIFICITY.polars)


def leaderboard_shown(board: pl.DataFrame) -> Table:
    """Return the leaderboard with its intervals for the report."""
    rows = [
        [
            f"{row['definition']}, {_TOLD[row['type']]}",
            row["size"],
            row["identification_top1"],
            *(_with_interval(row, name) for name in quality.MEASURED),
            row["faithfulness_own"],
            row["faithfulness_other"],
            row["n_significant"] and f"{row['n_significant']} of {row['n_concepts']}",
        ]
        for row in board.rows(named=True)
        if "@" not in row["definition"]
    ]
    headers = ["definition", "size", "identified", "necessity", "specificity", "over matched"]
    headers += ["faithful, own", "faithful, others", "above matched"]
    return table(
        "Circuits by definition",
        headers,
        rows,
        places=3,
        places_of={"size": 1},
        note="Necessity: rise of the loss on own prompts when the circuit is ablated, nats per "
        "token; specificity: that less the rise on other concepts' prompts; over matched: that "
        "less the rise by matched controls, each with its 95% interval over (pair, domain). Above "
        "matched: concepts with q < 0.05.",
    )


def _with_interval(row: dict[str, float | None], name: str) -> str | None:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return None
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def in_words(board: pl.DataFrame) -> str:
    """Return in plain words which definition is specific, and what does not rise above chance."""
    said = []
    for kind in ("ast", "builtin"):
        of_kind = board.filter((pl.col("type") == kind) & ~pl.col("definition").str.contains("@"))
        best = of_kind.drop_nulls("identification_top1").sort("identification_top1")[-1:]
        said += [_identifying(row, kind) for row in best.rows(named=True)]
        specific = of_kind.filter(pl.col("specificity_low") > 0)
        if of_kind["specificity"].is_null().all():
            continue
        told = ", ".join(
            f"{row['definition']} ({_with_interval(row, 'specificity')} nats)"
            for row in specific.rows(named=True)
        )
        said.append(
            f"Of {_TOLD[kind]}, the circuits that cost their own concept more than others when "
            f"ablated are by definition: {told}."
            if told
            else f"Of {_TOLD[kind]}, the circuits of no definition cost their own concept more "
            "than others when ablated: none rises above chance."
        )
    return " ".join(said)


_JUDGED = (
    *("masks", "position_activations", "circuits", "label_null", "split_half"),
    *("ablation_sample", "ablation"),
)
SPLIT_HALF = Artifact(
    key="split_half",
    title="Agreement of halves",
    filename="split_half.csv",
    content=halves.SCHEMA,
    description="Calibrated circuits from two halves of the prompts, of other subject areas each: "
    "their sizes and Jaccard similarity, and how the pairs of the one rank the circuits of the "
    "other, at κ = 0.1, 0.3, 1 and π = 0.5, 0.8, 1.",
    compute=lambda making: halves.split_half(_at_concepts(making)),
    inputs=("position_activations",),
    setting=REFERENCE,
    needs=Needs.GRID,
)


def _identifying(row: dict[str, Any], kind: str) -> str:
    chance = 1 / row["n_concepts"]
    found = f"{row['identification_top1']:.0%} of the pairs held out, {chance:.1%} by chance"
    if row["identification_top1"] < IDENTIFYING:
        return (
            f"No definition tells {_TOLD[kind]} apart: the best, {row['definition']}, ranks "
            f"{found}, first."
        )
    return f"Of {_TOLD[kind]}, {row['definition']} circuits identify best: {found}."


LABEL_NULL = Artifact(
    key="label_null",
    title="Sizes of circuits against random labels",
    filename="label_null.csv",
    content=NULL,
    description="Per concept, the size of its circuit against 999 circuits of as many pairs drawn "
    "at random: p = (1 + #{null ≥ size}) / 1000, and q after Benjamini and Hochberg.",
    compute=_label_null,
    inputs=("object_masks", "position_activations"),
    setting=REFERENCE,
    needs=Needs.GRID,
)
CIRCUIT_QUALITY = Artifact(
    key="circuit_quality",
    title="Quality of circuits",
    filename="circuit_quality.csv",
    content=quality.QUALITY,
    description="Every yardstick of every concept's circuit by every definition: size and core, "
    "identification on held-out pairs, agreement of two halves, size against random labels, and "
    "from exact ablation necessity, specificity and faithfulness with intervals (the sample of the "
    "job atlas, or all of the job validate).",
    compute=_quality,
    inputs=_JUDGED,
    inputs_may_be_absent=True,
    setting=REFERENCE,
    needs=Needs.GRID,
)
CIRCUIT_LEADERBOARD = Artifact(
    key="circuit_leaderboard",
    title="Definitions of a circuit compared",
    filename="circuit_leaderboard.csv",
    content=quality.LEADERBOARD,
    description="What the yardsticks of circuit_quality come to per definition and type, with 95% "
    "intervals over (pair, domain).",
    compute=_leaderboard,
    inputs=(*_JUDGED, "circuit_quality"),
    inputs_may_be_absent=True,
    setting=REFERENCE,
    needs=Needs.GRID,
    entries=(
        Entry("circuits", leaderboard_shown),
        Entry("circuits", sentence=in_words),
    ),
)
SPECIFICITY_MATRIX = Artifact(
    key="specificity",
    title="Specificity of circuits",
    filename="specificity.csv",
    content=SPECIFICITY,
    description="Per definition, the mean rise of the loss of each concept's prompts when each "
    "concept's circuit is ablated, in nats per token: of all couples after the job validate, of a "
    "few before.",
    compute=_specificity,
    inputs=("ablation_sample", "ablation"),
    inputs_may_be_absent=True,
    setting=REFERENCE,
    needs=Needs.GRID,
)
YARDSTICKS = (
    SPLIT_HALF,
    LABEL_NULL,
    CIRCUIT_QUALITY,
    CIRCUIT_LEADERBOARD,
    SPECIFICITY_MATRIX,
    CIRCUIT_EDGES,
)
