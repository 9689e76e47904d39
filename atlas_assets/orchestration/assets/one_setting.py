"""Artifacts that speak of one setting, and what becomes of them in a sweep that lacks it.

Such an asset is skipped, with a warning that says so; it never falls back to another setting.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import polars as pl

from atlas_assets.orchestration.partitions import partition_key
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks import masks as science
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore


def in_sweep(
    context: dg.AssetExecutionContext, settings: AtlasSettings, setting: Setting
) -> Iterator[Setting]:
    """``setting``; nothing, with a warning, where the sweep in force does not hold it."""
    if setting in settings.sweep:
        yield setting
    else:
        context.log.warning(
            f"{context.asset_key.to_user_string()} is skipped: it speaks of {setting}, which the "
            "sweep in force does not hold (ATLAS_EPSILONS, ATLAS_CONSISTENCIES)"
        )


def universal_at(
    context: dg.AssetExecutionContext,
    settings: AtlasSettings,
    masks: pl.DataFrame,
    setting: Setting,
) -> Iterator[Masks]:
    """The universal masks at ``setting``, from the table ``masks``; see `in_sweep`."""
    for at in in_sweep(context, settings, setting):
        yield science.universal_from_table(masks, at)


def pairs_and_universal_at(
    context: dg.AssetExecutionContext,
    settings: AtlasSettings,
    store: AtlasStore,
    setting: Setting,
) -> Iterator[tuple[Masks, Masks]]:
    """Pair masks and universal masks at ``setting``, read once from its file; see `in_sweep`."""
    for at in in_sweep(context, settings, setting):
        found = store.read("object_masks", at)
        yield found.pairs, found.universal


def only_partition_of(key: str, settings: AtlasSettings, setting: Setting) -> dg.AssetDep:
    """A dependency on one partition of ``key``; on all where the sweep lacks the setting."""
    if setting not in settings.sweep:
        return dg.AssetDep(key)
    mapping = dg.SpecificPartitionsPartitionMapping([partition_key(setting)])
    return dg.AssetDep(key, partition_mapping=mapping)


def skipped_under(settings: AtlasSettings) -> frozenset[str]:
    """The artifacts that are not made in the sweep in force, with all that depend on them."""
    skipped: set[str] = set()
    for key, artifact in ARTIFACTS.items():
        about = settings.token_checker if key == "token_independence_detail" else artifact.setting
        lacks_setting = about is not None and about not in settings.sweep
        lacks_input = not artifact.inputs_may_be_absent and not skipped.isdisjoint(artifact.inputs)
        if lacks_setting or lacks_input:
            skipped.add(key)
    return frozenset(skipped)
