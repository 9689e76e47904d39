"""The artifacts that judge circuits: nulls, quality, leaderboard, specificity; and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from atlas_assets.stages import columns as col
from atlas_assets.stages.activations.positions import PositionActivations
from atlas_assets.stages.artifact import Artifact, Entry, Needs
from atlas_assets.stages.circuits import (
    definitions,
    effects,
    half_circuits,
    halves,
    quality,
)
from atlas_assets.stages.circuits.artifacts import CONTROL, OWN, circuits_of, strength_of
from atlas_assets.stages.circuits.fraction_intervals import FRACTION_INTERVALS
from atlas_assets.stages.circuits.identification import centroids, identify
from atlas_assets.stages.circuits.label_null import SCHEMA as NULL
from atlas_assets.stages.circuits.label_null import label_null
from atlas_assets.stages.circuits.read_tokens import token_baseline
from atlas_assets.stages.circuits.token_control import TOKEN_CONTROL
from atlas_assets.stages.circuits.wiring import CIRCUIT_EDGES
from atlas_assets.stages.making import Making, object_masks_at
from atlas_assets.stages.masks.masks import Masks
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
#: where circuits are not of the half that discovers alone, the prompts on which they identify
_TESTED_ON = {
    PUBLISHED: "prompts that these circuits are of as well",
    OWN: "prompts that may have made these circuits",
}
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


def _quality(making: Making) -> pl.DataFrame:
    losses = _losses(making)
    own = losses.filter(
        (pl.col("condition") == "ablate") & (pl.col("concept") == pl.col("prompts_of"))
    )
    nulls: pl.DataFrame = making.read("label_null")
    of_calibrated: pl.DataFrame = making.read("split_half")
    at_defaults = of_calibrated.filter(kappa=definitions.KAPPA, share=definitions.SHARE)
    activations = _at_concepts(making)
    discovered, held_out = (halves.pair_masks(activations, half) for half in ("discovery", "test"))
    centroid = identify(*centroids(discovered), held_out)
    token = (
        token_baseline(making.read("read_tokens"), "concept")
        if making.is_fresh("read_tokens")
        else {}
    )
    found = circuits_of(making, making.definitions)
    strength = strength_of(making, found[PUBLISHED])
    agreed = {"calibrated": dict(at_defaults.select("concept", "jaccard").rows())}
    if making.is_fresh("half_circuits"):
        agreed |= half_circuits.agreements(making.read("half_circuits"), found[PUBLISHED])
    tables = []
    for definition, masks in found.items():
        null = nulls.filter(pl.col("definition") == definition)
        counted = own.filter(pl.col("definition") == definition)["concept"].value_counts()
        ablated = _effects(losses, definition, masks)
        judged = quality.Judged(
            definition=definition,
            circuits=masks,
            identified=identify(masks.bits.astype(np.float64), masks.names, held_out),
            centroid=centroid,
            token=token,
            split_half=agreed.get(definition, {}),
            null={
                name: (p, q) for name, p, q in null.select("concept", "p_value", "q_value").rows()
            },
            # of the definitions that are ablated, as its controls are
            matched_ratio=definitions.matched_ratios(masks, strength) if ablated else {},
            effects=ablated,
            n_prompts=dict(counted.rows()),
        )
        tables.append(quality.quality(judged))
    return pl.concat(tables)


def _effects(losses: pl.DataFrame, definition: str, circuits: Masks) -> effects.Effects | None:
    mine = losses.filter(pl.col("definition") == definition)
    if not mine.height:
        return None
    found = effects.effects(mine, circuits.names)
    # a control of a control compares nothing, nor does one of fewer neurons
    lacking = ~definitions.are_matched(circuits) | (definition == CONTROL)
    return found.without_controls(lacking)


def _leaderboard(making: Making) -> pl.DataFrame:
    stated: pl.DataFrame = making.read("circuit_quality")
    losses = _losses(making)
    return pl.concat(
        quality.leaderboard(
            masks,
            _effects(losses, definition, masks),
            stated.filter(definition=definition),
            of_some=definition == OWN,
        )
        for definition, masks in circuits_of(making, making.definitions).items()
    )


def _specificity(making: Making) -> pl.DataFrame:
    return effects.matrix(_losses(making)).cast(SPECIFICITY.polars)


def leaderboard_shown(board: pl.DataFrame) -> Table:
    """Return the leaderboard with its intervals for the report."""
    rows = [
        [
            f"{row['definition']}, {_TOLD[row['type']]}",
            row["size"],
            share_with_interval(row),
            *(_with_interval(row, name) for name in quality.MEASURED),
            None if row["definition"] == CONTROL else row["matched_ratio"],
            row["faithfulness_own"],
            row["faithfulness_other"],
            _tested(row),
        ]
        for row in board.rows(named=True)
        if "@" not in row["definition"]
    ]
    headers = ["definition", "size", "identified", "necessity", "specificity", "over matched"]
    headers += ["strength of controls", "faithful, own", "faithful, others", "above matched"]
    return table(
        "Circuits by definition",
        headers,
        rows,
        places=3,
        places_of={"size": 1, "strength of controls": 2},
        note="Identified: pairs that rank the concept first on prompts of other subject areas, on "
        "average over concepts, with the 95% interval over these. Necessity: rise of the loss on "
        "own prompts when the circuit is ablated, nats per token; specificity: that less the rise "
        "on prompts of other concepts, which may use this one as well; over matched: necessity "
        "less the rise by matched controls, each with its 95% interval over (pair, domain). "
        "Strength of controls: their mean |readout| over that of the circuit; where it is below 1, "
        "part of what a circuit costs more is its strength. Above matched: concepts with q < "
        "0.05.",
    )


def _tested(row: dict[str, Any]) -> str | None:
    n = row["n_significant"]
    return None if n is None else f"{n} of {row['n_concepts']}"


def _with_interval(row: dict[str, float | None], name: str) -> str | None:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if value is None or low is None or high is None:
        return None
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def in_words(board: pl.DataFrame, *, all_run: bool | None = None) -> str:
    """Return in plain words which definition identifies, which is specific, and what is neither.

    ``all_run`` tells whether the job ``validate`` has run; of the table alone that is not known.
    """
    said = []
    for kind in ("ast", "builtin"):
        of_kind = board.filter((pl.col("type") == kind) & ~pl.col("definition").str.contains("@"))
        said += identifying(of_kind)
        specific = of_kind.filter(pl.col("specificity_low") > 0)
        if of_kind["specificity"].is_null().all():
            continue
        told = ", ".join(
            f"{row['definition']} ({_with_interval(row, 'specificity')} nats)"
            for row in specific.rows(named=True)
        )
        said.append(
            f"Of {_TOLD[kind]}, circuits by these definitions cost their own concept more than "
            f"others when ablated: {told}."
            if told
            else f"Of {_TOLD[kind]}, circuits by no definition are shown to cost their own concept "
            f"more than others when ablated{_untested(of_kind, all_run)}."
        )
        said += _against_control(of_kind, kind)
    return " ".join(said)


def _untested(of_kind: pl.DataFrame, all_run: bool | None) -> str:
    """Return what it means that no interval is above 0: where nothing is tested, little."""
    if not of_kind["n_significant"].is_null().all():
        return ""
    job = "the job validate"
    told = {
        True: f"{job} has run, and there are no more",
        False: f"{job} ablates on more, where there are more",
        None: f"{job} ablates on more, where there are more; where it has run, there are not",
    }
    return f", with too few prompts of each concept for a test ({told[all_run]})"


def _against_control(of_kind: pl.DataFrame, kind: str) -> list[str]:
    """Return which definitions are not shown to identify better than their control.

    Those are the ones that its interval reaches, or whose own interval reaches down to it.
    """
    shown = ("identification_top1", "identification_top1_low", "identification_top1_high")
    known = of_kind.drop_nulls(shown)
    control = known.filter(definition="matched")
    if control.is_empty():
        return []
    share, high = (control[name].item() for name in (shown[0], shown[2]))
    reached = (pl.col(shown[0]) <= high) | (pl.col(shown[1]) <= share)
    level = known.filter((pl.col("definition") != "matched") & reached)
    if level.is_empty():
        return []
    told = ", ".join(
        f"{row['definition']} ({share_with_interval(row)})" for row in level.rows(named=True)
    )
    (row,) = control.rows(named=True)
    beside = f"the control (matched, {share_with_interval(row)})"
    return [f"Of {_TOLD[kind]}, not shown to identify better than {beside} are: {told}."]


def identifying(board: pl.DataFrame) -> list[str]:
    """Return in words, for AST nodes and builtins, how well the best definition identifies."""
    said = []
    for kind in ("ast", "builtin"):
        of_kind = board.filter((pl.col("type") == kind) & ~pl.col("definition").str.contains("@"))
        judged = of_kind.filter(pl.col("definition") != "matched")  # a control is no answer
        best = judged.drop_nulls("identification_top1").sort("identification_top1")[-1:]
        said += [_identifying(row, kind) for row in best.rows(named=True)]
    return said


def _identifying(row: dict[str, Any], kind: str) -> str:
    found = share_with_interval(row)
    beside = [f"{row['chance_top1']:.1%} by chance"]
    for name, told in (("centroid_top1", "nearest centroid"), ("token_top1", "the read token")):
        if row[name] is not None:
            beside.append(f"{row[name]:.1%} by {told}")
    best, low = row["definition"], row["identification_top1_low"]
    areas = _TESTED_ON.get(best, "prompts of other subject areas")
    of_pairs = f"{found} of the pairs first on {areas}"
    ranked = f"{of_pairs}, on average over concepts ({', '.join(beside)})"
    if low is None:
        return (
            f"Too few {_TOLD[kind]} are there to say whether a definition tells them apart: the "
            f"best, {best}, ranks {ranked}."
        )
    if low <= row["chance_top1"]:
        return (
            f"No definition tells {_TOLD[kind]} apart: the best, {best}, ranks {ranked} and does "
            "not rise above chance."
        )
    if row["identification_top1"] < IDENTIFYING:
        return (
            f"No definition tells most {_TOLD[kind]} apart: the best, {best}, ranks {ranked}: "
            "more than by chance, and few."
        )
    return f"Of {_TOLD[kind]}, {best} circuits identify best: they rank {ranked}."


def share_with_interval(row: dict[str, Any]) -> str | None:
    """Return what a row of the leaderboard identifies, with its interval where there is one."""
    value, low, high = (row[f"identification_top1{end}"] for end in ("", "_low", "_high"))
    if value is None:
        return None
    return f"{value:.1%}" if low is None else f"{value:.1%} [{low:.1%}, {high:.1%}]"


_BESIDE = ("label_null", "split_half", "half_circuits", "read_tokens")
_ABLATED = ("masks", "circuits", "ablation_sample", "ablation")
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


LABEL_NULL = Artifact(
    key="label_null",
    title="Sizes of circuits against random labels",
    filename="label_null.csv",
    content=NULL,
    description="Per concept, the size of its circuit against 999 circuits of as many pairs drawn "
    "at random: p = (1 + #{null ≥ size}) / 1000, and q after Benjamini and Hochberg.",
    compute=_label_null,
    code_version="2",
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
    "identification on prompts of other subject areas, agreement of two halves, size against "
    "random labels, and from exact ablation necessity, specificity and faithfulness (the sample of "
    "the job atlas, or all of the job validate), with intervals of concepts that had 20 own "
    "prompts of 5 (pair, domain).",
    compute=_quality,
    code_version="5",
    inputs=(*_ABLATED, "object_activations", "position_activations", *_BESIDE),
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
    "intervals: over (pair, domain), and of identification over concepts.",
    compute=_leaderboard,
    code_version="5",
    inputs=(*_ABLATED, "circuit_quality"),
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
    FRACTION_INTERVALS,
    TOKEN_CONTROL,
)
