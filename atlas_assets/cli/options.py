"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from atlas_assets.science.sweep import REFERENCE, Setting

Function = TypeVar("Function", bound=Callable[..., Any])


def at_setting(function: Function) -> Function:
    """``--epsilon`` and ``--consistency`` of one setting, the reference setting by default."""
    for name, short, default, meaning in (
        ("--consistency", "-c", REFERENCE.consistency, "C of the setting."),
        ("--epsilon", "-e", REFERENCE.epsilon, "ε of the setting."),
    ):
        option = click.option(
            name, short, type=float, default=default, show_default=True, help=meaning
        )
        function = option(function)
    return function


def as_json(setting: Setting) -> dict[str, float]:
    """A setting in a JSON document."""
    return {"epsilon": setting.epsilon, "consistency": setting.consistency}
