"""Dagster's surface and that of `atlas_assets.io`, as items; printed as JSON by a fresh process.

python -m atlas_assets_tests.frozen.surface FOLDER
"""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import numpy as np
import polars as pl

from atlas_assets import io
from atlas_assets.definitions import defs
from atlas_assets_tests.frozen.digests import Items, sha256


def dagster_items() -> Items:
    """Assets, checks, jobs, sensors, resources and settings of the definitions in force."""
    definitions = defs()
    graph = definitions.resolve_asset_graph()
    items: Items = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        name = f"asset {key.to_user_string()}"
        partitions = node.partitions_def
        items[f"{name} | description"] = node.description
        items[name] = {
            "group": node.group_name,
            "io_manager": node.io_manager_key if node.is_executable else None,
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "code_version": node.code_version,
            "metadata": {
                label: str(value)
                for label, value in sorted(node.metadata.items())
                if label != "dagster/code_references"  # a place on this machine
            },
            "dependencies": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": sorted(partitions.get_partition_keys()) if partitions else None,
            "checks": sorted(check.name for check in node.check_keys),
            "automatic": node.automation_condition is not None,
            "executable": node.is_executable,
        }
    for key in graph.asset_check_keys:
        spec = graph.get_check_spec(key)
        items[f"check {key.asset_key.to_user_string()}:{key.name}"] = {
            "blocking": spec.blocking,
            "description": spec.description,
        }
    repository = definitions.get_repository_def()
    for name in sorted(repository.job_names):
        job = definitions.resolve_job_def(name)
        steps = sorted(node.name for node in job.nodes)
        items[f"job {name}"] = {"description": job.description, "steps": steps}
    for sensor in repository.sensor_defs:
        items[f"sensor {sensor.name}"] = {
            "status": sensor.default_status.value,
            "seconds": sensor.minimum_interval_seconds,
            "description": sensor.description,
        }
    for schedule in repository.schedule_defs:
        items[f"schedule {schedule.name}"] = {
            "status": schedule.default_status.value,
            "cron": schedule.cron_schedule,
            "description": schedule.description,
        }
    items["resources"] = sorted(definitions.resources)
    settings: dict[str, Any] = definitions.metadata["settings"].value
    return items | {
        f"setting {name}": value for name, value in settings.items() if name != "data_dir"
    }


def io_items(folder: str) -> Items:
    """Signatures of the loaders, and what each reads in the folder."""
    items: Items = {}
    for name in io.__all__:
        public = getattr(io, name)
        loads = inspect.isfunction(public)
        aspect = "signature" if loads else "is there"
        items[f"{name} | {aspect}"] = str(inspect.signature(public)) if loads else True
    choices: list[tuple[str, dict[str, Any]]] = [
        ("load_concept_inventory", {}),
        ("load_concept_inventory", {"stage": "checker"}),
        ("load_modularity_scores", {}),
        ("load_modularity_scores", {"detail": True}),
        ("load_pair_masks", {}),
        ("load_pair_masks", {"eps": 0.1, "cons": 0.5, "layer": 3}),
        *(("load_prompts", {"kind": kind}) for kind in ("checker", "token_checker")),
        ("load_summary", {}),
        ("load_target_checker", {"eps": 0.1, "cons": 0.2}),
        *(("load_token_independence", {"kind": k}) for k in ("summary", "detail", "no_keyword")),
        ("load_universal_masks", {}),
        ("load_universal_masks", {"stage": "checker", "eps": 0.001, "cons": 0.2}),
        ("load_universal_masks_as_arrays", {}),
    ]
    for name, arguments in choices:
        value = getattr(io, name)(data_root=folder, **arguments)
        items[f"{name} {json.dumps(arguments)}"] = f"{type(value).__name__} {_digest(value)}"
    return items


def _digest(value: Any) -> str:
    if isinstance(value, pl.DataFrame):
        rows = (repr(row).encode() for row in value.iter_rows())
        return f"{value.shape} {sha256([str(dict(value.schema)).encode(), *rows])}"
    return f"{len(value)} {sha256([repr(_plain(value)).encode()])}"


def _plain(value: Any) -> Any:
    """Sets in order, arrays in full: values whose text says all."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.tolist())
    return sorted(value) if isinstance(value, set) else value


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"dagster": dagster_items(), "io": io_items(sys.argv[1])}))
