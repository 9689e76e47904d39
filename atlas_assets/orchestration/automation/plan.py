"""What one run should make: what is stale, judged by the files, and all that follows from it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.atlas.open import expected_lineage, open_in_force, store_of
from atlas_assets.atlas.status import ILLEGIBLE, FileState, survey
from atlas_assets.atlas.versions import folder_in_force, folder_to_build, known_sha
from atlas_assets.files.locations import file_digest, local_path
from atlas_assets.orchestration.data_versions import model_version
from atlas_assets.orchestration.version import KEY as VERSION
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.inspection import Inspection, MaskReader, checks_of, judge
from atlas_assets.soundness.subject import Cell, name_of
from atlas_assets.stages.catalog import ARTIFACTS, ON_DEMAND, skipped_under
from atlas_assets.stages.setting import DEFINITIONS, Setting
from atlas_assets.storage.provenance import require_same_atlas
from atlas_assets.storage.store import AtlasStore

_VERSION: Cell = (VERSION, None)


@dataclass(frozen=True)
class Plan:
    """What one run would make.

    Attributes:
        assets: keys of the assets to make, in the order of the pipeline.
        block: the first and the last setting of the run; ``None`` where no setting is stale.
        reasons: what is stale or missing, and why, a sentence each; without absolute paths.
        obstacles: what is not made although it is stale, and why, a sentence each.
        digest: SHA-256 (hex) of what is made, by which code, and from which content.
    """

    assets: tuple[str, ...] = ()
    block: tuple[Setting, Setting] | None = None
    reasons: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    digest: str = ""


@dataclass
class Verdicts:
    """Which files fail a check, remembered while no file of the atlas changes.

    Reading a large atlas back may take longer than Dagster gives a tick; the next tick then starts
    from what this one has found.
    """

    _files: list[tuple[str, int | None, int]] = field(default_factory=list)
    _known: dict[Cell, str | None] = field(default_factory=dict)
    _reader: MaskReader = field(default_factory=MaskReader)

    def failed_check(
        self, store: AtlasStore, states: Mapping[Cell, FileState], cell: Cell
    ) -> str | None:
        """Return the name of a blocking check that a file of the atlas fails, if there is one."""
        files = [(str(s.path), s.size_bytes, _changed_at(s)) for s in states.values()]
        if files != self._files or local_path(store.root) is None:
            self._files, self._known, self._reader = files, {}, MaskReader()
        if cell not in self._known:
            inspection = Inspection(store, self._reader, *cell)
            checks = checks_of(cell[0])
            failed = (c.name for c in checks if judge(c, inspection).state == "failed")
            self._known[cell] = next(failed, None)
        return self._known[cell]


def plan_of(settings: AtlasSettings, verdicts: Verdicts) -> Plan:
    """Look at every file of the atlas that runs work on, and say what one run should make.

    Of an atlas of which nothing has ever been made, that is nothing. ``verdicts`` are what earlier
    calls have found of the files' checks.

    Raises:
        ProvenanceError: the files are of another atlas, which a run would refuse to replace.
        ArtifactError: the record of the model's versions cannot be read.
    """
    look = _Look(settings, verdicts)
    if look.is_new and not any(map(_made_here, [*look.found, *survey(open_in_force(settings))])):
        return Plan()
    return look.plan()


class _Look:
    """The files of the atlas that runs work on, at one time."""

    def __init__(self, settings: AtlasSettings, verdicts: Verdicts) -> None:
        self.settings, self.verdicts = settings, verdicts
        self.sha, root = known_sha(settings), folder_to_build(settings)
        self.is_new = root != folder_in_force(settings)
        expected = expected_lineage(settings, AtlasModel(settings, ask_hub=False, sha=self.sha))
        self.store = store_of(settings, root, expected)
        self.found = survey(self.store)
        skipped = {*skipped_under(settings), *ON_DEMAND}
        begun = {s.artifact for s in self.found if s.state != "missing" and s.setting}
        self.states: dict[Cell, FileState] = {
            (state.artifact, state.setting): state
            for state in self.found
            if state.on_grid and state.artifact not in skipped
        }
        # what was fetched is never stale by itself; what was removed is not missed
        self.due = {
            cell: str(state.reason)
            for cell, state in self.states.items()
            if (state.state == "stale" and state.source is None)
            or (state.state == "missing" and (self.is_new or cell[0] in begun))
        }

    def plan(self) -> Plan:
        """What is due, with what follows from it, where nothing is in the way."""
        for cell in self.due:
            record, path = self.states[cell].provenance, self.states[cell].path
            require_same_atlas(record, self.store.expected(), artifact=cell[0], path=path)
        wanted = self._with_followers()
        block = _block(wanted)
        assets, made, obstacles = [], set[Cell](), []
        for key in dict.fromkeys(key for key, _ in wanted):
            # a run makes an asset of the sweep at every setting of the block
            cells = [cell for cell in (*self.states, _VERSION) if _is_made(cell, key, block)]
            inputs = [i for cell in cells for i in self._inputs(cell)]
            if key != VERSION and made.isdisjoint(inputs) and self.due.keys().isdisjoint(cells):
                continue  # it would follow from what is not made
            inputs = [cell for cell in inputs if cell not in made]
            flaw = next(filter(None, (self._flaw(key, cell) for cell in inputs)), None)
            if flaw is None:
                made.update(cells)
                if key == VERSION or ARTIFACTS[key].partitions is not DEFINITIONS:
                    assets.append(key)  # circuits are made by what completes them
            else:
                obstacles.append(f"{key} is not made: {flaw}")
        return Plan(
            assets=tuple(assets),
            block=block,
            reasons=tuple(self._reasons(made)) if assets else (),
            obstacles=tuple(obstacles),
            digest=self._digest(made, block),
        )

    def _reasons(self, made: set[Cell]) -> Iterator[str]:
        """What is stale of what is made, and why; of several settings with one reason, how many."""
        cells: dict[tuple[str, str], list[Cell]] = {}
        for cell, reason in self.due.items():
            if cell in made:
                cells.setdefault((cell[0], reason), []).append(cell)
        for (key, reason), same in cells.items():
            name = name_of(*same[0]) if len(same) == 1 else f"{key} at {len(same)} settings"
            yield f"{name}: {reason}".replace(f"{self.store.root}/", "")
        if not cells:
            yield "the new version is whole, and not yet in force"

    def _with_followers(self) -> list[Cell]:
        """What is due and all that is made from it, in the order of the pipeline."""
        found: dict[Cell, None] = {}
        for cell in self.states:
            if cell in self.due or any(i in found for i in self._inputs(cell)):
                found[cell] = None
        return [*found, *([_VERSION] if found or self.is_new else [])]

    def _inputs(self, cell: Cell) -> Iterator[Cell]:
        """The files that one is made from, of those that the sweep in force makes."""
        if cell == _VERSION:
            yield from self.states
            return
        artifact = ARTIFACTS[cell[0]]
        for key in dict.fromkeys((*artifact.inputs, *artifact.completes)):
            read = self.store.partitions_read(cell[0], key, cell[1])
            yield from ((key, partition) for partition in read if (key, partition) in self.states)

    def _flaw(self, key: str, cell: Cell) -> str | None:
        """What keeps ``key`` from being made from a file that is left as it is."""
        state = self.states[cell].state
        if state == "missing":
            optional = key != VERSION and ARTIFACTS[key].inputs_may_be_absent
            return None if optional else f"{name_of(*cell)} is missing"
        if state in ILLEGIBLE:
            return f"{name_of(*cell)} is {state}"
        if cell in self.due:
            return f"{name_of(*cell)} is stale"
        if key == VERSION and not self.is_new:
            return None  # it changes nothing, and all files would have to be read
        failed = self.verdicts.failed_check(self.store, self.states, cell)
        return f"{name_of(*cell)} fails the check {failed}" if failed else None

    def _digest(self, made: set[Cell], block: object) -> str:
        settings = self.settings
        model = self.sha or model_version(self.store.expected())
        lines = [str((self.store.root.name, block, model, settings.read_at, settings.dtype))]
        grid = self.store.expected().grid
        if grid is not None and grid.stimuli_sha256 is not None:
            lines.append(grid.stimuli_sha256)
        lines += [
            f"{key} {ARTIFACTS[key].version(self.store.parameters)}"
            for key in sorted({key for key, _ in made} - {VERSION})
        ]
        inputs = {i for cell in made for i in self._inputs(cell)} - made
        lines += sorted(f"{name_of(*cell)} {_content(self.states[cell])}" for cell in inputs)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _block(cells: Iterable[Cell]) -> tuple[Setting, Setting] | None:
    """The smallest block of the sweep that holds the settings of the cells."""
    settings = {setting for _, setting in cells if isinstance(setting, Setting)}
    if not settings:
        return None
    epsilons = {setting.epsilon for setting in settings}
    consistencies = {setting.consistency for setting in settings}
    first = Setting(min(epsilons), min(consistencies))
    return first, Setting(max(epsilons), max(consistencies))


def _is_made(cell: Cell, key: str, block: tuple[Setting, Setting] | None) -> bool:
    """Whether a run that makes the asset ``key`` over the block makes the file."""
    if cell[0] != key or not isinstance(cell[1], Setting):
        return cell[0] == key
    if block is None:
        return False
    (first, last), at = block, cell[1]
    return (
        first.epsilon <= at.epsilon <= last.epsilon
        and first.consistency <= at.consistency <= last.consistency
    )


def _made_here(state: FileState) -> bool:
    return state.provenance is not None and state.source is None


def _content(state: FileState) -> str | None:
    """What tells the content of a file; ``None`` where it is missing."""
    if state.provenance is not None:
        return state.provenance.payload_sha256
    if state.state in ("busy", "unreadable"):
        return state.state
    return None if state.state == "missing" else file_digest(state.path)


def _changed_at(state: FileState) -> int:
    """When a file on this machine was last written, in nanoseconds."""
    local = local_path(state.path)
    return local.stat().st_mtime_ns if local is not None and local.exists() else 0
