"""What a figure is titled with: read from the provenance of what it is drawn from."""

from __future__ import annotations

from collections.abc import Sequence

from atlas_assets.soundness.subject import subject_of
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.figures.caption import Caption
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore


def caption_of(
    store: AtlasStore,
    key: str,
    *,
    setting: Setting | None = None,
    notes: Sequence[str] = (),
) -> Caption:
    """The caption of a figure drawn from the artifact ``key``.

    Args:
        store: the atlas.
        key: what is drawn.
        setting: what the figure is about; ``None`` for the whole sweep.
        notes: further sentences.
    """
    partition = setting if ARTIFACTS[key].partitioned else None
    subject = subject_of(store, [(key, partition)])
    record = store.provenance(key, partition)
    grid = record.lineage.grid if record and record.lineage else None
    cut = f"A cut of the published grid: {grid.cut}." if grid and grid.cut else ""
    note = " ".join(part for part in (*notes, cut) if part)
    return Caption(subject.model, subject.readout, setting, note or None)
