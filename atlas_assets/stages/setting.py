"""The (ε, C) settings at which activations become masks (paper §5, stage 13).

ε is the mean |readout| a neuron must exceed; C, the consistency, is the share of prompts on which
it must fire. The published sweep is 3 × 3; the reference setting is ε = 0.5, C = 0.8.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from numbers import Real

from atlas_assets.errors import SettingsError, naming

#: the definition of a circuit that the paper gives
PUBLISHED = "published"
_DEFINITION = re.compile(r"[a-z][a-z0-9_]*")
_FILE_TAG = re.compile(r"eps(?P<epsilon>[^_]+)_cons(?P<consistency>[^_]+)")


@dataclass(frozen=True, order=True)
class Setting:
    """One (ε, C) point of the sweep; orders by ε, then C.

    Attributes:
        epsilon: The threshold on the mean |readout|, a finite number ≥ 0 (units of the readout).
        consistency: The smallest share of prompts on which a neuron fires, in (0, 1].

    Raises:
        SettingsError: A value is outside its range.
    """

    epsilon: float
    consistency: float

    def __post_init__(self) -> None:
        if not (_is_finite(self.epsilon) and math.copysign(1, self.epsilon) > 0):
            expected = "a finite number ≥ 0, such as 0.001, 0.1 or 0.5"
            raise _out_of_range("epsilon", "ATLAS_EPSILONS", expected, self.epsilon)
        if not (_is_finite(self.consistency) and 0 < self.consistency <= 1):
            expected = "a number in (0, 1], such as 0.2, 0.5 or 0.8"
            raise _out_of_range("consistency", "ATLAS_CONSISTENCIES", expected, self.consistency)

    @property
    def file_tag(self) -> str:
        """The published spelling in file names, e.g. ``eps0.5_cons0.8``."""
        return f"eps{spell(self.epsilon)}_cons{spell(self.consistency)}"

    @property
    def partition_key(self) -> str:
        """Dagster's key of the partition, ``consistency|epsilon``: ``0.8|0.5`` is C=0.8, ε=0.5."""
        return f"{spell(self.consistency)}|{spell(self.epsilon)}"

    @classmethod
    def of_partition_key(cls, key: str) -> Setting:
        """Read a partition key: ``"0.8|0.5"`` → ``Setting(epsilon=0.5, consistency=0.8)``.

        Another text, or a value out of range, is a SettingsError.
        """
        try:
            consistency, epsilon = map(number, str(key).split("|"))
        except ValueError:
            raise SettingsError(
                "not a partition of the sweep",
                where="the partition key",
                expected="consistency|epsilon, for example 0.8|0.5",
                found=repr(str(key)),
                remedy="pass --partition '0.8|0.5'",
            ) from None
        with naming_values(*(f"the key {key}",) * 2):
            return cls(epsilon=epsilon, consistency=consistency)

    @classmethod
    def of_file_tag(cls, tag: str) -> Setting | None:
        """Read a file tag, such as ``eps0.5_cons0.8``; ``None`` for another text."""
        match = _FILE_TAG.fullmatch(tag)
        try:
            return cls(number(match["epsilon"]), number(match["consistency"])) if match else None
        except (ValueError, SettingsError):
            return None

    def __str__(self) -> str:
        return f"ε={spell(self.epsilon)}, C={spell(self.consistency)}"


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def naming_values(
    epsilon: str, consistency: str, kind: str = "argument"
) -> AbstractContextManager[None]:
    """Within, errors of a `Setting` name what its values were given in (`errors.naming`)."""
    return naming({"ATLAS_EPSILONS": epsilon, "ATLAS_CONSISTENCIES": consistency}, kind)


def _out_of_range(what: str, variable: str, expected: str, found: object) -> SettingsError:
    return SettingsError(
        f"{what} is out of range",
        where=variable,
        expected=expected,
        found=repr(found),
        remedy="correct the value",
    )


def number(text: str) -> float:
    """Read a number; one that is too small to be told from 0, such as 1e-400, is a ValueError."""
    value = float(text)
    if value == 0 and set(text.lower().partition("e")[0]) & set("123456789"):
        raise ValueError("it is too small to be told from 0")
    return value


