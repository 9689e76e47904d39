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
        read: reads an input, given its key and, where they matter, partition and part.
        universal: gives the universal masks at a setting.
        any_universal: gives the universal masks at whatever setting there is.
    """

    sweep: Sequence[Setting]
    partition: Setting | None
    read: Callable[..., Any]
    universal: Callable[[Setting], Masks]
    any_universal: Callable[[], Masks]

    def require_in_sweep(self, setting: Setting) -> None:
        """Accept any setting: what is on disk decides."""

    def warn(self, sentence: str) -> None:
        """Tell nobody: what is left out was told when the artifact was made."""

    def note(self, **values: Any) -> None:
        """Keep no numbers: a computation that only compares has no run to show them in."""

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
