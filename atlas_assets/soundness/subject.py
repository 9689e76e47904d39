"""What a file is about: which model, read where, and whether the paper's claims are about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from atlas_assets.errors import AtlasError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.prompts.object_prompts import PAPER_LOSS_THRESHOLD
from atlas_assets.stages.report.claims import GridPart
from atlas_assets.stages.report.published_claims import PAPER_MODEL, PAPER_READOUT, PAPER_VARIATIONS
from atlas_assets.stages.setting import Partition
from atlas_assets.storage.provenance import PAPER_SITE, Grid
from atlas_assets.storage.store import AtlasStore

#: an artifact, and the setting of the one file that is meant
Cell = tuple[str, Partition | None]

_UNKNOWN = "unknown"
#: what a grid and the settings call alike
_CUTS = ("ast_nodes", "builtins", "variations", "loss_threshold")


def name_of(key: str, setting: Partition | None = None) -> str:
    """Return the name of an artifact in sentences, with the setting where one is meant."""
    return f"{key} at {setting}" if setting else key


@dataclass(frozen=True, order=True)
class Subject:
    """What the content of files is about.

    Attributes:
        model: the id of the model.
        readout: ``last_token`` or ``published``, and the site where it is not the paper's.
        claimed: whether the paper's claims are about it: a file of the release, or the paper's
            model on the whole grid, at the paper's site.
    """

    model: str
    readout: str
    claimed: bool


_UNSAID = Subject(_UNKNOWN, _UNKNOWN, claimed=False)
_OF_UNKNOWN_ORIGIN = Subject(f"{_UNKNOWN} (files of unknown origin)", _UNKNOWN, claimed=False)
FROZEN = Subject(f"{PAPER_MODEL} (frozen artifacts)", PAPER_READOUT, claimed=True)


def cells_of(store: AtlasStore) -> Iterator[Cell]:
    """Yield all cells that an atlas has or should have, in the order of the catalogue."""
    for key in ARTIFACTS:
        for setting in store.partitions(key):
            yield key, setting


def subject_of(store: AtlasStore, cells: Iterable[Cell]) -> Subject:
    """Return what these files are about, together; it is claimed where each of them is.

    Raises ArtifactError where one of them is damaged.
    """
    return _together(sorted({_subject_of_file(store, *cell) for cell in cells}))


def subject_of_atlas(store: AtlasStore, settings: AtlasSettings | None) -> Subject:
    """Return what an atlas is about as a whole, for where a claim's own evidence is missing.

    It is claimed where anything in it is. With no file at all, the settings say what it would be.
    """
    found = sorted(set(_subjects_present(store)))
    claimed = [subject for subject in found if subject.claimed]
    if found:
        return _together(claimed or found)
    if settings is None:
        return _UNSAID
    of_the_paper = settings.model == PAPER_MODEL and _whole(grid_of(settings))
    of_the_paper = of_the_paper and settings.site == PAPER_SITE
    return Subject(settings.model, settings.read_at, claimed=of_the_paper)


def grid_of(settings: AtlasSettings) -> Grid:
    """Return how the settings cut the grid of prompts; own ones are named and not read."""
    cut = {name: getattr(settings, name) for name in Grid.model_fields if name in _CUTS}
    return Grid(**cut, stimuli=Path(settings.stimuli).name if settings.stimuli else None)


def is_about_own_prompts(store: AtlasStore, settings: AtlasSettings | None) -> bool:
    """Return whether an atlas is of own prompts, by the first file that says; else by settings."""
    return grid_of_atlas(store, settings).stimuli is not None


def grid_of_atlas(store: AtlasStore, settings: AtlasSettings | None) -> Grid:
    """Return the grid of prompts by the first file that says; else by settings, or the paper's."""
    for cell in cells_of(store):
        if store.exists(*cell):
            with suppress(AtlasError):
                record = store.provenance(*cell)
                if record and record.lineage and record.lineage.grid:
                    return record.lineage.grid
    return Grid() if settings is None else grid_of(settings)


def parts_cut(grid: Grid) -> frozenset[GridPart]:
    """Return what of the paper's grid was left out on purpose; more prompts than it has are none.

    A pair that a threshold of the loss has dropped is not asked for: that is a result.
    """
    cut: dict[GridPart, bool] = {
        "ast_nodes": grid.ast_nodes is not None,
        "builtins": grid.builtins is not None,
        "variations": grid.variations < PAPER_VARIATIONS,
    }
    return frozenset(part for part, is_cut in cut.items() if is_cut)


def _subjects_present(store: AtlasStore) -> Iterator[Subject]:
    for cell in cells_of(store):
        if store.exists(*cell):
            with suppress(AtlasError):
                yield _subject_of_file(store, *cell)


def _subject_of_file(store: AtlasStore, key: str, setting: Partition | None) -> Subject:
    stored = store.provenance(key, setting)
    origin = stored.origin if stored else store.origin(key, setting)
    if stored is None:
        return FROZEN if origin == "release" else _OF_UNKNOWN_ORIGIN
    lineage = stored.lineage
    if lineage is not None:
        model = lineage.model.model_id if lineage.model else _UNKNOWN
        of_the_paper = model == PAPER_MODEL and lineage.site == PAPER_SITE
        claimed = of_the_paper and (lineage.grid is None or _whole(lineage.grid))
        return Subject(model, lineage.read_at or _UNKNOWN, claimed=claimed)
    if origin != "release":
        return _UNSAID if origin == "atlas" else _OF_UNKNOWN_ORIGIN
    # computed from files of the release; from others as well, perhaps
    inputs = {
        _subject_of_file(store, name, cell)
        for name in ARTIFACTS[key].inputs
        for cell in store.partitions_read(key, name, setting)
        if store.exists(name, cell)
    }
    return _together(sorted(inputs)) if inputs else FROZEN


def _whole(grid: Grid) -> bool:
    return (
        grid.stimuli is None
        and grid.ast_nodes is None
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
