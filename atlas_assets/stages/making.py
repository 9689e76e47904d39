"""What a computation is given: its inputs, the settings in force, the model, a place for remarks.

`Artifact.compute` takes a `Making`, and so knows neither files nor Dagster. A Dagster step and the
evidence of the claims are the two that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from atlas_assets.errors import AtlasError, MissingArtifactError
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.units import Units
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks
from atlas_assets.stages.prompts.tokens import Tokenizer
from atlas_assets.stages.setting import Setting

if TYPE_CHECKING:
    import polars as pl

    from atlas_assets.settings import AtlasSettings
    from atlas_assets.stages.figures.caption import Caption
    from atlas_assets.stages.report.claims import ClaimResult
    from atlas_assets.stages.report.page import Page


class NotInSweepError(AtlasError):
    """An artifact speaks of a setting that the sweep in force does not hold."""


class Model(Protocol):
    """The model, as far as a stage needs it."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""

    @property
    def loss_threshold(self) -> float:
        """The highest mean loss (nats) at which a pair is kept."""

    def score(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """The candidates with ``sequence_loss`` (nats) and ``token_length``."""

    def read_object_prompts(self, prompts: pl.DataFrame) -> Activations:
        """Sums and counts of every pair of the object prompts."""

    def read(self, units: Units) -> Activations:
        """Sums and counts of every unit."""


class Making(Protocol):
    """What `Artifact.compute` is given."""

    @property
    def settings(self) -> AtlasSettings:
        """The settings in force."""

    @property
    def sweep(self) -> Sequence[Setting]:
        """All settings of the sweep, ε then C ascending."""

    @property
    def partition(self) -> Setting | None:
        """The partition that is made, where the artifact has one file for each."""

    @property
    def model(self) -> Model:
        """The model in force."""

    def read(self, key: str, partition: Setting | None = None, part: str | None = None) -> Any:
        """The value of an artifact, validated; with ``part``, that part of it only.

        Raises:
            ArtifactError: it is missing or damaged.
        """

    def universal(self, setting: Setting) -> Masks:
        """The universal masks at ``setting``.

        Raises:
            NotInSweepError: the sweep in force does not hold the setting.
        """

    def any_universal(self) -> Masks:
        """The universal masks at any setting: which concepts there are is the same at each.

        Raises:
            ArtifactError: there are none.
        """

    def was_made_here(self, key: str) -> bool:
        """Whether the artifact's file has a record of its making; one of the release has none."""

    def require_in_sweep(self, setting: Setting) -> None:
        """Refuses a setting that the sweep in force does not hold.

        Raises:
            NotInSweepError: it does not; the artifact is then skipped with a warning.
        """

    def warn(self, sentence: str) -> None:
        """Tells whoever follows the run."""

    def note(self, **values: Any) -> None:
        """Keeps numbers with the result, to be plotted over runs or partitions."""

    def caption(
        self, key: str, setting: Setting | None = None, notes: Sequence[str] = ()
    ) -> Caption:
        """What a figure drawn from the artifact ``key`` is titled with."""

    def claims(self) -> Sequence[ClaimResult]:
        """The paper's claims, evaluated on what lies in the atlas."""

    def page(self) -> Page:
        """What stands in the report of the atlas."""


def object_masks_at(making: Making, setting: Setting) -> tuple[Masks, Masks]:
    """The pair masks and the universal masks at ``setting``, read from its file.

    Raises:
        NotInSweepError: the sweep in force does not hold the setting.
        ArtifactError: the file has no pair masks.
    """
    making.require_in_sweep(setting)
    found: ObjectMasks = making.read("object_masks", setting)
    if found.pairs is None:
        raise MissingArtifactError(
            f"the pair masks at {setting} cannot be had",
            where="object_masks",
            expected="pair masks and universal masks",
            found="universal masks alone",
            remedy="materialise object_masks again",
        )
    return found.pairs, found.universal


def with_universal(making: Making, checker: CheckerMasks, universal: Masks) -> Masks:
    """The checker masks of the concepts that have a universal mask; the others in a warning.

    The loss filter drops a pair whole; a concept that lost all its pairs has keyword prompts still.
    The release leaves such a concept out of its tables, and so do we.
    """
    masks = checker.masks
    missing = sorted(set(masks.names) - set(universal.names))
    if not missing:
        return masks
    making.warn(
        f"{', '.join(missing)}: no universal mask (the loss filter dropped every pair), so left "
        "out; ATLAS_LOSS_THRESHOLD keeps more pairs"
    )
    return masks.select(tuple(name for name in masks.names if name in set(universal.names)))
