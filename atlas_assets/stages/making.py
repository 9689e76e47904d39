"""What a computation is given: its inputs, the settings in force, the model, a place for remarks.

`Artifact.compute` takes a `Making`, and so knows neither files nor Dagster. There are two of them:
a Dagster step (`atlas_assets.orchestration.making`) and the recomputation of an artifact from the
files of an atlas (`atlas_assets.soundness.evidence`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from atlas_assets.errors import AtlasError
from atlas_assets.stages.activations.activations import Activations, Units
from atlas_assets.stages.activations.stored import AnyActivations
from atlas_assets.stages.masks.masks import Bits, CheckerMasks, Masks, ObjectMasks
from atlas_assets.stages.prompts.tokens import Tokenizer
from atlas_assets.stages.rounding import Reals
from atlas_assets.stages.setting import Definition, Partition, Setting

if TYPE_CHECKING:
    import polars as pl

    from atlas_assets.settings import AtlasSettings
    from atlas_assets.stages.activations.positions import PositionActivations
    from atlas_assets.stages.circuits.samples import Sample
    from atlas_assets.stages.circuits.statistics import Indices
    from atlas_assets.stages.circuits.wiring import Weights
    from atlas_assets.stages.figures.caption import Caption
    from atlas_assets.stages.prompts.inventory import Inventory
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
    def loss_threshold(self) -> float | None:
        """The highest mean loss (nats) at which a pair is kept; ``None``: all are."""

    def score(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """Return the candidates with ``sequence_loss`` (nats) and ``token_length``."""

    def read_object_prompts(self, prompts: pl.DataFrame) -> AnyActivations:
        """Return the sums and counts of every pair of the object prompts."""

    def read(self, units: Units) -> Activations:
        """Return the sums and counts of every unit."""

    def read_positions(self, prompts: pl.DataFrame) -> Sequence[PositionActivations]:
        """Return what the pairs of the object prompts give at their concepts and names."""

    def tokens_read(self, prompts: pl.DataFrame) -> pl.DataFrame:
        """Return the tokens at which they are read there: columns of `read_tokens.SCHEMA`."""

    def attribute(self, sample: Sample) -> tuple[Reals, Reals]:
        """Return mean attributions ``[concepts, layers, width]`` and mean readouts."""

    def ablate(self, texts: Sequence[str], gates: Bits, runs: Indices, means: Reals) -> Reals:
        """Return the losses of runs, each of a prompt with its gates, in nats per token."""

    def weights(self) -> Weights | None:
        """Return the non-zero weights of the blocks; ``None`` where wiring is not applicable."""


class Making(Protocol):
    """What `Artifact.compute` is given.

    Reading raises ArtifactError where a file is missing or damaged.
    """

    @property
    def settings(self) -> AtlasSettings:
        """The settings in force."""

    @property
    def sweep(self) -> Sequence[Setting]:
        """All settings of the sweep, ε then C ascending."""

    @property
    def definitions(self) -> Sequence[Definition]:
        """The definitions of circuits that there are, in the order in which they are told."""

    @property
    def partition(self) -> Partition | None:
        """The partition of the file that is made, where the artifact has one file for each."""

    @property
    def inventory(self) -> Inventory:
        """The concepts in force and their prompts."""

    @property
    def model(self) -> Model:
        """The model in force."""

    def read(self, key: str, partition: Partition | None = None, part: str | None = None) -> Any:
        """Return the validated value of an artifact, or only a ``part`` of it."""

    def universal(self, setting: Setting) -> Masks:
        """Return the universal masks at a setting, as `require_in_sweep` allows it."""

    def any_universal(self) -> Masks:
        """Return the universal masks at any setting: the concepts are the same at each."""

    def is_fresh(self, key: str) -> bool:
        """Return whether the artifact's file is there and follows from what it was made from."""

    def was_made_here(self, key: str) -> bool:
        """Return whether the artifact's file has a record of its making, unlike the release's."""

    def require_in_sweep(self, setting: Setting) -> None:
        """Refuse a setting that the sweep in force does not hold (NotInSweepError).

        The artifact is then skipped with a warning.
        """

    def warn(self, sentence: str) -> None:
        """Tell whoever follows the run."""

    def note(self, **values: Any) -> None:
        """Keep numbers with the result, to be plotted over runs or partitions."""

    def remark(self, text: str) -> None:
        """Put a sentence into the record of the file."""

    def caption(
        self, key: str, setting: Setting | None = None, notes: Sequence[str] = ()
    ) -> Caption:
        """Return what a figure drawn from the artifact ``key`` is titled with."""

    def claims(self) -> Sequence[ClaimResult]:
        """Return the paper's claims, evaluated on the files of the atlas."""

    def page(self) -> Page:
        """Return the content of the report of the atlas."""


def setting_made(making: Making) -> Setting:
    """Return the setting of the file that is made, for an artifact that has one file for each."""
    if isinstance(making.partition, Setting):
        return making.partition
    raise ValueError("the artifact is made at a setting, and none is given")


def definition_made(making: Making) -> Definition:
    """Return the definition of the file that is made, for an artifact that has one for each."""
    if isinstance(making.partition, Definition):
        return making.partition
    raise ValueError("the artifact is made by a definition, and none is given")


def object_masks_at(making: Making, setting: Setting) -> tuple[Masks, Masks]:
    """Return the pair masks and the universal masks at a setting, read from its file.

    Raises:
        NotInSweepError: The sweep in force does not hold the setting.
    """
    making.require_in_sweep(setting)
    found: ObjectMasks = making.read("object_masks", setting)
    return found.whole_pairs(), found.universal


def with_universal(making: Making, checker: CheckerMasks, universal: Masks) -> Masks:
    """Return the checker masks of the concepts that have a universal mask; warn of the others.

    The loss filter drops a pair whole; a concept that lost all its pairs has keyword prompts still.
    The release leaves such a concept out of its tables, and so do we.
    """
    masks, concepts = checker.masks, set(universal.names)
    missing = sorted(set(masks.names) - concepts)
    if not missing:
        return masks
    making.warn(
        f"{', '.join(missing)}: no universal mask (the loss filter dropped every pair), so left "
        "out; ATLAS_LOSS_THRESHOLD keeps more pairs"
    )
    return masks.select(concepts.intersection(masks.names))
