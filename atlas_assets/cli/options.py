"""Options that several commands share, and settings made from options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.errors import SettingsError
from atlas_assets.stages.setting import Setting

if TYPE_CHECKING:
    from atlas_assets.settings import AtlasSettings

#: click types of the values that ε and C may take
EPSILON = click.FloatRange(min=0)
CONSISTENCY = click.FloatRange(min=0, min_open=True, max=1)


def as_json(setting: Setting) -> dict[str, float]:
    """Return the two keys that stand for a setting in a JSON document."""
    return {"epsilon": setting.epsilon, "consistency": setting.consistency}


def with_options(
    values: Mapping[str, Any], options: Mapping[str, tuple[str, str | None]]
) -> AtlasSettings:
    """Return the settings of an atlas, with values from a command's options in place of some.

    Args:
        values: the settings in force, field → value.
        options: field → name of its option and what was given there; ``None``: nothing.

    Raises:
        SettingsError: a value is out of range; it names the option that it came from.
    """
    from atlas_assets.settings import AtlasSettings, env_name

    given = {field: value for field, (_, value) in options.items() if value is not None}
    try:
        return AtlasSettings.build(**{**values, **given})
    except SettingsError as error:
        named = {env_name(field): options[field][0] for field in given}
        if error.where not in named:
            raise
        raise SettingsError(
            "an option is not usable",
            where=named[error.where],
            expected=error.expected,
            found=error.found,
            remedy="correct the option, or leave it out",
        ) from None
