"""The published result tables as CSV."""

from __future__ import annotations

from atlas_assets.orchestration.io_managers.base import AtlasIOManager


class CsvIOManager(AtlasIOManager):
    """Stage 14 and the downstream tables; provenance lies in ``.provenance/`` beside them."""

    kind = "csv"
