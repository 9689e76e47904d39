"""``atlas follow``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import FINDING, OK, UNREADABLE, Answer, AnsweringCommand

if TYPE_CHECKING:
    from atlas_assets.atlas.versions import Pin, Version
    from atlas_assets.settings import AtlasSettings


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        OK: "the atlas in force is of the model's head, or the model cannot change",
        FINDING: "a version is to be built, the first or a newer one, or is being built",
        UNREADABLE: "the Hub does not answer, or the record of versions cannot be read",
    },
)
@click.option("--offline", is_flag=True, help="Say what is known, without asking the Hub.")
def follow(offline: bool) -> Answer:
    """Ask the Hub whether the model has changed, and say which version of the atlas is in force.

    One request. A new version is built beside the one in force by the next `make atlas` (or, with
    the daemon, by itself), and takes its place once it has passed its checks.
    """
    from atlas_assets.atlas import versions
    from atlas_assets.settings import AtlasSettings

    settings = AtlasSettings.from_env()
    pin = None
    if versions.is_followed(settings):
        pin = versions.known(settings) if offline else versions.look_up(settings)
    built = pin is not None and versions.is_begun(settings, pin.in_force)
    document = {
        "model": settings.model,
        "followed": versions.is_followed(settings),
        "revision": settings.model_revision,
        "built": built if versions.is_followed(settings) else None,
        "in_force": _record(pin.in_force if pin else None),
        "building": _record(pin.building if pin else None),
        "earlier": [_record(version) for version in pin.earlier] if pin else [],
    }
    code = FINDING if pin and (pin.building or not built) else OK
    return Answer("atlas.follow/1", document, lambda: _text(settings, pin), code)


def _text(settings: AtlasSettings, pin: Pin | None) -> Iterator[str]:
    from atlas_assets.atlas import versions

    revision = settings.model_revision
    yield f"model: {settings.model}" + (f" at {revision}" if revision else "")
    if not versions.is_followed(settings):
        pinned = versions.lies_on_hub(settings)
        why = "ATLAS_MODEL_REVISION is a commit" if pinned else "the model lies on this machine"
        yield f"nothing to follow: {why}"
    elif pin is None:
        yield "no version yet: the first run looks the model up"
    else:
        if versions.is_begun(settings, pin.in_force):
            yield f"in force: {pin.in_force.sha} in {pin.in_force.folder}"
        else:
            yield (
                f"nothing has been built yet: {pin.in_force.sha} is to be, in "
                f"{pin.in_force.folder} (run `make atlas`)"
            )
        for version in pin.earlier:
            yield f"earlier: {version.sha} in {version.folder}"
        if pin.building:
            yield f"to be built: {pin.building.sha} in {pin.building.folder} (run `make atlas`)"


def _record(version: Version | None) -> dict[str, Any] | None:
    return version.model_dump() if version else None
