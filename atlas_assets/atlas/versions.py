"""The versions of an atlas whose model is followed: which is in force, which is being built.

A Hub model that is named by a branch or tag (or by nothing: its main branch) may become another
model any day. What it is for this atlas, its *version*, is a commit sha, and a small file beside
the atlas's folder pins it, ``<data dir>/<atlas>.model.json``:

* Runs never ask the Hub what the branch means: they build the pinned version. The first run
  without a pin writes it; after that only `seen` (the poll, ``atlas follow``) moves it.
* Each version has a folder of its own. The first one lies in ``<atlas>``, as the atlas of a model
  that is not followed; each later one beside it in ``<atlas>@<first 12 digits of the sha>``.
* Readers use the version *in force*. A newer one is *being built* until it is complete and has
  passed its blocking checks; then `promote` puts it in force, and notes so in its folder. Nothing
  is ever deleted.
* Where the pin is lost, the folders tell it (`known`): in force is the version that was put in
  force last. A folder without that note counts less than any with one; of several, the plain one
  counts most, then the one with the most files, then the first by name.

A model that cannot change under its name (embedded, a folder, a full sha) has no pin; its files
lie in ``<atlas>``.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from upath import UPath

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.files import atomic
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import file_names
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.sidecar import FOLDER

FORMAT_VERSION = 1
_EMBEDDED = "embedded"
#: the note in a folder that was put in force
_NOTE = "atlas_version.json"
_FULL_SHA = re.compile(r"[0-9a-f]{40}")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Version(_Record):
    """One state of the model, and the folder with the atlas made of it.

    Attributes:
        sha: the model's full commit sha.
        folder: name of the folder in the data dir.
    """

    sha: str
    folder: str


class _Note(_Record):
    """In the folder of a version: that it was put in force.

    Attributes:
        format_version: of this record.
        sha: the model's.
        number: of the times that a version of this atlas was put in force, which one it was.
    """

    format_version: int = FORMAT_VERSION
    sha: str
    number: int


class Pin(_Record):
    """What the model of an atlas is, as last seen.

    Attributes:
        format_version: of this record.
        model: Hub id.
        revision: the branch or tag that is followed; ``None``: the main branch.
        in_force: the version that readers use.
        building: the newer version that runs work on, until it is in force.
        earlier: versions that were in force, the oldest first.
    """

    format_version: int = FORMAT_VERSION
    model: str
    revision: str | None = None
    in_force: Version
    building: Version | None = None
    earlier: tuple[Version, ...] = ()

    @property
    def latest(self) -> Version:
        """The version that runs work on."""
        return self.building or self.in_force


def lies_on_hub(settings: AtlasSettings) -> bool:
    """Whether the model's name is a Hub id (an existing folder of that name wins)."""
    name = settings.model
    is_path = name.startswith(("/", ".", "~")) or Path(name).expanduser().is_dir()
    return name != _EMBEDDED and not is_path


def is_followed(settings: AtlasSettings) -> bool:
    """Whether the model can change under its name: a branch or tag on the Hub."""
    revision = settings.model_revision
    return lies_on_hub(settings) and not (revision and _FULL_SHA.fullmatch(revision))


def pin_of(settings: AtlasSettings) -> Pin | None:
    """The pin of the atlas; ``None`` before there is one, and where the model is not followed.

    Raises:
        ArtifactError: the file is damaged.
        ProvenanceError: it pins another model than the settings name.
    """
    path = pin_path(settings)
    if not is_followed(settings) or not path.exists():
        return None
    try:
        pin = Pin.model_validate_json(path.read_bytes())
    except (ValidationError, OSError) as error:
        raise ArtifactError(
            "the record of the model's versions cannot be read",
            where=str(path),
            expected=f"a JSON record of format version {FORMAT_VERSION}",
            found=str(error).splitlines()[0],
            remedy="remove it: the next run (or `atlas follow`) writes it anew, from the folders "
            "beside it; in force is then the version that was put in force last",
        ) from error
    if (pin.model, pin.revision) != (settings.model, settings.model_revision):
        raise ProvenanceError(
            "the atlas follows another model than the settings name",
            where=str(path),
            expected=_named(settings.model, settings.model_revision),
            found=_named(pin.model, pin.revision),
            remedy="set ATLAS_MODEL and ATLAS_MODEL_REVISION back, or choose another ATLAS_NAME",
        )
    return pin


