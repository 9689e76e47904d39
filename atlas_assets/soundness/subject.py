"""What a file is about: which model, read where, and whether the paper's claims are about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from atlas_assets.errors import AtlasError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.prompts.object_prompts import PAPER_LOSS_THRESHOLD
from atlas_assets.stages.report.published_claims import PAPER_MODEL, PAPER_READOUT, PAPER_VARIATIONS
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.provenance import Grid, Lineage
from atlas_assets.storage.store import AtlasStore

#: an artifact, and the setting of the one file that is meant
Cell = tuple[str, Setting | None]

_UNKNOWN = "unknown"


@dataclass(frozen=True, order=True)
class Subject:
    """What content is about.

    Attributes:
        model: id of the model.
        readout: ``last_token`` or ``published``.
        claimed: whether the paper's claims are about it: a file of the release, or the paper's
            model on the whole grid.
    """

    model: str
    readout: str
    claimed: bool


FROZEN = Subject(f"{PAPER_MODEL} (frozen artifacts)", PAPER_READOUT, claimed=True)


def subject_of(store: AtlasStore, cells: Iterable[Cell]) -> Subject:
    """What these files are about, together; claimed only where each of them is.

    Raises:
        ArtifactError: one of them is damaged.
    """
    return _together(sorted({_subject_of_file(store, *cell) for cell in cells}))


def subject_of_atlas(store: AtlasStore, settings: AtlasSettings | None) -> Subject:
    """What an atlas is about as a whole, where a claim's own evidence is missing.

    Claimed where anything in it is. With no file at all, what the settings say it would be.
    """
    found = sorted(set(_subjects_present(store)))
    claimed = [subject for subject in found if subject.claimed]
    if found:
        return _together(claimed or found)
    if settings is None:
        return Subject(_UNKNOWN, _UNKNOWN, claimed=False)
    grid = Grid(
        ast_nodes=settings.ast_nodes,
        builtins=settings.builtins,
        variations=settings.variations,
        loss_threshold=settings.loss_threshold,
    )
    claimed_model = settings.model == PAPER_MODEL and _whole(grid)
    return Subject(settings.model, settings.readout, claimed=claimed_model)


def _subjects_present(store: AtlasStore) -> Iterator[Subject]:
    for key, artifact in ARTIFACTS.items():
        for setting in store.sweep if artifact.partitioned else (None,):
            if store.exists(key, setting):
                try:
                    yield _subject_of_file(store, key, setting)
                except AtlasError:
                    continue


def _subject_of_file(store: AtlasStore, key: str, setting: Setting | None) -> Subject:
    stored = store.provenance(key, setting)
    if stored is None:
        return FROZEN
    if stored.lineage is not None:
        return _subject_of_lineage(stored.lineage)
    if stored.origin != "release":
        return Subject(_UNKNOWN, _UNKNOWN, claimed=False)
    # computed from files of the release; from others as well, perhaps
    inputs = {
        _subject_of_file(store, name, cell)
        for name in ARTIFACTS[key].inputs
        for cell in _cells(store, key, name, setting)
        if store.exists(name, cell)
    }
    return _together(sorted(inputs)) if inputs else FROZEN


def _cells(
    store: AtlasStore, key: str, name: str, setting: Setting | None
) -> Iterable[Setting | None]:
    if not ARTIFACTS[name].partitioned:
        return (None,)
    at = setting or ARTIFACTS[key].setting
    return store.sweep if at is None else (at,)


def _subject_of_lineage(lineage: Lineage) -> Subject:
    model = lineage.model.model_id if lineage.model else _UNKNOWN
    claimed = model == PAPER_MODEL and (lineage.grid is None or _whole(lineage.grid))
    return Subject(model, lineage.readout or _UNKNOWN, claimed=claimed)


def _whole(grid: Grid) -> bool:
    return (
        grid.ast_nodes is None
        and grid.builtins is None
        and grid.variations == PAPER_VARIATIONS
        and grid.loss_threshold in (None, PAPER_LOSS_THRESHOLD)
    )


def _together(subjects: list[Subject]) -> Subject:
    """One subject for several; ``subjects`` is not empty."""
    return Subject(
        " and ".join(dict.fromkeys(subject.model for subject in subjects)),
        " and ".join(dict.fromkeys(subject.readout for subject in subjects)),
        claimed=all(subject.claimed for subject in subjects),
    )
