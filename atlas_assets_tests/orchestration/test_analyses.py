"""The further analyses, the figures and the report through Dagster, on made-up activations."""

from __future__ import annotations

import base64
import io
from collections import ChainMap
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from atlas_assets.atlas.open import open_in_force, open_with_model
from atlas_assets.definitions import build_definitions, build_resources
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ANALYSES, ARTIFACTS, CIRCUITS, FIGURES, skipped_under
from atlas_assets.stages.circuits.yardsticks import YARDSTICKS
from atlas_assets.stages.figures.artifacts import SPECIFICITY_FIGURE, WIRING_FIGURE
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.masks.masks import checker_masks
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.orchestration.tiny_atlas import (
    activations,
    failure_text,
    materialize,
    run_job,
    tiny_settings,
)
from atlas_assets_tests.stages.report.reading import data_of

PAIRS = ("Assert___isolated_", "For__list", "For__str", "Pass___isolated_", "While__list")
CONCEPTS = ("ast__For", "ast__Pass", "builtin__list")
OF_CIRCUITS = {
    artifact.key for artifact in (*CIRCUITS, *YARDSTICKS, WIRING_FIGURE, SPECIFICITY_FIGURE)
}
READINGS = {"claims_report", "atlas_report"}


def with_masks(folder: Path, n_layers: int = 8, **changes: Any) -> AtlasSettings:
    """An atlas with everything that the job ``analyses`` needs."""
    grid = {"epsilons": "0.001,0.5", "consistencies": "0.8", "permutations": 9}
    settings = tiny_settings(folder, **{**grid, **changes})
    store = build_resources(settings)["store"]
    store.write("object_activations", activations(PAIRS, 0, n_layers, 24), inputs={})
    store.write("checker_activations", activations(CONCEPTS, 1, n_layers, 24), inputs={})
    keywords = checker_masks(activations(CONCEPTS, 2, n_layers, 24), settings.token_checker)
    store.write("token_checker_masks", keywords, inputs={})
    return settings


def run(settings: AtlasSettings, job: str) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(settings, instance, job)
    assert result.success, failure_text(result)
    return result


