"""The sweep as Dagster partitions: two dimensions, ``consistency`` and ``epsilon``.

Dagster sorts dimensions by name, so a key reads ``consistency|epsilon``: ``0.8|0.5`` is C = 0.8,
ε = 0.5. Files spell the setting the published way (`Setting.file_tag`).
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from atlas_assets.errors import SettingsError
from atlas_assets.stages.setting import Setting, spell


def sweep_partitions(settings: Iterable[Setting]) -> dg.MultiPartitionsDefinition:
    """The grid of all settings' ε and C values."""
    settings = tuple(settings)
    consistencies = sorted({setting.consistency for setting in settings})
    epsilons = sorted({setting.epsilon for setting in settings})
    return dg.MultiPartitionsDefinition(
        {
            "consistency": dg.StaticPartitionsDefinition([spell(c) for c in consistencies]),
            "epsilon": dg.StaticPartitionsDefinition([spell(e) for e in epsilons]),
        }
    )


def partition_key(setting: Setting) -> dg.MultiPartitionKey:
    """``Setting(0.5, 0.8)`` → ``0.8|0.5``."""
    return dg.MultiPartitionKey(
        {"consistency": spell(setting.consistency), "epsilon": spell(setting.epsilon)}
    )


def setting_of(key: str) -> Setting:
    """``"0.8|0.5"`` → ``Setting(epsilon=0.5, consistency=0.8)``.

    Raises:
        SettingsError: the key is not ``consistency|epsilon`` or a value is out of range.
    """
    try:
        consistency, epsilon = (float(part) for part in str(key).split("|"))
    except ValueError:
        raise SettingsError(
            "not a partition of the sweep",
            where=repr(str(key)),
            expected="consistency|epsilon, for example 0.8|0.5",
            remedy="pass --partition '0.8|0.5'",
        ) from None
    return Setting(epsilon=epsilon, consistency=consistency)
