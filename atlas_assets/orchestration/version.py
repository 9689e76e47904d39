"""The end of the graph: a complete atlas that has passed its checks becomes the one in force."""

from collections.abc import Collection
from typing import Any

import dagster as dg

from atlas_assets.atlas import versions
from atlas_assets.atlas.status import survey
from atlas_assets.errors import ArtifactError
from atlas_assets.orchestration.assets import OWNERS
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.inspection import failed_checks
from atlas_assets.soundness.subject import name_of
from atlas_assets.stages.catalog import ARTIFACTS, ON_DEMAND, skipped_under
from atlas_assets.storage.store import AtlasStore

KEY = "atlas_version"
#: tells which checkpoint of a series a run makes the atlas of
CHECKPOINT_TAG = "atlas/checkpoint"
GROUP = "18_version"


def version_asset(settings: AtlasSettings) -> dg.AssetsDefinition:
    """Return the asset ``atlas_version``, which follows all that the sweep in force makes."""
    skipped = skipped_under(settings)

    @dg.asset(
        key=KEY,
        group_name=GROUP,
        description="The version of the atlas in force. Where the model is followed, a version "
        "that is complete, fresh and has passed its blocking checks takes the place of the one "
        "before, whose files stay.",
        kinds={"json"},
        tags={"needs": "files"},
        owners=OWNERS,
        code_version="1",
        deps=[key for key in ARTIFACTS if key not in {*skipped, *ON_DEMAND}],
    )
    def atlas_version(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> dg.MaterializeResult[Any]:
        pin = versions.pin_of(settings)
        model = store.expected().model if pin else None
        sha = model.revision if model else None
        if pin is not None and sha is not None and sha != pin.in_force.sha:
            _require_sound(store, skipped_under(settings))
            versions.promote(settings, sha)
            context.log.info(f"{store.root} is in force now: made with {settings.model} at {sha}")
        if pin is None and CHECKPOINT_TAG not in context.run.tags:
            _warn_of_another(context, str(store.root))
        return dg.MaterializeResult(
            metadata={"folder": str(store.root), **({"model_sha": sha} if sha else {})}
        )

    return atlas_version


def _warn_of_another(context: dg.AssetExecutionContext, folder: str) -> None:
    """Warn where the instance's history is of another atlas, too: all have the same asset keys."""
    event = context.instance.get_latest_materialization_event(dg.AssetKey(KEY))
    last = event.asset_materialization if event else None
    before = last.metadata.get("folder") if last else None
    if before is not None and before.value != folder:
        context.log.warning(
            f"this Dagster instance remembers another atlas, {before.value}: its pages show the "
            "runs, checks and metadata of both under the same names. The files are apart. To have "
            "a history for each, give each atlas a DAGSTER_HOME of its own"
        )


def _require_sound(store: AtlasStore, skipped: Collection[str]) -> None:
    """Refuses to put a version in force that is not whole, fresh and sound."""
    lacking = [
        f"{name_of(state.artifact, state.setting)}: {state.reason}"
        for state in survey(store)
        if state.on_grid and state.artifact not in {*skipped, *ON_DEMAND} and state.state != "fresh"
    ]
    lacking += [f"{check} failed" for check in failed_checks(store)]
    if lacking:
        raise ArtifactError(
            "the new version of the atlas is not put in force",
            where=str(store.root),
            expected="every file fresh, every blocking check passed",
            found="; ".join(lacking[:5]) + (f"; and {len(lacking) - 5} more" * (len(lacking) > 5)),
            remedy="run the job atlas; the version before stays in force until it succeeds",
        )
