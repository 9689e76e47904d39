"""What a figure or report is about: read from the provenance of what it is made from."""

from __future__ import annotations

from collections.abc import Sequence

from atlas_assets.figures.caption import Caption
from atlas_assets.formats.provenance import Grid, Provenance
from atlas_assets.formats.store import AtlasStore
from atlas_assets.science.sweep import Setting

#: files of the paper's release carry no provenance; this is what the release says of them
RELEASE_MODEL = "openai/circuit-sparsity"
RELEASE_READOUT = "published"
_RELEASE_NOTE = "From files of the paper's release, which carry no provenance of their own."


def caption_of(
    store: AtlasStore,
    key: str,
    *,
    setting: Setting | None = None,
    partition: Setting | None = None,
    notes: Sequence[str] = (),
) -> Caption:
    """The caption of a figure drawn from the artifact ``key``.

    Args:
        store: the atlas.
        key: what is drawn.
        setting: what the figure is about; ``None`` for the whole sweep.
        partition: which file of ``key``, where there is one per setting.
        notes: further sentences.
    """
    record = store.provenance(key, partition)
    model, readout, origin = subject_of(record)
    return Caption(model, readout, setting, " ".join([*notes, *origin]) or None)


def subject_of(record: Provenance | None) -> tuple[str, str, list[str]]:
    """Model and readout of a file, and what else its reader has to know."""
    lineage = record.lineage if record else None
    if lineage is None or lineage.model is None:
        return RELEASE_MODEL, RELEASE_READOUT, [_RELEASE_NOTE]
    notes = [_RELEASE_NOTE] if record and record.origin == "release" else []
    cut = _cut(lineage.grid) if lineage.grid else None
    return lineage.model.model_id, lineage.readout or "not known", [*([cut] if cut else []), *notes]


def _cut(grid: Grid) -> str | None:
    parts = []
    if grid.ast_nodes is not None:
        parts.append(f"{len(grid.ast_nodes)} AST nodes")
    if grid.builtins is not None:
        parts.append(f"{len(grid.builtins)} builtins")
    if grid.variations != Grid().variations:
        parts.append(f"{grid.variations} prompts per pair")
    return f"A cut of the published grid: {', '.join(parts)}." if parts else None
