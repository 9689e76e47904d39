"""``atlas follow``: the versions of the atlas of a model that can change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from atlas_assets.cli.command import FINDING, OK, UNREADABLE, Answer, AnsweringCommand

if TYPE_CHECKING:
    from atlas_assets.atlas.versions import Pin


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

    One request. A new version is built beside the one in force by the next `atlas build` (or, with
    the daemon, by itself), and takes its place once it has passed its checks.
    """
    from atlas_assets.atlas import versions
    from atlas_assets.atlas.series import require_one_model
    from atlas_assets.settings import AtlasSettings

    settings = AtlasSettings.from_env()
    require_one_model(settings)
    followed, pin = versions.is_followed(settings), None
    if followed:
        pin = versions.known(settings) if offline else versions.look_up(settings)
    built = pin is not None and versions.is_begun(settings, pin.in_force)
    told = pin.model_dump() if pin else {}
    document = {
        "model": settings.model,
        "followed": followed,
        "revision": settings.model_revision,
        "built": built if followed else None,
        "in_force": told.get("in_force"),
        "building": told.get("building"),
        "earlier": list(told.get("earlier", ())),
    }

    def text() -> Iterator[str]:
        revision = settings.model_revision
        yield f"model: {settings.model}" + (f" at {revision}" if revision else "")
        if pin is not None:
            yield from _versions(pin, built)
        elif followed:
            yield "no version yet: the first run looks the model up"
        elif versions.lies_on_hub(settings):
            yield "nothing to follow: ATLAS_MODEL_REVISION is a commit"
        else:
            yield "nothing to follow: the model lies on this machine"

    code = FINDING if pin and (pin.building or not built) else OK
    return Answer("atlas.follow/1", document, text, code)


def _versions(pin: Pin, built: bool) -> Iterator[str]:
    sha, folder = pin.in_force.sha, pin.in_force.folder
    if built:
        yield f"in force: {sha} in {folder}"
    else:
        yield f"nothing has been built yet: {sha} is to be, in {folder} (run `atlas build`)"
    for version in pin.earlier:
        yield f"earlier: {version.sha} in {version.folder}"
    if pin.building:
        yield f"to be built: {pin.building.sha} in {pin.building.folder} (run `atlas build`)"
