"""The `atlas_assets.stages.making.Making` of a Dagster step: what artifacts are computed with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from atlas_assets.errors import StimulusError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.making import NotInSweepError
from atlas_assets.stages.masks.masks import Masks, ObjectMasks, universal_from_table
from atlas_assets.stages.prompts.inventory import Inventory, inventory_of
from atlas_assets.stages.setting import Partition, Setting
from atlas_assets.storage.store import AtlasStore

if TYPE_CHECKING:
    from atlas_assets.orchestration.model_runs import ModelRuns
    from atlas_assets.stages.figures.caption import Caption
    from atlas_assets.stages.report.claims import ClaimResult
    from atlas_assets.stages.report.page import Page


class Step:
    """What a Dagster step hands to `Artifact.compute`.

    Args:
        context: the step's context; its resources are ``settings``, ``store`` and, where the
            artifact runs the model, ``model``.
        artifact: the artifact that is made.
        loaded: the values of inputs that Dagster has loaded, by key.
        partition: the partition that is made, where there is one file for each.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        artifact: Artifact,
        loaded: Mapping[str, Any],
        partition: Partition | None = None,
    ) -> None:
        self._context = context
        self._artifact = artifact
        self._loaded = loaded
        self.partition = partition
        self.settings: AtlasSettings = context.resources.settings
        self.sweep = self.settings.sweep
        self.store: AtlasStore = context.resources.store
        self.definitions = self.store.definitions
        self._remark = ""

    @property
    def inventory(self) -> Inventory:
        """The inventory that the settings name; own prompts as they were when the run began."""
        inventory, grid = inventory_of(self.settings), self.store.expected().grid
        began_with = grid.stimuli_sha256 if grid else None
        if began_with not in (None, inventory.sha256):
            raise StimulusError(
                "the own prompts have changed since the run began",
                where=self.settings.stimuli,
                expected=f"prompts of SHA-256 {began_with}",
                found=str(inventory.sha256),
                remedy="run it again",
            )
        return inventory

    @property
    def model(self) -> ModelRuns:
        """The runs of the model in force, which is loaded when it is first run."""
        from atlas_assets.orchestration.model_runs import ModelRuns

        return ModelRuns(self._context)

    def read(self, key: str, partition: Partition | None = None, part: str | None = None) -> Any:
        """Return an input: the value that Dagster has loaded, else the content of its file."""
        if key in self._loaded:
            found = self._loaded[key]
            return found if partition is None else found[partition.partition_key]
        return self.store.recall(key, partition, part)

    def universal(self, setting: Setting) -> Masks:
        """Return the universal masks at ``setting``, from the input that holds them."""
        self.require_in_sweep(setting)
        if "masks" in self._artifact.inputs:
            return universal_from_table(self.read("masks"), setting)
        found: ObjectMasks = self.read("object_masks", setting, "universal")
        return found.universal

    def any_universal(self) -> Masks:
        """Return the universal masks at the first setting of the sweep."""
        return self.universal(self.sweep[0])

    def is_fresh(self, key: str) -> bool:
        """Return whether the file of the artifact ``key`` is there and up to date."""
        return self.store.exists(key) and self.store.stale_reason(key) is None

    def was_made_here(self, key: str) -> bool:
        """Return whether the file of the artifact ``key`` has a record of its making."""
        return self.store.provenance(key) is not None

    def require_in_sweep(self, setting: Setting) -> None:
        """Raise NotInSweepError where the sweep in force does not hold a setting.

        The artifact is then skipped; it never falls back to another setting.
        """
        if setting not in self.sweep:
            raise NotInSweepError(
                f"{self._artifact.key} is skipped: it speaks of {setting}, which the sweep in "
                "force does not hold (ATLAS_EPSILONS, ATLAS_CONSISTENCIES)"
            )

    def warn(self, sentence: str) -> None:
        """Put a warning into the log of the run."""
        self._context.log.warning(sentence)

    def note(self, **values: Any) -> None:
        """Add metadata to the materialisation, or to that of the partition where there is one."""
        shown = {name: _as_metadata(value) for name, value in values.items()}
        if self.partition is None:
            self._context.add_output_metadata(shown)
        else:
            key = self.partition.partition_key
            self._context.add_asset_metadata(shown, self._artifact.key, key)

    def remark(self, text: str) -> None:
        """Keep a sentence for the record of the file."""
        self._remark = text

    def remarked(self) -> str:
        """Return what is to stand in the record of the file."""
        return self._remark

    def caption(
        self, key: str, setting: Setting | None = None, notes: Sequence[str] = ()
    ) -> Caption:
        """Return the caption of a figure that is drawn from the artifact ``key``."""
        from atlas_assets.soundness.gather import caption_of

        return caption_of(self.store, key, setting=setting, notes=notes)

    def claims(self) -> Sequence[ClaimResult]:
        """Return the paper's claims, evaluated on the files of the atlas."""
        from atlas_assets.soundness.evaluate import evaluate_claims

        return evaluate_claims(self.store, self.settings)

    def page(self) -> Page:
        """Return the report, gathered from the files of the atlas."""
        from atlas_assets.soundness.gather import gather

        return gather(self.store, self.settings, self.claims())


def _as_metadata(value: Any) -> Any:
    if isinstance(value, list):
        return dg.MetadataValue.json(value)
    if isinstance(value, str) and "\n" in value:
        return dg.MetadataValue.md(value)
    return value
