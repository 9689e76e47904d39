"""The versions of an atlas whose model is followed, and which of them readers use.

A Hub model that is named by a branch or tag (or by nothing: its main branch) can change. Each
commit of it gives a *version* of the atlas, in a folder of its own: the first one in ``<atlas>``,
each later one in ``<atlas>@<first 12 digits of the sha>``. A file beside them, the *pin*
``<atlas>.model.json``, says which version is *in force* (readers use it) and which newer one is
*being built* (runs work on it) until `promote` puts that in force. Nothing is deleted.

Runs never ask the Hub what a branch means: the first one pins it, and after that only `seen` moves
the pin. Without a pin, the folders tell what it was: each version that is put in force gets a
numbered note, and the highest number counts. Other models have no pin, and one folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError
from upath import UPath

from atlas_assets.errors import DamagedArtifactError, MissingArtifactError, ProvenanceError
from atlas_assets.files import atomic
from atlas_assets.files.json_text import read_json, sealed, unsealed
from atlas_assets.files.locations import content, file_state, is_folder, is_there
from atlas_assets.files.locks import exclusive
from atlas_assets.files.remote import folder_at
from atlas_assets.hub_client.repository import is_full_sha
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS, artifact_of_file
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.folder import file_names
from atlas_assets.storage.sidecar import FOLDER

#: of pins and notes; version 2 must have a digest of itself
_FORMAT_VERSION = 2
_EMBEDDED = "embedded"
_WHAT = "the record of the model's versions"
#: the note in the folder of a version that was put in force
_NOTE = "atlas_version.json"
_Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Version(BaseModel, frozen=True, extra="forbid"):
    """A commit of the model, by its full sha, and the name of the folder of its atlas."""

    sha: _Sha
    folder: str


class _Note(BaseModel, frozen=True, extra="forbid"):
    """The note that the version in whose folder it is was the ``number``-th put in force."""

    format_version: Literal[1, 2] = 2
    sha: _Sha
    number: int


class Pin(BaseModel, frozen=True, extra="forbid", protected_namespaces=()):
    """The versions of an atlas whose model is followed.

    Attributes:
        format_version: the version of the format of the record.
        model: the Hub id of the model.
        revision: the branch or tag that is followed; ``None``: the main branch.
        in_force: the version that readers use.
        building: the newer version that runs work on, until it is in force.
        earlier: the versions that were in force before, the oldest first.
    """

    format_version: Literal[1, 2] = 2
    model: str = Field(min_length=1)
    revision: str | None = None
    in_force: Version
    building: Version | None = None
    earlier: tuple[Version, ...] = ()

    @property
    def latest(self) -> Version:
        """The version that runs work on."""
        return self.building or self.in_force

    @property
    def versions(self) -> tuple[Version, ...]:
        """All versions; the one that runs work on is the last."""
        return (*self.earlier, self.in_force, self.latest)


def lies_on_hub(settings: AtlasSettings) -> bool:
    """Whether the model's name is a Hub id; an existing folder of that name wins."""
    name = settings.model
    is_path = name.startswith(("/", ".", "~")) or Path(name).expanduser().is_dir()
    return name != _EMBEDDED and not is_path


def is_followed(settings: AtlasSettings) -> bool:
    """Whether the model can change under its name: a branch or tag on the Hub."""
    return lies_on_hub(settings) and not is_full_sha(settings.model_revision)


def pin_path(settings: AtlasSettings) -> UPath:
    """The path of the pin, whether or not there is one."""
    return _data_dir(settings) / f"{settings.atlas_name}.model.json"


