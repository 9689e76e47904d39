"""How a catalogue entry becomes a Dagster asset.

Key, group, kinds, owners, description, code version and IO manager all come from
`atlas_assets.formats.catalog`, so that graph and files cannot disagree.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from atlas_assets.formats.catalog import ARTIFACTS

OWNERS = ["team:csp-atlas"]
#: assets that run the network share this pool. It has no limit by default: a killed run would keep
#: its slot, and no run could start until somebody freed it. Set one where a daemon frees slots.
MODEL_POOL = "model"


def atlas_asset(
    key: str,
    *,
    partitions: dg.PartitionsDefinition[str] | None = None,
    parameters: Mapping[str, int] | None = None,
    **extra: Any,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorator: the asset that makes the artifact ``key`` of the catalogue.

    A partitioned one takes and returns {partition key: value}, for one partition as for several.

    Args:
        key: of the artifact.
        partitions: of the sweep, for an artifact with one file per setting.
        parameters: settings that are part of the artifact's version (`Artifact.parameters`).
        extra: for `dagster.asset`.
    """
    artifact = ARTIFACTS[key]
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
            code_version=artifact.version(parameters or {}),
            io_manager_key=f"{artifact.kind}_io_manager",
            metadata={"file": artifact.filename},
            **partitioned,
            **extra,
        )
    return decorator