def made(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Asset → metadata of its (last) materialisation, as plain values."""
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> AtlasSettings:
    return with_masks(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def swept(settings: AtlasSettings) -> dg.ExecuteInProcessResult:
    return run(settings, "sweep")


@pytest.fixture(scope="module")
def analysed(
    settings: AtlasSettings, swept: dg.ExecuteInProcessResult
) -> dg.ExecuteInProcessResult:
    del swept
    return run(settings, "analyses")


@pytest.fixture(scope="module")
def store(settings: AtlasSettings, analysed: dg.ExecuteInProcessResult) -> AtlasStore:
    del analysed
    store: AtlasStore = build_resources(settings)["store"]
    return store


def test_the_jobs_share_the_work(
    swept: dg.ExecuteInProcessResult, analysed: dg.ExecuteInProcessResult
) -> None:
    """Together they make everything after the activations; ``sweep`` only what is published."""
    further = {artifact.key for artifact in (*ANALYSES, *FIGURES)} | READINGS
    assert set(made(analysed)) == further
    assert (
        set(made(swept))
        == {
            key
            for key, artifact in ARTIFACTS.items()
            if artifact.group[:8] in ("stage_13", "stage_14", "stage_15")
        }
        - further
        - {"token_checker_masks"}
        - OF_CIRCUITS
    )


def test_what_speaks_of_one_setting_records_it(store: AtlasStore) -> None:
    for artifact in (*ANALYSES, *FIGURES):
        record = store.provenance(artifact.key)
        assert record is not None
        found = record.setting and Setting(record.setting.epsilon, record.setting.consistency)
        assert found == artifact.setting, artifact.key
        assert record.origin == "atlas"
        assert record.lineage is not None
        assert store.stale_reason(artifact.key) is None


def test_another_partition_does_not_make_them_stale(
    store: AtlasStore, settings: AtlasSettings, analysed: dg.ExecuteInProcessResult
) -> None:
    """The lineage in Dagster, too, is to the one partition that was read."""
    graph = build_definitions(settings).resolve_asset_graph()
    for key, at in (("compositionality", "0.8|0.001"), ("figure_concept_fraction", "0.8|0.5")):
        (parent,) = graph.get(dg.AssetKey(key)).parent_keys
        mapping = graph.get_partition_mapping(dg.AssetKey(key), parent)
        assert isinstance(mapping, dg.SpecificPartitionsPartitionMapping)
        assert list(mapping.partition_keys) == [at]


@pytest.mark.parametrize("key", [artifact.key for artifact in FIGURES])
def test_figures_lie_in_the_atlas_and_preview_in_the_ui(
    store: AtlasStore, analysed: dg.ExecuteInProcessResult, key: str
) -> None:
    drawing: Drawing = store.read(key)
    assert drawing.description
    metadata = made(analysed)[key]
    previews = [value for name, value in metadata.items() if name.startswith("preview")]
    assert len(previews) == (2 if key == "figure_jaccard_heatmap" else 1)
    for preview in previews:
        title, _, address = preview.partition("](data:image/png;base64,")
        assert title.startswith("![")
        assert "\n" not in preview
        assert len(preview) < 100_000 * 4 / 3 + 1000
        image = base64.b64decode(address.removesuffix(")"), validate=True)
        assert len(image) < 100_000
        with Image.open(io.BytesIO(image)) as opened:
            assert opened.width > 200
    assert metadata["description"] == drawing.description


def test_concept_fractions_can_be_plotted_over_partitions(
    swept: dg.ExecuteInProcessResult, store: AtlasStore
) -> None:
    summary = {row["epsilon"]: row for row in store.read("summary").iter_rows(named=True)}
    seen = {}
    for event in swept.get_asset_materialization_events():
        if event.asset_key.to_user_string() == "target_checker":
            seen[event.partition] = {k: v.value for k, v in event.materialization.metadata.items()}
    assert set(seen) == {"0.8|0.001", "0.8|0.5"}
    for partition, metadata in seen.items():
        row = summary[float(partition.split("|")[1])]
        assert metadata["mean_ast_concept_fraction"] == row["ast_concept_fraction"]
        assert metadata["mean_builtin_concept_fraction"] == row["blt_concept_fraction"]
        assert "dagster/row_count" in metadata


def test_a_type_without_keywords_has_no_mean(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, epsilons="0.5", consistencies="0.8")
    store = build_resources(settings)["store"]
    store.write("object_activations", activations(PAIRS, 0, 2, 24), inputs={})
    store.write("checker_activations", activations(("ast__For",), 1, 2, 24), inputs={})
    with dg.DagsterInstance.ephemeral() as instance:
        for selection in (["object_masks", "checker_masks"], ["target_checker"]):
            result = materialize(settings, instance, selection, "0.8|0.5")
            assert result.success, failure_text(result)
    metadata = made(result)["target_checker"]
    assert "mean_ast_concept_fraction" in metadata
    assert "mean_builtin_concept_fraction" not in metadata


def test_the_number_of_permutations_is_a_setting_that_makes_the_null_stale(
    settings: AtlasSettings, store: AtlasStore
) -> None:
    assert store.read("modularity_null")["permutations"].unique().to_list() == [9]
    more = settings.model_copy(update={"permutations": 10})
    for opened in (build_resources(more)["store"], open_in_force(more), open_with_model(more)):
        stale = opened.stale_reason("modularity_null")
        assert stale == "its code version is 1+permutations=9, now 1+permutations=10"
    versions = {
        number: build_definitions(settings.model_copy(update={"permutations": number}))
        .resolve_asset_graph()
        .get(dg.AssetKey("modularity_null"))
        .code_version
        for number in (9, 10)
    }
    assert versions == {9: "1+permutations=9", 10: "1+permutations=10"}


def test_the_default_settings_are_the_catalogues() -> None:
    settings = AtlasSettings()
    for artifact in ARTIFACTS.values():
        of_partitions = ChainMap(*map(dict, artifact.departures_of.values()))
        named = {**artifact.parameters, **artifact.departures, **of_partitions}
        for name, default in named.items():
            assert settings.parameters[name] == default, (artifact.key, name)


def test_the_report_is_of_this_atlas(
    store: AtlasStore, analysed: dg.ExecuteInProcessResult
) -> None:
    page = store.read("atlas_report")
    assert page.startswith("<!doctype html>")
    assert "<title>CSP-Atlas of embedded</title>" in page
    metadata = made(analysed)["atlas_report"]
    assert metadata["n_concepts"] > 0
    assert metadata["size"] < 4_000_000
    assert any(name.startswith("claims: ") for name in metadata)


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> AtlasSettings:
    return with_masks(tmp_path_factory.mktemp("shallow"), n_layers=3)


def test_a_model_of_three_layers_gets_all_figures(
    shallow: AtlasSettings,
) -> None:
    run(shallow, "sweep")
    figures = {artifact.key for artifact in FIGURES}
    assert figures | READINGS <= set(made(run(shallow, "analyses")))
    store = build_resources(shallow)["store"]
    assert "at layer 2." in store.read("figure_entanglement").description
    for key in ("figure_atomicity_dendrogram", "figure_jaccard_heatmap"):
        assert "Layer 2: " in store.read(key).description
        assert "Layer 3: " not in store.read(key).description


def test_a_sweep_without_their_settings_skips_them_with_a_warning(tmp_path: Path) -> None:
    settings = with_masks(tmp_path, epsilons="0.1", token_checker_setting="0.1,0.8")
    run(settings, "sweep")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(settings, instance, "analyses")
        assert result.success, failure_text(result)
        warnings = [
            record.user_message
            for record in instance.all_logs(result.run_id)
            if record.level == 30 and "skipped" in record.user_message
        ]
    further = {artifact.key for artifact in (*ANALYSES, *FIGURES)} - skipped_under(settings).keys()
    assert set(made(result)) == further | READINGS
    assert "figure_sweep" in further
    skipped = {"compositionality", "layer_profile", "ockham_index", "modularity_null"}
    for key in skipped | {"figure_atomicity_dendrogram", "figure_concept_fraction"}:
        assert any(message.startswith(f"{key} is skipped") for message in warnings), key
    page = build_resources(settings)["store"].read("atlas_report")
    assert "compositionality.csv" in data_of(page)["missing"]


def test_what_a_sweep_skips_is_known_beforehand() -> None:
    assert not skipped_under(AtlasSettings())
    without_reference = AtlasSettings.build(epsilons="0.001", consistencies="0.8")
    assert skipped_under(without_reference).keys() - OF_CIRCUITS == {
        "modularity_scores",
        "modularity_detail",
        "modularity_null",
        "token_independence_detail",
        "token_independence_summary",
        "figure_atomicity_dendrogram",
        "figure_jaccard_heatmap",
        "figure_concept_fraction",
        "figure_modularity",
    }


def test_masks_of_the_one_setting_are_enough(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    """As after fetching a single file: the other settings are not asked for."""
    settings = with_masks(tmp_path)
    for selection, partition in ((["object_masks"], "0.8|0.001"), (["layer_profile"], None)):
        result = materialize(settings, instance, selection, partition)
        assert result.success, failure_text(result)
    table = build_resources(settings)["store"].read("layer_profile")
    assert table["type"].unique().sort().to_list() == ["ast", "builtin", "pair"]


def test_without_masks_the_error_names_the_partition(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    result = materialize(with_masks(tmp_path), instance, ["compositionality"])
    assert not result.success
    assert "--select object_masks --partition '0.8|0.001'" in failure_text(result)