def pin_of(settings: AtlasSettings) -> Pin | None:
    """The pin of the atlas; ``None`` before there is one, and where the model is not followed.

    Raises:
        UnreadableArtifactError: the pin cannot be read.
        DamagedArtifactError: it is no pin, or names a folder that does not belong to this atlas.
        ProvenanceError: the pin is of another model than the settings name.
    """
    if not is_followed(settings):
        return None
    path = pin_path(settings)
    try:
        pin = Pin.model_validate(unsealed(read_json(content(path)), since=_FORMAT_VERSION))
        _require_own_folders(settings, pin)
    except MissingArtifactError:
        return None
    except ValueError as error:  # pydantic's errors are ValueErrors
        raise DamagedArtifactError(
            f"{_WHAT} cannot be used",
            where=str(path),
            expected=f"a JSON record of format version {_FORMAT_VERSION}, whose folders are named "
            "after the atlas and the first 12 digits of the sha",
            found=_told(error),
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


def _told(error: ValueError) -> str:
    """What is wrong, without the text that was found: it may be another file's, linked here."""
    if not isinstance(error, ValidationError):
        return str(error)
    flaws = error.errors(include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, flaw['loc']))}: {flaw['msg']}" for flaw in flaws)


def _require_own_folders(settings: AtlasSettings, pin: Pin) -> None:
    for version in pin.versions:
        if version.folder not in (settings.atlas_name, _folder_of(settings, version.sha)):
            raise ValueError(f"{version.folder!r} is no folder of a version of this atlas")


def known(settings: AtlasSettings) -> Pin | None:
    """The pin, or where there is none, what the folders say it was; raises what `pin_of` does."""
    return pin_of(settings) or (_told_by_folders(settings) if is_followed(settings) else None)


def known_sha(settings: AtlasSettings) -> str | None:
    """The sha of the version that runs work on, as far as it is known without asking the Hub."""
    pin = known(settings)
    return pin.latest.sha if pin else None


def folder_in_force(settings: AtlasSettings) -> UPath:
    """The path of the folder that readers use, whether or not it is there."""
    pin = known(settings)
    return _data_dir(settings) / (pin.in_force.folder if pin else settings.atlas_name)


def folder_to_build(settings: AtlasSettings) -> UPath:
    """The path of the folder that runs work on, whether or not it is there."""
    pin = known(settings)
    return _data_dir(settings) / (pin.latest.folder if pin else settings.atlas_name)


def is_begun(settings: AtlasSettings, version: Version) -> bool:
    """Whether there is any file of this version of the atlas."""
    return any(map(artifact_of_file, file_names(_data_dir(settings) / version.folder)))


def look_up(settings: AtlasSettings) -> Pin:
    """Ask the Hub which commit the followed revision means now, and move the pin. One request.

    Where the Hub does not say (HubError), the pin stays as it is.
    """
    from atlas_assets.hub_client.client import HubClient
    from atlas_assets.hub_client.repository import Repository

    repository = Repository(HubClient().interactive(), settings.model, "model")
    sha = repository.head(settings.model_revision)
    return seen(settings, sha)


def seen(settings: AtlasSettings, sha: str) -> Pin:
    """Note that the followed revision means ``sha`` now; return the pin.

    Where there is no atlas yet, that version is in force at once; otherwise it is to be built.
    """

    def moved(pin: Pin | None) -> Pin:
        pin = pin or _first(settings, sha)
        building = None if sha == pin.in_force.sha else _version(settings, pin, sha)
        return pin.model_copy(update={"building": building})

    return _change(settings, moved)


def pin_first(settings: AtlasSettings, sha: str) -> Pin:
    """Return the pin; where there is none, write one: what the folders say, else ``sha``."""
    return _change(settings, lambda pin: pin or _first(settings, sha))


def promote(settings: AtlasSettings, sha: str) -> Pin | None:
    """Put a version in force that has passed its checks; return the pin, if the model has one.

    A still newer version that has been seen meanwhile stays the one that is being built.
    """

    def promoted(pin: Pin | None) -> Pin:
        pin = pin or _first(settings, sha)
        if sha == pin.in_force.sha:
            return pin
        return pin.model_copy(
            update={
                "in_force": _version(settings, pin, sha),
                "building": pin.building if pin.latest.sha != sha else None,
                "earlier": (*(v for v in pin.earlier if v.sha != sha), pin.in_force),
            }
        )

    return _change(settings, promoted) if is_followed(settings) else None


