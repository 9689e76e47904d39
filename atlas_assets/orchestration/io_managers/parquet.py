"""Prompts and the sweep's universal masks as parquet."""

from __future__ import annotations

from atlas_assets.orchestration.io_managers.base import AtlasIOManager


class ParquetIOManager(AtlasIOManager):
    """Prompts (``11*``, ``token_checker_prompts``) and the sweep's universal masks."""

    kind = "parquet"
