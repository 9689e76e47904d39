"""Every artifact of an atlas: its file, format, inputs, code version and description."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from types import MappingProxyType

from atlas_assets.errors import SettingsError
from atlas_assets.stages import table_schemas as schemas
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog_analyses import ANALYSES, FIGURES, REPORTS
from atlas_assets.stages.setting import (
    PUBLISHED_CONSISTENCIES,
    PUBLISHED_EPSILONS,
    REFERENCE,
    STANDALONE,
    Setting,
)
from atlas_assets.storage.activations import ActivationsFile
from atlas_assets.storage.masks import CheckerMasksFile, ObjectMasksFile, UniversalMasksFile
from atlas_assets.storage.tables import CsvTable, ParquetTable

#: the cut of the grid, as `AtlasSettings.parameters` names it, where it decides which prompts are
_CUT = {"ast_nodes": None, "builtins": None}
_SWEEP = {"epsilons": PUBLISHED_EPSILONS, "consistencies": PUBLISHED_CONSISTENCIES}
_TAG = "eps(?P<epsilon>[^_]+)_cons(?P<consistency>[^_]+)"

_OBJECT_PROMPTS_FILE = "11A_object_prompts.parquet"
_CHECKER_PROMPTS_FILE = "11B_checker_prompts.parquet"

_PROMPTS = (
    Artifact(
        key="object_prompts",
        filename=_OBJECT_PROMPTS_FILE,
        format=ParquetTable(schemas.OBJECT_PROMPTS),
        group="stage_11_prompts",
        description="50 prompts per (AST node, builtin) pair, scored by the model; pairs whose "
        "mean loss exceeds the threshold are dropped whole (paper §4).",
        runs_model=True,
        departures={**_CUT, "variations": 50, "loss_threshold": None},
    ),
    Artifact(
        key="checker_prompts",
        filename=_CHECKER_PROMPTS_FILE,
        format=ParquetTable(schemas.CHECKER_PROMPTS),
        group="stage_11_prompts",
        description="Up to 50 prompts per testable concept that hold its keyword without the "
        "concept: in strings, comments, identifiers, dict keys and prints (paper §4).",
        runs_model=True,
        departures=_CUT,
    ),
    Artifact(
        key="token_checker_prompts",
        filename="token_checker_prompts.parquet",
        format=ParquetTable(schemas.CHECKER_PROMPTS),
        group="stage_11_prompts",
        description="The checker prompts of the token-independence analysis: the same method with "
        "its own identifier templates (paper §6).",
        runs_model=True,
        departures=_CUT,
    ),
)

_ACTIVATIONS = (
    Artifact(
        key="object_activations",
        filename="12_object_activations.h5",
        format=ActivationsFile("pairs", _OBJECT_PROMPTS_FILE),
        group="stage_12_activations",
        description="Per pair and layer, over its n prompts: Σ|readout| and #(|readout| > 0) of "
        "every neuron; the readout is the output of the block's MLP.",
        inputs=("object_prompts",),
        runs_model=True,
    ),
    Artifact(
        key="checker_activations",
        filename="12_checker_activations.h5",
        format=ActivationsFile("concepts", _CHECKER_PROMPTS_FILE),
        group="stage_12_activations",
        description="Per testable concept and layer, over its checker prompts: Σ|readout| and "
        "#(|readout| > 0) of every neuron.",
        inputs=("checker_prompts",),
        runs_model=True,
    ),
)

_MASKS = (
    Artifact(
        key="object_masks",
        filename="13_object_masks_{tag}.h5",
        format=ObjectMasksFile(),
        group="stage_13_masks",
        description="Pair masks (Σ|r| / n > ε) ∧ (#firing / n ≥ C), and universal masks: a "
        "concept's is the intersection of all its pairs' masks. One file per setting.",
        inputs=("object_activations",),
    ),
    Artifact(
        key="checker_masks",
        filename="13_checker_masks_{tag}.h5",
        format=CheckerMasksFile(),
        group="stage_13_masks",
        description="Masks of the keywords alone, from the checker prompts: (Σ|r| / n > ε) ∧ "
        "(#firing / n ≥ C). One file per setting.",
        inputs=("checker_activations",),
    ),
    Artifact(
        key="token_checker_masks",
        filename="token_checker_masks.h5",
        format=CheckerMasksFile(),
        group="stage_13_masks",
        description="Masks of the keywords alone, from the token-checker prompts, at one setting.",
        inputs=("token_checker_prompts",),
        runs_model=True,
        departures={"token_checker_setting": (REFERENCE.epsilon, REFERENCE.consistency)},
    ),
    Artifact(
        key="masks",
        filename="13_universal_masks_sweep.parquet",
        format=ParquetTable(schemas.UNIVERSAL_SWEEP),
        group="stage_13_masks",
        description="The universal masks of the whole sweep in one tidy table, one row per "
        "setting, concept and layer. Materialising it completes the sweep.",
        inputs=("object_masks",),
        departures=_SWEEP,
    ),
)

_DECOMPOSITION = (
    Artifact(
        key="target_checker",
        filename="14_target_checker_{tag}.csv",
        format=CsvTable(schemas.TARGET_CHECKER),
        group="stage_14_decomposition",
        description="Per testable concept and layer, with A its universal mask and B its "
        "keyword's: |A∖B| / |A∩B| / |B∖A| (paper §6). One file per setting.",
        inputs=("object_masks", "checker_masks"),
    ),
    Artifact(
        key="summary",
        filename="14_summary.csv",
        format=CsvTable(schemas.SUMMARY),
        group="stage_14_decomposition",
        description="Per setting: concept fraction |A∖B| / |A| and token fraction |A∩B| / |A|, "
        "means over concept × layer (paper §7.2).",
        inputs=("target_checker",),
        departures=_SWEEP,
    ),
)

_DOWNSTREAM = (
    Artifact(
        key="modularity_scores",
        filename="relaxed_modularity_scores.csv",
        format=CsvTable(schemas.MODULARITY_SCORES, index="index"),
        group="stage_15_downstream",
        description="In how many layers each concept stands apart: its mean Jaccard to the others, "
        "less the share p of the most similar, is in the lowest 5% (paper §6.1).",
        inputs=("masks",),
        setting=REFERENCE,
    ),
    Artifact(
        key="modularity_detail",
        filename="relaxed_modularity_detail.csv",
        format=CsvTable(schemas.MODULARITY_DETAIL),
        group="stage_15_downstream",
        description="Per concept, layer and trim p: mean Jaccard |A∩B| / |A∪B| to the others after "
        "dropping the floor(p·n) most similar, and its percentile (paper §6.1).",
        inputs=("masks",),
        setting=REFERENCE,
    ),
    Artifact(
        key="token_independence_detail",
        filename="token_independence_detail.csv",
        format=CsvTable(schemas.TOKEN_INDEPENDENCE_DETAIL),
        group="stage_15_downstream",
        description="Per concept that has a keyword and layer: universal mask A against "
        "token-checker mask B (paper §6).",
        inputs=("masks", "token_checker_masks"),
    ),
    Artifact(
        key="token_independence_summary",
        filename="token_independence_summary.csv",
        format=CsvTable(schemas.TOKEN_INDEPENDENCE_SUMMARY),
        group="stage_15_downstream",
        description="Per concept that has a keyword: how much of its circuit the keyword alone "
        "explains, |A∩B| / |A|, mean over layers (paper §6).",
        inputs=("token_independence_detail",),
    ),
    Artifact(
        key="token_independence_no_keyword",
        filename="token_independence_no_keyword.csv",
        format=CsvTable(schemas.TOKEN_INDEPENDENCE_NO_KEYWORD),
        group="stage_15_downstream",
        description="The concepts that no keyword gives away (paper §6).",
        inputs=("masks",),
    ),
    Artifact(
        key="universal_masks",
        filename="universal_106x50.h5",
        format=UniversalMasksFile(STANDALONE),
        group="stage_15_downstream",
        description="The universal masks at ε = 0.001, C = 0.8, standalone.",
        inputs=("masks",),
        setting=STANDALONE,
    ),
)

#: asset key → artifact, in the order of the pipeline
ARTIFACTS: Mapping[str, Artifact] = MappingProxyType(
    {
        artifact.key: artifact
        for artifact in (
            *_PROMPTS,
            *_ACTIVATIONS,
            *_MASKS,
            *_DECOMPOSITION,
            *_DOWNSTREAM,
            *ANALYSES,
            *FIGURES,
            *REPORTS,
        )
    }
)


def artifact_of_file(name: str) -> tuple[Artifact, Setting | None] | None:
    """The artifact, and the setting, that a file of this published name holds.

    Args:
        name: file name without folder, for example ``13_object_masks_eps0.5_cons0.8.h5``.

    Returns:
        ``None`` for a name that no artifact has.
    """
    for artifact in ARTIFACTS.values():
        pattern = re.escape(artifact.filename).replace(re.escape("{tag}"), _TAG)
        match = re.fullmatch(pattern, name)
        if match is None:
            continue
        if not artifact.partitioned:
            return artifact, None
        with contextlib.suppress(ValueError, SettingsError):
            setting = Setting(float(match["epsilon"]), float(match["consistency"]))
            # one spelling per setting, else two files could claim to be the same partition
            if artifact.file_name(setting) == name:
                return artifact, setting
    return None