def spell(value: float) -> str:
    """Return the shortest decimal that reads back as ``value``: ``0.001``, ``0.5``, ``1.0``."""
    return repr(float(value))


PUBLISHED_EPSILONS = (0.001, 0.1, 0.5)
PUBLISHED_CONSISTENCIES = (0.2, 0.5, 0.8)
#: the published values, as an artifact of the whole sweep names them among its departures
PUBLISHED_SWEEP = {"epsilons": PUBLISHED_EPSILONS, "consistencies": PUBLISHED_CONSISTENCIES}
REFERENCE = Setting(epsilon=0.5, consistency=0.8)
#: the setting of the published standalone ``universal_106x50.h5``
STANDALONE = Setting(epsilon=0.001, consistency=0.8)


def grid(epsilons: Iterable[float], consistencies: Iterable[float]) -> tuple[Setting, ...]:
    """Return all settings of a sweep, ε then C ascending, each once."""
    consistencies = tuple(consistencies)
    return tuple(sorted({Setting(e, c) for e in epsilons for c in consistencies}))


@dataclass(frozen=True)
class Definition:
    """A definition of a circuit, and the setting that it takes where that is part of its name.

    Definitions are in the order of their partition keys.

    Attributes:
        name: Such as ``calibrated``.
        setting: The (ε, C) of ``published@0.001,0.8``; ``None`` for other definitions.
    """

    name: str
    setting: Setting | None = None

    @property
    def partition_key(self) -> str:
        """Dagster's key of the partition, and the name in tables: ``published@0.001,0.8``."""
        if self.setting is None:
            return self.name
        return f"{self.name}@{spell(self.setting.epsilon)},{spell(self.setting.consistency)}"

    @property
    def file_tag(self) -> str:
        """The spelling in file names, such as ``published-eps0.001_cons0.8``."""
        return f"{self.name}-{self.setting.file_tag}" if self.setting else self.name

    @classmethod
    def of_partition_key(cls, key: str) -> Definition:
        """Read a partition key; another text is a SettingsError.

        The published definition at the reference setting is named without it.
        """
        name, at, setting = str(key).partition("@")
        try:
            with naming_values(*(f"the key {key}",) * 2):
                found = cls(name, Setting(*map(number, setting.split(","))) if at else None)
        except (ValueError, TypeError):
            found = cls("")
        if _DEFINITION.fullmatch(found.name) is None or (at and name != PUBLISHED):
            raise SettingsError(
                "not a definition of circuits",
                where="definition",
                expected="a name such as calibrated, or published@0.001,0.8",
                found=repr(str(key)),
                remedy="name a definition of the atlas, such as published",
            )
        return cls(PUBLISHED) if found.setting == REFERENCE else found

    @classmethod
    def of_file_tag(cls, tag: str) -> Definition | None:
        """Read a file tag; ``None`` for another text."""
        name, dash, setting = tag.partition("-")
        at = Setting.of_file_tag(setting) if dash else None
        if _DEFINITION.fullmatch(name) is None or (dash and (at is None or name != PUBLISHED)):
            return None
        return cls(name, at)

    def __lt__(self, other: Definition) -> bool:
        return self.partition_key < other.partition_key

    def __str__(self) -> str:
        return self.partition_key


#: what files of one artifact differ in
Partition = Setting | Definition


@dataclass(frozen=True)
class PartitionSpace:
    """What the files of one artifact differ in; Dagster's are in `orchestration/partitions.py`.

    Attributes:
        name: The name of the space.
        of_key: Reads a partition key of Dagster's; raises SettingsError for another text.
        of_file_tag: Reads the part of a file name that tells the partition; ``None`` for another
            text. A partition has a ``file_tag`` of one spelling.
    """

    name: str
    of_key: Callable[[str], Partition]
    of_file_tag: Callable[[str], Partition | None]


#: one file per setting (ε, C)
SWEEP = PartitionSpace("sweep", Setting.of_partition_key, Setting.of_file_tag)
#: one file per definition of a circuit
DEFINITIONS = PartitionSpace("definition", Definition.of_partition_key, Definition.of_file_tag)
