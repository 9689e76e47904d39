"""The versions of an atlas whose model is followed: which is in force, which is being built.

A Hub model that is named by a branch or tag (or by nothing: its main branch) may become another
model any day. What it is for this atlas, its *version*, is a commit sha, and a small file beside
the atlas's folder pins it, ``<data dir>/<atlas>.model.json``:

* Runs never ask the Hub what the branch means: they build the pinned version. The first run
  without a pin writes it; after that only `seen` (the poll, ``atlas follow``) moves it.
* Each version has a folder of its own. The first one lies in ``<atlas>``, as the atlas of a model
  that is not followed; each later one beside it in ``<atlas>@<first 12 digits of the sha>``.
* Readers use the version *in force*. A newer one is *being built* until it is complete and has
  passed its blocking checks; then `promote` puts it in force. Nothing is ever deleted.

A model that cannot change under its name (embedded, a folder, a full sha) has no pin; its files
lie in ``<atlas>``.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from upath import UPath

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.formats import atomic
from atlas_assets.formats.catalog import ARTIFACTS
from atlas_assets.formats.provenance import Lineage
from atlas_assets.settings import AtlasSettings

FORMAT_VERSION = 1
_EMBEDDED = "embedded"
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
            remedy="remove it: the next run writes it anew from the atlas beside it",
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


def pin_path(settings: AtlasSettings) -> UPath:
    """Where the pin lies, there or not."""
    return _data_dir(settings) / f"{settings.atlas_name}.model.json"


def folder_in_force(settings: AtlasSettings) -> UPath:
    """The folder that readers use, there or not."""
    pin = pin_of(settings)
    return _data_dir(settings) / (pin.in_force.folder if pin else settings.atlas_name)


def folder_to_build(settings: AtlasSettings) -> UPath:
    """The folder that runs work on, there or not."""
    pin = pin_of(settings)
    return _data_dir(settings) / (pin.latest.folder if pin else settings.atlas_name)


def known_sha(settings: AtlasSettings) -> str | None:
    """The sha that runs work on, without asking the Hub: as pinned, else as the files there say."""
    pin = pin_of(settings)
    if pin is not None:
        return pin.latest.sha
    return _recorded_sha(settings) if is_followed(settings) else None


def look_up(settings: AtlasSettings) -> Pin:
    """Asks the Hub which commit the followed revision is now, and notes it. One request.

    Raises:
        HubError: the Hub does not say; the pin stays as it is.
    """
    from atlas_assets.hub.client import default_client
    from atlas_assets.hub.repository import head

    sha = head(default_client().interactive(), settings.model, "model", settings.model_revision)
    return seen(settings, sha)


def seen(settings: AtlasSettings, sha: str) -> Pin:
    """Notes that the followed revision now means ``sha``; the first one is in force at once.

    An atlas that is there already, made before there was a pin, stays the one in force.
    """
    pin = pin_first(settings, _recorded_sha(settings) or sha)
    building = None if sha == pin.in_force.sha else _version(settings, pin, sha)
    if building != pin.building:
        pin = pin.model_copy(update={"building": building})
        _write(settings, pin)
    return pin


def pin_first(settings: AtlasSettings, sha: str) -> Pin:
    """The pin; where there is none yet, one with ``sha`` in force, in the plain folder."""
    pin = pin_of(settings)
    if pin is None:
        first = Version(sha=sha, folder=settings.atlas_name)
        pin = Pin(model=settings.model, revision=settings.model_revision, in_force=first)
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
    _write(settings, pin)
    return pin


def _version(settings: AtlasSettings, pin: Pin, sha: str) -> Version:
    """The version of a sha; one that has been in force has its folder already."""
    for known in (*pin.earlier, pin.building):
        if known is not None and known.sha == sha:
            return known
    return Version(sha=sha, folder=f"{settings.atlas_name}@{sha[:12]}")


def _recorded_sha(settings: AtlasSettings) -> str | None:
    """The model's sha according to the files in the plain folder, made before there was a pin."""
    folder = _data_dir(settings) / settings.atlas_name
    for artifact in ARTIFACTS.values():
        if not artifact.runs_model or not (folder / artifact.filename).exists():
            continue
        stored = artifact.format.provenance(folder / artifact.filename)
        lineage = stored.lineage if stored and stored.lineage else Lineage()
        if lineage.model and lineage.model.model_id == settings.model and lineage.model.revision:
            return lineage.model.revision
    return None


def _write(settings: AtlasSettings, pin: Pin) -> None:
    text = f"{pin.model_dump_json(indent=1)}\n"
    atomic.write_bytes(pin_path(settings), text.encode(), what="the record of the model's versions")


def _data_dir(settings: AtlasSettings) -> UPath:
    return UPath(settings.data_dir).absolute()


def _named(model: str, revision: str | None) -> str:
    return model if revision is None else f"{model} at {revision}"