def known(settings: AtlasSettings) -> Pin | None:
    """The pin; where there is none, as the folders of an atlas that is there tell it.

    Raises:
        ArtifactError, ProvenanceError: as `pin_of`.
    """
    return pin_of(settings) or (_told_by_folders(settings) if is_followed(settings) else None)


def is_begun(settings: AtlasSettings, version: Version) -> bool:
    """Whether there is any file of this version's atlas."""
    return any(map(artifact_of_file, file_names(_data_dir(settings) / version.folder)))


def pin_path(settings: AtlasSettings) -> UPath:
    """Where the pin lies, there or not."""
    return _data_dir(settings) / f"{settings.atlas_name}.model.json"


def folder_in_force(settings: AtlasSettings) -> UPath:
    """The folder that readers use, there or not."""
    pin = known(settings)
    return _data_dir(settings) / (pin.in_force.folder if pin else settings.atlas_name)


def folder_to_build(settings: AtlasSettings) -> UPath:
    """The folder that runs work on, there or not."""
    pin = known(settings)
    return _data_dir(settings) / (pin.latest.folder if pin else settings.atlas_name)


def known_sha(settings: AtlasSettings) -> str | None:
    """The sha that runs work on, without asking the Hub: as pinned, else as the files there say."""
    pin = known(settings)
    return pin.latest.sha if pin else None


def look_up(settings: AtlasSettings) -> Pin:
    """Asks the Hub which commit the followed revision is now, and notes it. One request.

    Raises:
        HubError: the Hub does not say; the pin stays as it is.
    """
    from atlas_assets.hub_client.client import default_client
    from atlas_assets.hub_client.repository import head

    sha = head(default_client().interactive(), settings.model, "model", settings.model_revision)
    return seen(settings, sha)


def seen(settings: AtlasSettings, sha: str) -> Pin:
    """Notes that the followed revision now means ``sha``; the first one is in force at once.

    An atlas that is there already, made before there was a pin, stays the one in force.
    """
    pin = pin_first(settings, sha)
    building = None if sha == pin.in_force.sha else _version(settings, pin, sha)
    if building != pin.building:
        pin = pin.model_copy(update={"building": building})
        _write(settings, pin)
    return pin


def pin_first(settings: AtlasSettings, sha: str) -> Pin:
    """The pin; where there is none yet, one as the folders tell it.

    Where there is no atlas either, ``sha`` is in force, in the plain folder.
    """
    pin = pin_of(settings)
    if pin is None:
        first = Version(sha=sha, folder=settings.atlas_name)
        pin = known(settings) or _pin(settings, first)
        _write(settings, pin)
    return pin


def promote(settings: AtlasSettings, sha: str) -> Pin | None:
    """Puts a version in force that is complete and has passed its checks.

    A still newer one that has been seen meanwhile stays the one being built.

    Returns:
        The pin as it is now; ``None`` where the model is not followed.
    """
    pin = pin_of(settings)
    if pin is None or sha == pin.in_force.sha:
        return pin
    version = _version(settings, pin, sha)
    others = (*(known for known in pin.earlier if known.sha != sha), pin.in_force)
    newer = pin.building if pin.building and pin.building.sha != sha else None
    pin = pin.model_copy(update={"in_force": version, "building": newer, "earlier": others})
    _note_in_force(settings, version)
    _write(settings, pin)
    return pin


