"""What Dagster compares to tell whether an artifact, or the model, has become another.

Two artifacts with the same data version have the same content and are about the same model and
grid: making one again from the same inputs gives the same version, and nothing after it is stale.
What was made with another version of the model is stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import dagster as dg

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import Partition
from atlas_assets.storage.provenance import PAPER_SITE, Lineage, Provenance
from atlas_assets.storage.store import AtlasStore

#: asset key of the model, which Dagster does not make
MODEL = "model"
# Dagster's own tag; it exports no name for it
DATA_VERSION_TAG = "dagster/data_version"
_DEFAULT_DTYPE = "float32"


def model_version(lineage: Lineage) -> str | None:
    """Return the data version of a model: ``<sha>+last_token``, or ``…+published+float16``.

    The digest of own prompts is part of it: what the model makes of them follows from both.
    For a model that is not from the Hub, a digest of its weights and tokenizer stands for the sha.
    The version is ``None`` where the lineage does not tell which model it is.
    """
    model = lineage.model
    if model is None:
        return None
    state = model.revision
    if state is None and model.weights_sha256 is not None:
        state = _digest((model.weights_sha256, str(model.tokenizer_sha256)))
    if state is None:
        return None
    dtype = None if lineage.dtype == _DEFAULT_DTYPE else lineage.dtype
    own = lineage.grid.stimuli_sha256 if lineage.grid else None
    bos = f"bos-{lineage.bos}" if lineage.bos in ("always", "never") else None
    site = None if lineage.site == PAPER_SITE else lineage.site
    parts = (state, lineage.readout, site, dtype, own, bos, *(lineage.mlp or ()))
    return "+".join(part for part in parts if part)


def announcing(model: AtlasModel, store: AtlasStore) -> dg.ResourceDefinition:
    """Return the model as a resource that tells Dagster its version before any step runs it.

    What a run makes is then recorded as made with this very model, also where no poll has looked
    at it before. A model that cannot be had is not announced; the step that runs it says why.
    """

    def resource(context: dg.InitResourceContext) -> AtlasModel:
        if context.instance is not None:
            announce_model(context.instance, store.expected())
        return model

    return dg.ResourceDefinition(resource)


def announce_model(instance: dg.DagsterInstance, lineage: Lineage) -> bool:
    """Report the model's version unless Dagster knows it already; return whether it was new."""
    version = model_version(lineage)
    if version is None or version == announced_version(instance):
        return False
    instance.report_runless_asset_event(
        dg.AssetMaterialization(
            MODEL, metadata=_metadata(lineage), tags={DATA_VERSION_TAG: version}
        )
    )
    return True


def announced_version(instance: dg.DagsterInstance) -> str | None:
    """Return the version of the model that Dagster knows, if it knows any."""
    event = instance.get_latest_materialization_event(dg.AssetKey(MODEL))
    found = event.asset_materialization if event else None
    return (found.tags or {}).get(DATA_VERSION_TAG) if found else None


def data_version(written: Provenance) -> str:
    """Return the data version of a file, which follows from its content and what it is about."""
    return _digest((written.payload_sha256, _about(written)))


def data_version_of_cells(
    store: AtlasStore, cells: Iterable[tuple[Provenance, Partition | None]]
) -> str:
    """Return the data version that the partitions of one run share, from what they were made from.

    It does not depend on how many of the partitions the run made, so that making one of them again
    leaves what follows as fresh as it was. Each cell is a partition's record and its setting.
    """
    return _digest(sorted({_made_from(store, record, setting) for record, setting in cells}))


def _made_from(store: AtlasStore, record: Provenance, setting: Partition | None) -> str:
    parts = [record.artifact, record.code_version, _about(record)]
    for name, digest in sorted(record.inputs.items()):
        read = store.partitions_read(record.artifact, name, setting)
        one = ARTIFACTS[name].partitioned and len(read) == 1
        before = store.provenance(name, read[0]) if one else None
        parts.append(digest if before is None else _made_from(store, before, read[0]))
    return _digest(parts)


def _about(record: Provenance) -> str:
    return record.lineage.model_dump_json() if record.lineage else ""


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _metadata(lineage: Lineage) -> dict[str, Any]:
    known: dict[str, Any] = {
        "readout": lineage.read_at,
        "dtype": lineage.dtype,
        "bos": lineage.bos,
        "mlp": ", ".join(lineage.mlp) if lineage.mlp else None,
    }
    if lineage.model is not None:
        known.update(lineage.model.model_dump())
    return {name: value for name, value in known.items() if value is not None}
