"""A small atlas of the embedded model: real prompts, real network, a few pairs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np

from atlas_assets.definitions import build_definitions
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.frozen.calls import CUT

QUICK_LOOK = {name.removeprefix("ATLAS_").lower(): value for name, value in CUT.items()}

ASSET_KEYS = set(ARTIFACTS)


def tiny_settings(data_dir: Path, **changes: Any) -> AtlasSettings:
    return AtlasSettings.build(
        **{"data_dir": str(data_dir), "name": "tiny", "device": "cpu", **QUICK_LOOK, **changes}
    )


def environment(data_dir: Path, **changes: str) -> dict[str, str]:
    """The same settings as ATLAS_* variables."""
    fields = {"data_dir": str(data_dir), "name": "tiny", "device": "cpu", **QUICK_LOOK, **changes}
    return {f"ATLAS_{field.upper()}": str(value) for field, value in fields.items()}


def copy_of(built: Path, data_dir: Path) -> Path:
    """Copy the atlas that was built to where `tiny_settings` look for it; its folder."""
    (atlas,) = (built / "data").iterdir()
    return Path(shutil.copytree(atlas, data_dir / "tiny"))


def run_job(
    settings: AtlasSettings, instance: dg.DagsterInstance, job: str = "atlas"
) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(settings)
    resolved = definitions.resolve_job_def(job)
    return resolved.execute_in_process(instance=instance, raise_on_error=False)


def materialize(
    settings: AtlasSettings,
    instance: dg.DagsterInstance,
    selection: list[str],
    partition: str | None = None,
) -> dg.ExecuteInProcessResult:
    definitions = build_definitions(settings)
    return dg.materialize(
        list(definitions.assets or []),  # type: ignore[arg-type]
        selection=selection,
        partition_key=partition,
        instance=instance,
        resources=definitions.resources,
        raise_on_error=False,
    )


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    """Everything the run's failures say, causes included."""
    texts = []
    for event in result.all_events:
        if event.is_failure and event.event_specific_data is not None:
            error = getattr(event.event_specific_data, "error", None)
            while error is not None:
                texts.append(error.message)
                error = error.cause
    return "\n".join(texts)


def files_of(folder: Path) -> dict[str, bytes]:
    """{published file name: bytes}, without the hidden folders."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def activations(
    names: tuple[str, ...], seed: int, n_layers: int = 8, width: int = 16
) -> Activations:
    """Made-up activations over five prompts of each unit."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, size=(len(names), n_layers, width), dtype=np.int32)
    return Activations(
        names=names,
        n_prompts=np.full(len(names), 5, np.int32),
        sums=(counts * rng.random(counts.shape) * 2).astype(np.float32),
        counts=counts,
    )
