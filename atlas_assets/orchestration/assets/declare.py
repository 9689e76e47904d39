"""How a catalogue entry becomes a Dagster asset.

Key, group, kinds, owners, description, code version and IO manager all come from
`atlas_assets.stages.catalog`, so that graph and files cannot disagree. What runs the model depends
on the external asset ``model``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg

from atlas_assets.orchestration.assets.one_setting import skipped_under
from atlas_assets.orchestration.automation.conditions import stay_up_to_date
from atlas_assets.orchestration.io_managers.versions import MODEL
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS

OWNERS = ["team:csp-atlas"]
#: assets that run the network share this pool. It has no limit by default: a killed run would keep
#: its slot, and no run could start until somebody freed it. Set one where a daemon frees slots.
MODEL_POOL = "model"


def atlas_asset(
    key: str,
    *,
    partitions: dg.PartitionsDefinition[str] | None = None,
    **extra: Any,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorator: the asset that makes the artifact ``key`` of the catalogue.

    A partitioned one takes and returns {partition key: value}, for one partition as for several.

    Args:
        key: of the artifact.
        partitions: of the sweep, for an artifact with one file per setting.
        extra: for `dagster.asset`.
    """
    artifact = ARTIFACTS[key]
    deps = [*extra.pop("deps", ()), *([MODEL] if artifact.runs_model else ())]
    partitioned: dict[str, Any] = {}
    if artifact.partitioned:
        # one run may cover the whole sweep: activations are then read once for all settings
        partitioned = {
            "partitions_def": partitions,
            "backfill_policy": dg.BackfillPolicy.single_run(),
        }
    with warnings.catch_warnings():
        # backfill_policy is beta in Dagster; its version is pinned and the tests run through it
        warnings.simplefilter("ignore", dg.BetaWarning)
        decorator: Callable[[Callable[..., Any]], dg.AssetsDefinition] = dg.asset(
            key=key,
            group_name=artifact.group,
            description=artifact.description,
            kinds={artifact.kind, *extra.pop("kinds", ())},
            owners=OWNERS,
            code_version=artifact.version({}),
            automation_condition=stay_up_to_date(),
            io_manager_key=f"{artifact.kind}_io_manager",
            metadata={"file": artifact.filename},
            deps=deps,
            **partitioned,
            **extra,
        )
    return decorator


def under(settings: AtlasSettings, assets: Iterable[dg.AssetsDefinition]) -> list[Any]:
    """The assets as the settings want them.

    Their versions name the settings that they depend on (`Artifact.version`); what the sweep in
    force skips is never made without being asked.
    """
    skipped = skipped_under(settings)

    def adapted(spec: dg.AssetSpec) -> dg.AssetSpec:
        key = spec.key.to_user_string()
        if key not in ARTIFACTS:
            return spec
        spec = spec.replace_attributes(code_version=ARTIFACTS[key].version(settings.parameters))
        return spec.replace_attributes(automation_condition=None) if key in skipped else spec

    return [asset.map_asset_specs(adapted) for asset in assets]
