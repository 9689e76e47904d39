"""The files of a user's own that the settings name, looked at before any work is done."""

from __future__ import annotations

from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.circuits.own_circuits import require_concepts, table_of
from atlas_assets.stages.prompts.inventory import inventory_of, require_usable


def require_own_files(settings: AtlasSettings) -> None:
    """Refuse own prompts (or the cut of the paper's) and own circuits that cannot be used.

    What only an atlas can tell of circuits, such as its neurons, is asked when they are judged.

    Raises:
        SettingsError: The cut holds no pair, or the file of circuits cannot be read.
        ArtifactError: The file of circuits names a concept that there is not.
        StimulusError: The file of prompts cannot be used.
    """
    require_usable(settings)
    if settings.circuits:
        concepts = inventory_of(settings).concepts
        require_concepts(table_of(settings.circuits), concepts, where=settings.circuits)
