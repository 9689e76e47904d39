"""What users type: settings, and the names of atlases and concepts, completed in the shell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.errors import MissingArtifactError, SettingsError, expect, naming
from atlas_assets.stages.setting import Definition, Partition, Setting, naming_values, number

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from upath import UPath

    from atlas_assets.settings import AtlasSettings

#: click types of the values that ε and C may take
EPSILON = click.FloatRange(min=0)
CONSISTENCY = click.FloatRange(min=0, min_open=True, max=1)

#: how a setting is typed, as help shows it
SETTING_METAVAR = "eps=E,C=C"
_EPSILON, _C = r"(?:(?:ε|epsilon|eps)=?)?([^,=_]+)", r"(?:(?:consistency|cons|[cC])=?)?([^,=_]+)"
_SETTING = re.compile(f"{_EPSILON}[,_]{_C}")


def typed_setting(text: str) -> Setting:
    """Read a setting as it is printed, ``ε=0.5, C=0.8``, or typed: ``eps=0.5,C=0.8``, ``0.5,0.8``.

    ε comes first. Raises SettingsError for another text, or where a value is out of range.
    """
    match = _SETTING.fullmatch(text.replace(" ", ""))
    try:
        values = [number(part) for part in match.groups()] if match else []
    except ValueError:
        values = []
    expect(
        len(values) == 2,
        SettingsError,
        "not a setting",
        where="--setting",
        expected="ε and C, as eps=0.5,C=0.8",
        found=repr(text),
        remedy="write ε, a comma and C" + ("; with |, C comes first" if "|" in text else ""),
    )
    with naming_values("--setting", "--setting"):
        return Setting(*values)


def typed_definition(text: str) -> str:
    """Return the name that tables have for a definition: ``published@.1,0.8`` → ``…@0.1,0.8``.

    Another text is returned as it is.
    """
    with suppress(SettingsError):
        return str(Definition.of_partition_key(text))
    return text


def as_json(setting: Partition | None) -> dict[str, float | str | None]:
    """Return the keys that stand for a partition in a JSON document, ``null`` without a setting."""
    if isinstance(setting, Setting):
        return {"epsilon": setting.epsilon, "consistency": setting.consistency}
    definition = {"definition": str(setting)} if setting else {}
    return {"epsilon": None, "consistency": None, **definition}


def with_options(
    values: Mapping[str, Any], options: Mapping[str, tuple[str, str | None]]
) -> AtlasSettings:
    """Return the settings of an atlas, with values from a command's options in place of some.

    Raises SettingsError where a value is out of range, and names the option that it came from.

    Args:
        values: the settings in force, field → value.
        options: field → name of its option and what was given there; ``None``: nothing.
    """
    from atlas_assets.settings import AtlasSettings, env_name

    given = {field: value for field, (_, value) in options.items() if value is not None}
    with naming({env_name(field): options[field][0] for field in given}, "option"):
        return AtlasSettings.build(**{**values, **given})


def named_atlas(typed: str) -> UPath:
    """Return the folder of an atlas: at the path typed, or of that name under ATLAS_DATA_DIR.

    Raises MissingArtifactError where there is no such folder, or no file of an atlas in it.
    """
    from atlas_assets.atlas.open import require_atlas
    from atlas_assets.files.locations import is_there
    from atlas_assets.files.remote import folder_at
    from atlas_assets.settings import AtlasSettings

    if not typed.strip():
        raise click.UsageError("name an atlas, and not an empty text")
    places = [folder_at(typed)]
    if "://" not in typed and not Path(typed).is_absolute():
        places.append(folder_at(AtlasSettings.from_env().data_dir) / typed)
    for place in places:
        with suppress(MissingArtifactError):
            require_atlas(place)
            return place
    there = [place for place in places if is_there(place)]
    if there or len(places) == 1:
        require_atlas((there or places)[0])
    raise MissingArtifactError(
        "there is no atlas",
        where=typed,
        expected="the path of an atlas, or the name of one under ATLAS_DATA_DIR",
        found=f"neither {' nor '.join(map(str, places))}",
        remedy="correct the path or the name, or ATLAS_DATA_DIR; `atlas build` builds one, "
        "`atlas fetch` fetches one",
    )


def complete_concept(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """Complete a typed name: concepts in force whose full or bare names begin with it."""
    from click.shell_completion import CompletionItem

    from atlas_assets.atlas.concept_names import bare_name
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.stages.prompts.inventory import inventory_of
    from atlas_assets.storage import trust  # noqa: F401 - judges a file of own prompts

    return [
        CompletionItem(word)
        for concept in inventory_of(AtlasSettings.from_env()).concepts
        for word in (concept, bare_name(concept))
        if word.startswith(incomplete)
    ]
