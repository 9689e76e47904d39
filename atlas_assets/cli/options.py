"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from atlas_assets.science.sweep import REFERENCE, Setting

#: what ε and C may be
EPSILON = click.FloatRange(min=0)
CONSISTENCY = click.FloatRange(min=0, min_open=True, max=1)
Function = TypeVar("Function", bound=Callable[..., Any])


def at_setting(function: Function) -> Function:
    """``--epsilon`` and ``--consistency`` of one setting, the reference setting by default."""
    for name, short, allowed, default, meaning in (
        ("--consistency", "-c", CONSISTENCY, REFERENCE.consistency, "C of the setting."),
        ("--epsilon", "-e", EPSILON, REFERENCE.epsilon, "ε of the setting."),
    ):
        option = click.option(
            name, short, type=allowed, default=default, show_default=True, help=meaning
        )
        function = option(function)
    return function


def as_json(setting: Setting) -> dict[str, float]:
    """A setting in a JSON document."""
    return {"epsilon": setting.epsilon, "consistency": setting.consistency}
