"""Several checkpoints of one training run: each has an atlas of its own.

``ATLAS_MODEL`` names a series where it is a folder of checkpoints' folders, and no checkpoint
itself, or where ``ATLAS_MODEL_REVISION`` names several revisions of a Hub model.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlas_assets.atlas.versions import lies_on_hub
from atlas_assets.errors import SettingsError, expect
from atlas_assets.files.digests import short_digest
from atlas_assets.settings import LONGEST_NAME, AtlasSettings
from atlas_assets.storage.provenance import Provenance

_CONFIG = "config.json"
#: how many checkpoints a message names
_NAMED = 5


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint of a series.

    Attributes:
        label: the name of its folder, or its revision.
        settings: the settings of its atlas.
    """

    label: str
    settings: AtlasSettings

    @property
    def step(self) -> int | None:
        """The last whole number in the label; ``None`` where there is none."""
        numbers = re.findall(r"\d+", self.label)
        return int(numbers[-1]) if numbers else None


def checkpoints(settings: AtlasSettings) -> tuple[Checkpoint, ...]:
    """Return the checkpoints that the settings name; none where they name one model.

    Folders come in the order of their names, whose numbers count as numbers; revisions in the
    order in which they are named.
    """
    field, names = "model_revision", _revisions(settings)
    if len(names) < 2:
        field, names = "model", _folders(settings)
    if len(names) < 2:
        return ()
    found = []
    for label, value in names.items():
        _require_name(label)
        changes = {field: value}
        if settings.name is not None:
            changes["name"] = _named(settings.name, label)
        found.append(Checkpoint(label, settings.model_copy(update=changes)))
    return tuple(found)


def passed_over(settings: AtlasSettings) -> tuple[str, ...]:
    """Return the folders beside those of a series that are no checkpoints, by name.

    They have no ``config.json``. Hidden ones are left out, and there are none where the settings
    name revisions or one model.
    """
    series = checkpoints(settings)
    if not series or lies_on_hub(settings):
        return ()
    taken = {checkpoint.label for checkpoint in series}
    children = Path(settings.model).expanduser().iterdir()
    others = [
        child.name
        for child in children
        if child.name not in taken and not child.name.startswith(".") and child.is_dir()
    ]
    return tuple(sorted(others, key=_key))


def other_tokenizers(records: Mapping[str, Provenance | None]) -> str | None:
    """Say which checkpoints have another tokenizer than the first; nothing where none has.

    Args:
        records: label → what a file of its atlas says about its making.
    """
    known = {
        label: record.lineage.model.tokenizer_sha256
        for label, record in records.items()
        if record and record.lineage and record.lineage.model
        if record.lineage.model.tokenizer_sha256 is not None
    }
    first = next(iter(known), "")
    others = [label for label, digest in known.items() if digest != known[first]]
    if not others:
        return None
    return (
        f"{listed(others)} {'has' if len(others) == 1 else 'have'} another file of the tokenizer "
        f"than {first}: where prompts are other tokens, circuits differ by that too"
    )


def listed(labels: Sequence[str]) -> str:
    """Name checkpoints in a message: the first few, and that there are more."""
    return ", ".join(labels[:_NAMED]) + (", …" if len(labels) > _NAMED else "")


def _named(name: str, label: str) -> str:
    """The name of a checkpoint's folder of files, other than that of any other label."""
    cleaned = f"{name}--{re.sub('[^A-Za-z0-9._-]+', '-', label)}"
    if cleaned.endswith(label) and len(cleaned) <= LONGEST_NAME:
        return cleaned
    return f"{cleaned[: LONGEST_NAME - 7]}-{short_digest(label)}"


def _require_name(label: str) -> None:
    """Refuse what cannot be the key of a partition."""
    expect(
        label.isprintable() and "..." not in label,
        SettingsError,
        "a checkpoint has a name that cannot be used",
        where="ATLAS_MODEL",
        expected="printable characters without three dots in a row",
        found=repr(label),
        remedy="rename the checkpoint's folder",
    )


def require_one_model(settings: AtlasSettings) -> None:
    """Raise SettingsError where the settings name a series, which is not one atlas."""
    series = checkpoints(settings)
    if series:
        one = series[-1].settings
        which = f"ATLAS_MODEL={one.model}"
        if one.model_revision is not None:
            which += f" ATLAS_MODEL_REVISION={one.model_revision}"
        raise SettingsError(
            "the settings name several checkpoints, each of which has an atlas of its own",
            where="ATLAS_MODEL",
            expected="one model",
            found=f"{len(series)} checkpoints: {listed([one.label for one in series])}",
            remedy=f"name one of them, as {which}; `atlas build` builds all, and `atlas stability` "
            "compares them",
        )


def _revisions(settings: AtlasSettings) -> dict[str, str]:
    if settings.model_revision is None or not lies_on_hub(settings):
        return {}
    parts = [part.strip() for part in settings.model_revision.split(",")]
    return {part: part for part in parts if part}


def _folders(settings: AtlasSettings) -> dict[str, str]:
    folder = Path(settings.model).expanduser()
    if lies_on_hub(settings) or not folder.is_dir() or _is_checkpoint(folder):
        return {}
    found = [child for child in folder.iterdir() if _is_checkpoint(child)]
    return {child.name: str(child) for child in sorted(found, key=lambda child: _key(child.name))}


def _is_checkpoint(folder: Path) -> bool:
    """Whether it is a folder with a configuration, as far as it may be looked into."""
    return os.access(folder / _CONFIG, os.F_OK)


def _key(name: str) -> list[tuple[int, str]]:
    """``step-10`` comes after ``step-9``."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]
