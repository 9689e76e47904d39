"""Wires everything; the only module that does.

`defs` is what Dagster loads; it reads the settings from the environment when Dagster asks for it.
`build_definitions` gives fresh definitions for any settings, for tests and for embedding.
"""

from __future__ import annotations

from typing import Any

import dagster as dg
from upath import UPath

from atlas_assets.assets.activations import activation_assets
from atlas_assets.assets.analyses import analysis_assets
from atlas_assets.assets.claims_report import claims_report_asset
from atlas_assets.assets.decomposition import decomposition_assets
from atlas_assets.assets.downstream import downstream_assets
from atlas_assets.assets.figures import figure_assets
from atlas_assets.assets.masks import mask_assets, sweep_asset
from atlas_assets.assets.prompts import prompt_assets
from atlas_assets.assets.report import report_assets
from atlas_assets.automation.jobs import atlas_jobs
from atlas_assets.checks.claims import claim_checks
from atlas_assets.checks.integrity import integrity_checks
from atlas_assets.formats.store import AtlasStore
from atlas_assets.io_managers.csv import CsvIOManager
from atlas_assets.io_managers.documents import (
    FigureIOManager,
    HtmlIOManager,
    MarkdownIOManager,
)
from atlas_assets.io_managers.hdf5 import Hdf5IOManager
from atlas_assets.io_managers.parquet import ParquetIOManager
from atlas_assets.partitions import sweep_partitions
from atlas_assets.resources.lineage import expected_lineage
from atlas_assets.resources.model import AtlasModel
from atlas_assets.settings import AtlasSettings


def build_definitions(settings: AtlasSettings) -> dg.Definitions:
    """Fresh definitions of one atlas: assets, jobs, resources."""
    partitions = sweep_partitions(settings.sweep)
    resources = build_resources(settings)
    integrity = integrity_checks(partitions)
    stages_11_to_13 = [*prompt_assets(), *activation_assets(), *mask_assets(partitions)]
    assets = [
        *stages_11_to_13,
        sweep_asset([*stages_11_to_13, *integrity], resources),
        *decomposition_assets(partitions),
        *downstream_assets(),
        *analysis_assets(settings),
        *figure_assets(settings),
        *report_assets(settings),
        claims_report_asset(settings),
    ]
    return dg.Definitions(
        assets=assets,
        asset_checks=[*integrity, *claim_checks()],
        jobs=atlas_jobs(partitions),
        resources=resources,
        # one process: the model is loaded once, and a laptop's memory holds one copy of everything
        executor=dg.in_process_executor,
        metadata={"settings": dg.MetadataValue.json(settings.model_dump(mode="json"))},
    )


def build_resources(settings: AtlasSettings) -> dict[str, Any]:
    """Settings, model, the atlas's folder, and an IO manager per file format."""
    model = AtlasModel(settings)
    folder = UPath(settings.data_dir).absolute() / settings.atlas_name
    lineage = expected_lineage(settings, model)
    store = AtlasStore(folder, lineage, settings.sweep, settings.parameters)
    return {
        "settings": settings,
        "model": model,
        "store": store,
        "hdf5_io_manager": Hdf5IOManager(store),
        "parquet_io_manager": ParquetIOManager(store),
        "csv_io_manager": CsvIOManager(store),
        "png_io_manager": FigureIOManager(store),
        "html_io_manager": HtmlIOManager(store),
        "markdown_io_manager": MarkdownIOManager(store),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions of the atlas that the environment describes."""
    return build_definitions(AtlasSettings.from_env())