def _version(settings: AtlasSettings, pin: Pin, sha: str) -> Version:
    """The version of a sha; one that has been in force has its folder already."""
    for known in (*pin.earlier, pin.building):
        if known is not None and known.sha == sha:
            return known
    return Version(sha=sha, folder=f"{settings.atlas_name}@{sha[:12]}")


def _told_by_folders(settings: AtlasSettings) -> Pin | None:
    """The pin that was lost, or that of an atlas made before there was one."""
    found = {
        folder: sha
        for folder in _folders(settings)
        if (sha := _recorded_sha(settings, folder)) is not None
    }
    if not found:
        return None
    numbers = {folder: _number(settings, folder, sha) for folder, sha in found.items()}

    def rank(folder: str) -> tuple[int, bool, int]:
        n_files = len(file_names(_data_dir(settings) / folder))
        return numbers[folder], folder == settings.atlas_name, n_files

    *others, last = sorted(sorted(found, reverse=True), key=rank)
    # one that was never in force is unfinished: it is none of the earlier ones
    were = [other for other in others if numbers[other] or other == settings.atlas_name]
    earlier = tuple(Version(sha=found[folder], folder=folder) for folder in were)
    return _pin(settings, Version(sha=found[last], folder=last), earlier)


def _pin(settings: AtlasSettings, in_force: Version, earlier: tuple[Version, ...] = ()) -> Pin:
    return Pin(
        model=settings.model,
        revision=settings.model_revision,
        in_force=in_force,
        earlier=earlier,
    )


def _folders(settings: AtlasSettings) -> list[str]:
    """Names of the folders that versions of the atlas may lie in, sorted."""
    data, pattern = _data_dir(settings), rf"{re.escape(settings.atlas_name)}(@[0-9a-f]{{12}})?"
    if not data.is_dir():
        return []
    return sorted(path.name for path in data.iterdir() if re.fullmatch(pattern, path.name))


def _recorded_sha(settings: AtlasSettings, name: str) -> str | None:
    """The model's sha according to the files in a folder; that of a later version is its name."""
    folder = _data_dir(settings) / name
    for artifact in ARTIFACTS.values():
        if not artifact.runs_model or not (folder / artifact.filename).exists():
            continue
        stored = codec_of(artifact).provenance(folder / artifact.filename)
        lineage = stored.lineage if stored and stored.lineage else Lineage()
        if lineage.model and lineage.model.model_id == settings.model and lineage.model.revision:
            sha = lineage.model.revision
            return (
                sha if name in (settings.atlas_name, f"{settings.atlas_name}@{sha[:12]}") else None
            )
    return None


def _number(settings: AtlasSettings, folder: str, sha: str | None = None) -> int:
    """When the version in a folder was put in force (1, 2, …); 0: never, as far as is known."""
    path = _data_dir(settings) / folder / FOLDER / _NOTE
    try:
        note = _Note.model_validate_json(path.read_bytes())
    except (ValidationError, OSError):
        return 0
    return note.number if sha in (None, note.sha) else 0


def _note_in_force(settings: AtlasSettings, version: Version) -> None:
    folder = _data_dir(settings) / version.folder
    if not folder.is_dir():
        return
    number = 1 + max(_number(settings, name) for name in _folders(settings))
    text = f"{_Note(sha=version.sha, number=number).model_dump_json()}\n"
    atomic.write_bytes(folder / FOLDER / _NOTE, text.encode(), what="the note of a version")


def _write(settings: AtlasSettings, pin: Pin) -> None:
    text = f"{pin.model_dump_json(indent=1)}\n"
    atomic.write_bytes(pin_path(settings), text.encode(), what="the record of the model's versions")


def _data_dir(settings: AtlasSettings) -> UPath:
    return UPath(settings.data_dir).absolute()


def _named(model: str, revision: str | None) -> str:
    return model if revision is None else f"{model} at {revision}"