def _change(settings: AtlasSettings, change: Callable[[Pin | None], Pin]) -> Pin:
    """Write what ``change`` makes of the pin, unless it is the same; one process at a time."""
    pin = pin_of(settings)
    # who may only read has nothing to lock as long as there is nothing to write
    if pin is not None and change(pin) == pin:
        return pin
    path = pin_path(settings)
    with exclusive(path, what=_WHAT):
        while True:  # where there are no locks, until nobody else has changed it meanwhile
            earlier = file_state(path)
            pin = pin_of(settings)
            changed = change(pin)
            if pin is not None and changed.in_force != pin.in_force:
                _note_in_force(settings, changed.in_force)
            if changed == pin:
                return changed
            fields = {**changed.model_dump(mode="json"), "format_version": _FORMAT_VERSION}
            text = f"{json.dumps(sealed(fields), indent=1)}\n".encode()
            if atomic.write_if_unchanged(path, text, earlier, what=_WHAT):
                return changed


def _first(settings: AtlasSettings, sha: str) -> Pin:
    """The pin that is to be written where there is none."""
    told, first = _told_by_folders(settings), Version(sha=sha, folder=settings.atlas_name)
    return told or Pin(model=settings.model, revision=settings.model_revision, in_force=first)


def _version(settings: AtlasSettings, pin: Pin, sha: str) -> Version:
    """The version of a sha; one that the pin knows has its folder already."""
    new = Version(sha=sha, folder=_folder_of(settings, sha))
    return next((version for version in pin.versions if version.sha == sha), new)


def _told_by_folders(settings: AtlasSettings) -> Pin | None:
    """The pin that was lost, or that of an atlas made before there were pins."""
    found = []
    for folder in _folders(settings):
        sha = _recorded_sha(settings, folder)
        if sha and folder.name in (settings.atlas_name, _folder_of(settings, sha)):
            note = _note(folder)
            number = note.number if note and note.sha == sha else 0
            rank = (number, folder.name == settings.atlas_name, len(file_names(folder)))
            found.append((rank, Version(sha=sha, folder=folder.name)))
    if not found:
        return None
    *others, (_, last) = sorted(found, key=lambda item: item[0])
    # one that was never in force is unfinished, and not an earlier version
    return Pin(
        model=settings.model,
        revision=settings.model_revision,
        in_force=last,
        earlier=tuple(version for (number, plain, _), version in others if number or plain),
    )


def _folders(settings: AtlasSettings) -> list[UPath]:
    """The folders that may hold versions of the atlas, by name, the last one first."""
    data, name = _data_dir(settings), settings.atlas_name
    later = {path.name for path in data.glob(f"{name}@*")} if is_folder(data) else ()
    return [*(data / folder for folder in sorted(later, reverse=True)), data / name]


def _folder_of(settings: AtlasSettings, sha: str) -> str:
    return f"{settings.atlas_name}@{sha[:12]}"


def _recorded_sha(settings: AtlasSettings, folder: UPath) -> str | None:
    """The commit of the model that the files in a folder were made with."""
    for artifact in ARTIFACTS.values():
        if artifact.runs_model and is_there(folder / artifact.filename):
            stored = codec_of(artifact).provenance(folder / artifact.filename)
            model = stored.lineage.model if stored and stored.lineage else None
            if model and model.model_id == settings.model and is_full_sha(model.revision):
                return model.revision
    return None


def _note(folder: UPath) -> _Note | None:
    try:
        told = read_json(content(folder / FOLDER / _NOTE))
        return _Note.model_validate(unsealed(told, since=_FORMAT_VERSION))
    except (ValueError, MissingArtifactError):
        return None


def _note_in_force(settings: AtlasSettings, version: Version) -> None:
    folder = _data_dir(settings) / version.folder
    if is_folder(folder):
        notes = [note for other in _folders(settings) if (note := _note(other))]
        number = 1 + max((note.number for note in notes), default=0)
        text = f"{json.dumps(sealed(_Note(sha=version.sha, number=number).model_dump()))}\n"
        atomic.write_bytes(folder / FOLDER / _NOTE, text.encode(), what="the note of a version")


def _data_dir(settings: AtlasSettings) -> UPath:
    return folder_at(settings.data_dir)


def _named(model: str, revision: str | None) -> str:
    return model if revision is None else f"{model} at {revision}"
