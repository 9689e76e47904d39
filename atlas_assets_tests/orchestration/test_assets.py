"""The graph as a newcomer meets it: which assets there are and what each says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from atlas_assets.definitions import build_definitions
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS, ON_DEMAND
from atlas_assets.stages.report.published_claims import CLAIMS
from atlas_assets_tests.orchestration.tiny_atlas import ASSET_KEYS, tiny_settings


@pytest.fixture
def graph(tmp_path: Path) -> dg.AssetGraph:  # type: ignore[name-defined]
    return build_definitions(tiny_settings(tmp_path)).resolve_asset_graph()


def names(keys: set[dg.AssetKey]) -> set[str]:
    return {key.to_user_string() for key in keys}


def test_the_graph_leads_from_the_model_over_the_published_artifacts_to_a_version(graph) -> None:
    assert names(graph.get_all_asset_keys()) == {"model", *ASSET_KEYS, "atlas_version"}
    assert set(ARTIFACTS) == ASSET_KEYS
    assert names(graph.external_asset_keys) == {"model"}


def test_each_asset_depends_on_what_its_artifact_declares(graph) -> None:
    """Which those are is in the frozen record of Dagster's surface."""
    for key, artifact in ARTIFACTS.items():
        declared = {*artifact.inputs, *artifact.completes}
        if "circuits" in artifact.completes:
            declared.update(ARTIFACTS["circuits"].inputs)
        expected = declared | ({"model"} if artifact.runs_model else set())
        assert names(graph.get(dg.AssetKey(key)).parent_keys) == expected, key
    assert names(graph.get(dg.AssetKey("atlas_version")).parent_keys) == ASSET_KEYS - ON_DEMAND


def test_every_claim_is_evaluated_on_what_the_report_of_claims_depends_on() -> None:
    assert {claim.asset for claim in CLAIMS} <= set(ARTIFACTS["claims_report"].inputs)


def test_each_asset_describes_itself(graph) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert re.match(r"1\d_", node.group_name), key
        assert node.kinds, key
        assert node.owners == ["team:csp-atlas"], key
        assert node.description and len(node.description) > 30, key
        assert node.code_version or node.is_external, key


def test_the_sweep_is_a_setting() -> None:
    settings = AtlasSettings.build(epsilons="0.2", consistencies="0.9,1")
    graph = build_definitions(settings).resolve_asset_graph()
    partitions = graph.get(dg.AssetKey("object_masks")).partitions_def
    assert sorted(partitions.get_partition_keys()) == ["0.9|0.2", "1.0|0.2"]


def test_the_executor_is_a_setting() -> None:
    in_processes = build_definitions(AtlasSettings.build(executor="multiprocess"))
    assert in_processes.executor is dg.multiprocess_executor
    assert build_definitions(AtlasSettings()).executor is dg.in_process_executor


def test_definitions_are_built_fresh_and_load_without_the_model_libraries() -> None:
    """Listing the graph must not cost the import of torch."""
    code = (
        "import sys; from atlas_assets.definitions import defs, build_definitions; "
        "from atlas_assets.settings import AtlasSettings; "
        "a = build_definitions(AtlasSettings()); b = build_definitions(AtlasSettings()); "
        "assert a is not b; a.resolve_asset_graph(); "
        "heavy = {'torch', 'transformers'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
