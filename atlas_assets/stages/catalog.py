"""Every artifact of an atlas, in the order of the pipeline.

A new analysis is a module of its own with its `Artifact`, and a line in the list of its stage here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.artifacts import (
    CHECKER_ACTIVATIONS,
    OBJECT_ACTIVATIONS,
    POSITION_ACTIVATIONS,
)
from atlas_assets.stages.analyses import (
    circuit_distinctness,
    compositionality,
    layer_profile,
    marginalisation,
    modularity,
    modularity_null,
    ockham,
    token_independence,
)
from atlas_assets.stages.artifact import Artifact, Needs
from atlas_assets.stages.circuits import artifacts as circuits
from atlas_assets.stages.circuits import wiring, yardsticks
from atlas_assets.stages.circuits.artifacts import DEFINED, OWN
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.figures.artifacts import FIGURES, SPECIFICITY_FIGURE, WIRING_FIGURE
from atlas_assets.stages.masks import artifacts as masks
from atlas_assets.stages.prompts import artifacts as prompts
from atlas_assets.stages.prompts.inventory import inventory_of
from atlas_assets.stages.report.artifacts import atlas_report, claims_report
from atlas_assets.stages.setting import PUBLISHED, REFERENCE, Definition, Partition

_ACTIVATIONS = (OBJECT_ACTIVATIONS, CHECKER_ACTIVATIONS, POSITION_ACTIVATIONS)
#: the further analyses, which the release does not publish
ANALYSES = (
    compositionality.COMPOSITIONALITY,
    ockham.OCKHAM_INDEX,
    layer_profile.PROFILE,
    marginalisation.ROBUSTNESS,
    ockham.JACCARD_MATRICES,
    modularity_null.MODULARITY_NULL,
    circuit_distinctness.CIRCUIT_DISTINCTNESS,
)
#: circuits by several definitions, and what they are judged by
#: circuits by several definitions, and what the network is run for to judge them
CIRCUITS = (
    circuits.ATTRIBUTION,
    circuits.CIRCUITS,
    circuits.ABLATION_SAMPLE,
    circuits.ABLATION,
    wiring.CIRCUIT_WIRING,
    circuits.READ_TOKENS,
    circuits.HALF_CIRCUITS,
    circuits.PRUNED_CIRCUITS,
)
_ALL = (
    prompts.OBJECT_PROMPTS,
    prompts.CHECKER_PROMPTS,
    prompts.TOKEN_CHECKER_PROMPTS,
    *_ACTIVATIONS,
    masks.OBJECT_MASKS,
    masks.CHECKER_MASKS,
    masks.TOKEN_CHECKER_MASKS,
    masks.MASKS,
    decomposition.TARGET_CHECKER,
    decomposition.SUMMARY,
    modularity.MODULARITY_SCORES,
    modularity.MODULARITY_DETAIL,
    token_independence.DETAIL,
    token_independence.SUMMARY,
    token_independence.NO_KEYWORD,
    masks.UNIVERSAL_MASKS,
    *ANALYSES,
    *CIRCUITS,
    *yardsticks.YARDSTICKS,
    *FIGURES,
    WIRING_FIGURE,
    SPECIFICITY_FIGURE,
)
_READ_BY_OTHERS = (*_ACTIVATIONS, *CIRCUITS)
_REPORTED = tuple(artifact for artifact in _ALL if artifact not in _READ_BY_OTHERS)
_EXPLORED = (*_REPORTED, circuits.CIRCUITS, wiring.CIRCUIT_WIRING)

#: why artifacts are not made; the first is followed by what own prompts lack
NOT_APPLICABLE, NOT_IN_SWEEP = "not applicable", "the sweep lacks a setting that it needs"

#: asset key → artifact
ARTIFACTS: Mapping[str, Artifact] = MappingProxyType(
    {
        artifact.key: artifact
        for artifact in (*_ALL, claims_report(_REPORTED), atlas_report(_EXPLORED))
    }
)


def definitions_of(settings: AtlasSettings) -> tuple[Definition, ...]:
    """Return the definitions of circuits in force, the published one at the reference first."""
    others = (at for at in settings.sweep if at != REFERENCE)
    own = (Definition(OWN),) if settings.circuits else ()
    return (
        *(Definition(name) for name in DEFINED),
        *own,
        *(Definition(PUBLISHED, at) for at in others),
    )


def skipped_under(settings: AtlasSettings) -> Mapping[str, str]:
    """Return the artifacts that are not made under the settings in force, each with the reason.

    An artifact that speaks of one setting is not made where the sweep lacks it, one that needs
    what own prompts lack is not applicable to them, and what depends on such artifacts is not made
    either.
    """
    skipped = not_applicable(inventory_of(settings).lacks)
    for key, artifact in ARTIFACTS.items():
        about = settings.token_checker if artifact.at_token_checker else artifact.setting
        lacks_setting = about is not None and about not in settings.sweep
        lacks_input = not artifact.inputs_may_be_absent and any(map(skipped.get, artifact.inputs))
        if key not in skipped and (lacks_setting or lacks_input):
            skipped[key] = NOT_IN_SWEEP
    return skipped


#: what the job ``atlas`` leaves out
ON_DEMAND = frozenset(key for key, artifact in ARTIFACTS.items() if artifact.on_demand)


def not_applicable(lacks: Collection[Needs]) -> dict[str, str]:
    """Return the artifacts that prompts do not lend themselves to which lack what these need.

    The reason begins with `NOT_APPLICABLE`; what depends on such artifacts has theirs.
    """
    found: dict[str, str] = {}
    for key, artifact in ARTIFACTS.items():
        inputs = () if artifact.inputs_may_be_absent else artifact.inputs
        of_inputs = [found[name] for name in inputs if name in found]
        if artifact.needs in lacks:
            found[key] = f"{NOT_APPLICABLE}: {artifact.needs.value}"
        elif of_inputs:
            found[key] = of_inputs[0]
    return found


def artifact_of_file(name: str) -> tuple[Artifact, Partition | None] | None:
    """Return the artifact, and the partition, that a published file name (no folder) stands for.

    Returns:
        ``None`` for a name that no artifact has.
    """
    for artifact in ARTIFACTS.values():
        is_its_file, partition = artifact.partition_of(name)
        if is_its_file:
            return artifact, partition
    return None
