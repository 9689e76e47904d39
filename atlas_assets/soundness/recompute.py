"""Computing an artifact again, from what an atlas holds, without Dagster and without the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.setting import Setting


@dataclass(frozen=True)
class Recomputation:
    """What `Artifact.compute` is given where nothing is made, only compared or observed.

    It is the part of `atlas_assets.stages.making.Making` that is needed by artifacts which follow
    from their inputs alone.

    Attributes:
        sweep: the settings of the atlas.
        partition: the partition that is computed, where the artifact has one file for each.
        reader: reads an input, given its key, partition and part.
        universals: gives the universal masks at a setting.
        any_universals: gives the universal masks at whatever setting there is.
    """

    sweep: Sequence[Setting]
    partition: Setting | None
    reader: Callable[[str, Setting | None, str | None], Any]
    universals: Callable[[Setting], Masks]
    any_universals: Callable[[], Masks]

    def read(self, key: str, partition: Setting | None = None, part: str | None = None) -> Any:
        """Return the value of an input."""
        return self.reader(key, partition, part)

    def universal(self, setting: Setting) -> Masks:
        """Return the universal masks at ``setting``."""
        return self.universals(setting)

    def any_universal(self) -> Masks:
        """Return the universal masks at whatever setting there is."""
        return self.any_universals()

    def require_in_sweep(self, setting: Setting) -> None:
        """Accept any setting: what is on disk decides."""

    def warn(self, sentence: str) -> None:
        """Tell nobody: what is left out was told when the artifact was made."""

    def note(self, **values: Any) -> None:
        """Keep nothing."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ArtifactError(
            f"the artifact cannot be computed again: it needs `Making.{name}`",
            expected="an artifact that follows from its inputs alone",
            remedy="materialise it",
        )

    def compute(self, artifact: Artifact) -> Any:
        """Return the value of an artifact that follows from its inputs alone.

        Raises:
            ArtifactError: an input cannot be had, or the artifact needs more than its inputs.
        """
        return artifact.compute(cast(Making, self))
