"""The whole chain through Dagster, on real prompts and the embedded model."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import h5py
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

import atlas_assets as aa
from atlas_assets import io
from atlas_assets.atlas.open import open_with_model
from atlas_assets.cli.app import atlas
from atlas_assets.errors import SettingsError
from atlas_assets.models.sources import resolve
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import (
    units_of_checker_prompts,
    units_of_object_prompts,
)
from atlas_assets.stages.catalog import ARTIFACTS, CIRCUITS, FIGURES, ON_DEMAND, definitions_of
from atlas_assets.stages.circuits import ablation, pruning
from atlas_assets.stages.circuits.yardsticks import YARDSTICKS
from atlas_assets.stages.figures.artifacts import WIRING_FIGURE
from atlas_assets.stages.setting import DEFINITIONS, SWEEP, Definition, Setting
from atlas_assets.storage.codecs import codec_of
from atlas_assets_tests.orchestration.tiny_atlas import (
    ASSET_KEYS,
    copy_of,
    environment,
    failure_text,
    files_of,
    materialize,
    run_job,
    tiny_settings,
)
from atlas_assets_tests.test_examples import QUICKSTART, source_of

PARTITIONS: dict[Any, Any] = {
    None: (None,),
    SWEEP: AtlasSettings().sweep,
    DEFINITIONS: definitions_of(AtlasSettings()),
}
#: what the catalogue says the folder holds; the published names are in stages/test_catalog.py
FILES = {
    file.name
    for artifact in ARTIFACTS.values()
    if not artifact.on_demand
    for setting in PARTITIONS[artifact.partitions]
    for file in codec_of(artifact).files(Path(artifact.file_name(setting)))
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def instance(built: Path, data: Path) -> Iterator[dg.DagsterInstance]:
    """That remembers the one run, of the job ``atlas``."""
    home = shutil.copytree(built / "dagster", data.with_name("home"))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture(scope="module")
def settings(data: Path) -> AtlasSettings:
    return tiny_settings(data)


@pytest.fixture(scope="module")
def folder(built: Path, data: Path) -> Path:
    return copy_of(built, data)


@pytest.fixture(scope="module")
def run(instance: dg.DagsterInstance) -> str:
    (run,) = instance.get_runs(dg.RunsFilter(job_name="atlas"))
    return run.run_id


def materialized(events: Iterable[dg.DagsterEvent | None]) -> list[tuple[str, str | None]]:
    return [
        (event.asset_key.to_user_string(), event.partition)
        for event in events
        if event and event.is_step_materialization and event.asset_key
        # the only asset without a file
        if event.asset_key.to_user_string() != "atlas_version"
    ]


def test_one_run_materialises_everything_under_the_published_names(
    instance: dg.DagsterInstance, run: str, folder: Path
) -> None:
    seen = materialized(entry.dagster_event for entry in instance.all_logs(run))
    # circuits are made in a run within the run
    assert {key for key, _ in seen} == ASSET_KEYS - ON_DEMAND - {"circuits"}
    for key in ("object_masks", "checker_masks", "target_checker"):
        assert len({partition for name, partition in seen if name == key}) == 9
    assert {path.name for path in folder.iterdir() if path.is_file()} == FILES
    assert not (folder / ".work").exists() or not any((folder / ".work").iterdir())


def test_the_masks_follow_from_the_activations(folder: Path) -> None:
    """Stage 13 by hand, with plain h5py, for one pair at one setting."""
    with h5py.File(folder / "12_object_activations.h5") as f:
        n = int(f["n_prompts/For__list"][()])
        sums = f["activations/layer_3/For__list"][:]
        counts = f["firing_counts/layer_3/For__list"][:]
    expected = (sums / np.float32(n) > np.float32(0.1)) & (
        counts.astype(np.float32) / np.float32(n) >= np.float32(0.5)
    )
    with h5py.File(folder / "13_object_masks_eps0.1_cons0.5.h5") as f:
        mask = f["pair_masks/layer_3/For__list"][:]
        universal = f["universal_masks/layer_3/ast__For"][:]
        assert dict(f["metadata"].attrs)["epsilon"] == 0.1
        assert dict(f["metadata"].attrs)["consistency_thresh"] == 0.5
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)
    assert not (universal & ~mask).any()


def test_circuits_of_every_definition_are_judged_alike(folder: Path) -> None:
    board = pl.read_csv(folder / "circuit_leaderboard.csv")
    assert set(board["definition"]) == set(map(str, PARTITIONS[DEFINITIONS]))
    quality = pl.read_csv(folder / "circuit_quality.csv", infer_schema_length=None)
    main = quality.filter(~pl.col("definition").str.contains("@"))
    assert set(main["definition"]) == {"published", "calibrated", "contrastive", "matched"}
    assert main["necessity"].null_count() == 0
    sizes = quality.pivot("definition", index="concept", values="size")
    assert (sizes["published"] == sizes["contrastive"]).all()
    with h5py.File(folder / "13_object_masks_eps0.5_cons0.8.h5") as f:
        wanted = {
            (concept, int(layer.removeprefix("layer_")), neuron)
            for layer, masks in f["universal_masks"].items()
            for concept, mask in masks.items()
            for neuron in np.flatnonzero(mask[:]).tolist()
        }
    published = pl.read_parquet(folder / "circuits_published.parquet")
    assert set(published.rows()) == wanted
    sample = pl.read_parquet(folder / "ablation_sample.parquet")
    assert set(sample["domain"].unique()) <= {1, 3}


def test_circuits_of_every_definition_are_checked_once_with_the_job_atlas(
    run: str, instance: dg.DagsterInstance
) -> None:
    (checking,) = instance.get_runs(dg.RunsFilter(tags={"atlas/checks_of_run": run}))
    events = [entry.dagster_event for entry in instance.all_logs(checking.run_id)]
    seen = [
        (found.check_name, found.partition, found.passed)
        for event in events
        if event and isinstance(found := event.event_specific_data, dg.AssetCheckEvaluation)
    ]
    every = [at.partition_key for at in PARTITIONS[DEFINITIONS]]
    assert sorted(seen) == sorted(
        (check, at, True) for check in ("agrees_with_inputs", "schema") for at in every
    )


def test_circuits_that_do_not_follow_from_their_inputs_fail_what_completes_them(
    folder: Path, settings: AtlasSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / folder.name)
    copied = settings.model_copy(update={"data_dir": str(tmp_path)})
    store, at = open_with_model(copied), Definition("contrastive")
    store.write("circuits", store.read("circuits", at)[1:], at)
    failed = materialize(copied, instance, ["ablation_sample"])
    assert not failed.success
    assert "agrees_with_inputs" in failure_text(failed)


@pytest.mark.slow
@pytest.mark.parametrize("site", ["mlp_neurons", "attn_out", "resid_post"])
def test_another_site_gives_everything_too_circuits_and_their_yardsticks_included(
    tmp_path: Path, site: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        other = run_job(tiny_settings(tmp_path, site=site), instance)
    assert other.success, failure_text(other)
    folder = tmp_path / "tiny"
    assert {path.name for path in folder.iterdir() if path.is_file()} == FILES
    quality = pl.read_csv(folder / "circuit_quality.csv", infer_schema_length=None)
    main = quality.filter(~pl.col("definition").str.contains("@"))
    assert main["necessity"].null_count() == 0
    assert f"last_token at {site}" in (folder / "claims.md").read_text()
    assert pl.read_parquet(folder / "circuit_wiring.parquet").is_empty()


def test_circuits_of_ones_own_are_judged_too_and_stale_once_their_file_is_another(
    folder: Path, settings: AtlasSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    file = tmp_path / "mine.parquet"
    mine = pl.read_parquet(folder / "circuits_published.parquet")[::2]
    mine.write_parquet(file)
    shutil.copytree(folder, tmp_path / folder.name)
    changed = {"data_dir": str(tmp_path), "circuits": str(file)}
    own, at = settings.model_copy(update=changed), Definition("own")
    assert materialize(own, instance, ["circuits"], "own").success
    assert materialize(own, instance, ["circuit_quality"]).success
    store = open_with_model(own)
    assert store.read("circuits", at).equals(mine)
    judged = store.read("circuit_quality").filter(pl.col("definition") == "own")
    assert judged["size"].sum() == mine.height
    assert judged["identification_top1"].null_count() == 0
    assert store.stale_reason("circuits", at) is None
    mine[1:].write_parquet(file)
    assert "version" in (open_with_model(own).stale_reason("circuits", at) or "")


def test_a_circuit_that_leaves_too_few_neurons_for_a_control_exceeds_none(
    folder: Path, settings: AtlasSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Ablating the few that are left, or nothing, is no control: it was subtracted all the same."""
    file = tmp_path / "mine.parquet"
    attributed = pl.read_parquet(folder / "attribution.parquet", columns=["concept", "layer"])
    name = attributed["concept"][0]
    every = attributed.filter(concept=name).with_columns(
        neuron=pl.int_range(pl.len()).over("layer")
    )
    every.write_parquet(file)
    shutil.copytree(folder, tmp_path / folder.name)
    changed = {"data_dir": str(tmp_path), "circuits": str(file)}
    own = settings.model_copy(update=changed)
    assert materialize(own, instance, ["circuits"], "own").success
    made = ["ablation_sample", "circuit_quality", "circuit_leaderboard"]
    assert materialize(own, instance, made).success
    store = open_with_model(own)
    (judged,) = (
        store.read("circuit_quality").filter(definition="own", concept=name).rows(named=True)
    )
    assert judged["size"] == every.height
    assert judged["necessity"] is not None
    assert judged["over_matched"] is judged["matched_ratio"] is None
    board = store.read("circuit_leaderboard").filter(definition="own")
    assert board["necessity"].null_count() == 0
    assert board["over_matched"].null_count() == board.height


def test_the_job_validate_ablates_exactly_and_its_losses_are_preferred(
    folder: Path, settings: AtlasSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ablation.Extent(own=2, others=1, controls=2, kept=1, curve=1)
    monkeypatch.setattr(ablation, "EXACT", few)
    monkeypatch.setattr(pruning, "PROMPTS", 2)
    copied = settings.model_copy(update={"data_dir": str(folder.parent), "name": "validated"})
    shutil.copytree(folder, folder.parent / "validated")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(copied, instance, "validate")
    assert result.success, failure_text(result)
    board = pl.read_csv(folder.parent / "validated" / "circuit_leaderboard.csv")
    main = board.filter(~pl.col("definition").str.contains("@"))
    assert main.select("cpr", "cmd", "faithfulness_other").null_count().sum_horizontal()[0] == 0
    matrix = pl.read_csv(folder.parent / "validated" / "specificity.csv")
    concepts = matrix["concept"].n_unique()
    # every couple of concepts, of those that have prompts of pairs that are not both's
    assert 4 * concepts < matrix.height <= 4 * concepts * matrix["prompts_of"].n_unique()
    validated = folder.parent / "validated"
    assert (validated / "figure_specificity.png").is_file()
    at_defaults = main.filter(type="ast").select("definition", "split_half", "token_top1")
    assert at_defaults["token_top1"].null_count() == 0
    assert at_defaults.filter(pl.col("split_half").is_null())["definition"].to_list() == ["matched"]
    pruned = pl.read_csv(validated / "pruned_circuits.csv")
    assert pruned["definition"].unique().sort().to_list() == [
        *("calibrated", "contrastive", "published")
    ]
    parts = pruned.filter(pl.col("kept").is_not_null())
    assert parts.height
    assert (parts["kept"] <= parts["size"]).all()
    assert (parts["kept_sought"] >= 0.9 * parts["faithfulness_sought"]).all()
    halves = pl.read_parquet(validated / "half_circuits.parquet")
    prompts = io.load_prompts("object", data_root=folder)
    discovering = prompts.filter((pl.col("variation_id") % 5).is_in([0, 2, 4]))
    units = units_of_object_prompts(discovering)
    masks = aa.masks(aa.read("embedded", prompts=units, device="cpu"))
    of_for = [bits for name, bits in zip(masks.names, masks.bits, strict=True) if "For__" in name]
    found = halves.filter(definition="published", half="discovery", concept="ast__For")
    assert found.select("layer", "neuron").rows() == [
        tuple(place) for place in np.argwhere(np.logical_and.reduce(of_for)).tolist()
    ]
    contrastive = halves.filter(definition="contrastive", half="discovery")
    whole = pl.read_parquet(validated / "circuits_contrastive.parquet")
    assert contrastive.select(whole.columns).equals(whole)
    fractions = pl.read_csv(validated / "fraction_intervals.csv")
    means = fractions.filter(of="all")["concept_fraction"]
    summary = pl.read_csv(folder / "14_summary.csv")
    assert means.to_list() == summary["mean_concept_fraction"].to_list()
    row = fractions.filter(of="ast__For", epsilon=0.1, consistency=0.8).row(0, named=True)
    keyword = io.load_universal_masks_as_arrays(
        eps=0.1, cons=0.8, stage="checker", data_root=folder
    )["ast__For"]
    drawn = fractions_of_for(prompts, np.stack(list(keyword.values())))
    assert np.percentile(drawn, [2.5, 97.5]) == pytest.approx([row["low"], row["high"]])
    controlled = pl.read_csv(validated / "token_control.csv")
    at = controlled.filter(of="ast__For", epsilon=0.1, consistency=0.8)
    assert at["concept_fraction"].item() == fraction_at_the_word_for(folder)


def fraction_at_the_word_for(folder: Path) -> float:
    """The concept fraction of For with prompts and keyword prompts cut after the word.

    They are those that end in that one of its tokens in which most of both sides do.
    """
    prompts = io.load_prompts("object", data_root=folder)
    own = prompts.filter((pl.col("ast_node") == "For") & (pl.col("variation_id") < 10))
    checkers = io.load_prompts("checker", data_root=folder).filter(object="ast__For")
    tokenizer = Tokenizer.from_file(str(resolve("embedded", None).folder / "tokenizer.json"))
    sides: list[list[tuple[str, str, int]]] = []
    for rows, key in ((own, "builtin_obj"), (checkers, "object")):
        sides.append([])
        for unit, text in rows.select(key, "prompt_text").rows():
            cut = text[: [found.end() for found in re.finditer(r"\bfor\b", text)][-1]]
            sides[-1].append((unit, cut, tokenizer.encode(cut, add_special_tokens=False).ids[-1]))
    ends = [[token for _, _, token in side] for side in sides]
    assert len({token for side in ends for token in side}) > 1
    one = max(set(ends[0]), key=lambda token: min(side.count(token) / len(side) for side in ends))
    circuits = []
    for side in sides:
        units: dict[str, list[str]] = {}
        for unit, text, token in side:
            if token == one:
                units.setdefault(unit, []).append(text)
        read = aa.read("embedded", prompts=units, device="cpu")
        masks = aa.masks(read, epsilon=0.1, consistency=0.8)
        circuits.append(np.logical_and.reduce(masks.bits))
    circuit, keyword = circuits
    size, alone = circuit.sum(axis=1), (circuit & ~keyword).sum(axis=1)
    shares = np.divide(alone, size, out=np.zeros(len(size)), where=size > 0)
    return float(shares.round(4).mean().round(4))


def fractions_of_for(prompts: pl.DataFrame, keyword: np.ndarray) -> list[float]:
    """By every ordered draw of four subject areas, of which each pair has a prompt each."""
    own = prompts.filter(ast_node="For").sort("builtin_obj", "variation_id")
    texts = {f"{number:02}": [text] for number, text in enumerate(own["prompt_text"])}
    read = aa.read("embedded", prompts=texts, device="cpu").sums
    of_pairs = read.reshape(-1, 4, *read.shape[1:])
    found = []
    for areas in product(range(4), repeat=4):
        values = of_pairs[:, list(areas)]
        fires = (values > 0).mean(axis=1) >= np.float32(0.8)
        circuit = ((values.mean(axis=1) > np.float32(0.1)) & fires).all(axis=0)
        size, alone = circuit.sum(axis=1), (circuit & ~keyword).sum(axis=1)
        found.append(
            np.divide(alone, size, out=np.zeros(len(size)), where=size > 0).round(4).mean()
        )
    return np.round(found, 4).tolist()


@pytest.mark.slow
def test_readouts_are_ablated_to_zero_where_that_is_asked_for(
    folder: Path, settings: AtlasSettings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / folder.name)
    zero = settings.model_copy(update={"data_dir": str(tmp_path), "ablation": "zero"})
    assert "version" in (open_with_model(zero).stale_reason("ablation_sample") or "")
    assert materialize(zero, instance, ["ablation_sample"]).success
    before, after = (
        pl.read_parquet(each / "ablation_sample.parquet") for each in (folder, tmp_path / "tiny")
    )
    # but for top-k activations that rounding errors turn
    assert (before["whole"] - after["whole"]).abs().max() < 1e-2
    assert (before["loss"] - after["loss"]).abs().mean() > 0.05  # type: ignore[operator]
    assert (before["none"] - after["none"]).abs().min() > 1e-3
    assert open_with_model(zero).stale_reason("ablation_sample") is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["leaderboard"], "contrastive"),
        (["leaderboard", "--json"], '"atlas.leaderboard/1"'),
        (["quality", "For"], "ast__For, in the atlas"),
        (["quality", "-d", "calibrated"], "builtin__list"),
    ],
)
def test_yardsticks_are_told_on_the_command_line(
    folder: Path, arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(folder.parent).items():
        monkeypatch.setenv(name, str(value))
    answered = CliRunner().invoke(atlas, arguments)
    assert answered.exit_code == 0, answered.output
    assert told in answered.output


def test_a_definition_that_there_is_not_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(folder.parent).items():
        monkeypatch.setenv(name, str(value))
    answered = CliRunner().invoke(atlas, ["quality", "-d", "mine"])
    assert answered.exit_code == 2
    assert "published or calibrated" in answered.output


@pytest.mark.slow
def test_the_notebook_builds_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in source_of(QUICKSTART):
        exec(cell, names)
    built = names["atlas"]
    assert Path(str(built.folder)) == tmp_path / "data" / "quickstart"
    assert files_of(tmp_path / "data" / "quickstart") == files_of(folder)
    assert built.summary().equals(io.load_summary(data_root=folder))


def test_a_build_that_fails_raises_the_error_of_its_step(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown AST node 'Fro'"):
        aa.build(data_dir=str(tmp_path), ast_nodes=["Fro"])
    with pytest.raises(SettingsError, match="did you mean variations"):
        aa.build(data_dir=str(tmp_path), variation=3)


def test_reading_from_python_gives_the_bits_of_the_graph(folder: Path) -> None:
    units = units_of_checker_prompts(io.load_prompts("checker", data_root=folder))
    readings = aa.read("embedded", prompts=units, device="cpu")
    assert readings.digest() == io.load_activations("checker", data_root=folder).digest()
    masks = aa.masks(readings, 0.1, 0.5)
    of_graph = io.load_universal_masks(eps=0.1, cons=0.5, stage="checker", data_root=folder)
    assert {
        name: {layer: set(np.flatnonzero(bits).tolist()) for layer, bits in enumerate(unit)}
        for name, unit in zip(masks.names, masks.bits, strict=True)
    } == of_graph


def test_another_readout_in_the_same_folder_is_refused_and_loses_nothing(
    folder: Path, settings: AtlasSettings, instance: dg.DagsterInstance
) -> None:
    before = files_of(folder)
    other = settings.model_copy(update={"readout": "published"})
    for selection, partition in ((["object_masks"], "0.8|0.5"), (["object_prompts"], None)):
        result = materialize(other, instance, selection, partition)
        text = failure_text(result)
        assert not result.success
        assert "last_token" in text
        assert "published" in text
        assert "ATLAS_NAME" in text
    assert files_of(folder) == before


def test_a_partition_outside_the_sweep_is_refused(
    settings: AtlasSettings, instance: dg.DagsterInstance, folder: Path
) -> None:
    with pytest.raises(dg.DagsterUnknownPartitionError):
        materialize(settings, instance, ["object_masks"], "0.7|0.5")


def test_a_sweep_without_the_reference_setting_skips_what_speaks_of_it(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, epsilons="0.2", consistencies="0.5")
    with dg.DagsterInstance.ephemeral() as instance:
        result = run_job(settings, instance)
    assert result.success, failure_text(result)
    made = {key for key, _ in materialized(result.all_events)}
    skipped = {
        "modularity_scores",
        "modularity_detail",
        "universal_masks",
        "token_independence_detail",
        "token_independence_summary",
        "compositionality",
        "ockham_index",
        "layer_profile",
        "marginalisation_robustness",
        "jaccard_matrices",
        "modularity_null",
        *(figure.key for figure in FIGURES if figure.key != "figure_sweep"),
        *(artifact.key for artifact in (*CIRCUITS, *YARDSTICKS, WIRING_FIGURE)),
    }
    assert made == ASSET_KEYS - ON_DEMAND - skipped
    assert settings.sweep == (Setting(0.2, 0.5),)

    # called from Python, as the notebook does on the whole cut grid
    built = aa.build(**settings.model_dump(exclude_defaults=True) | {"name": "built"})
    folder = tmp_path / "tiny"
    assert Path(str(built.folder)) == tmp_path / "built"
    assert files_of(tmp_path / "built") == files_of(folder)
    assert built.summary().equals(io.load_summary(data_root=folder))


def test_the_loaders_read_all_tables_of_the_job(folder: Path) -> None:
    assert io.load_summary(data_root=folder)["epsilon"].n_unique() == 3
    ast_nodes, builtins = io.load_concept_inventory(data_root=folder)
    assert ast_nodes == ["For", "If", "Import", "Pass", "Return"]
    assert "_isolated_" in builtins
    assert io.load_pair_masks(data_root=folder).keys() <= {
        (a, b) for a in ast_nodes for b in builtins
    }
    testable, _ = io.load_concept_inventory(stage="checker", data_root=folder)
    assert set(testable) <= set(ast_nodes)
    frames = [
        io.load_modularity_scores(data_root=folder),
        io.load_modularity_scores(data_root=folder, detail=True),
        io.load_target_checker(data_root=folder),
        *(
            io.load_token_independence(kind=kind, data_root=folder)
            for kind in ("summary", "detail", "no_keyword")
        ),
        *(
            io.load_prompts(kind, data_root=folder)
            for kind in ("object", "checker", "token_checker")
        ),
    ]
    assert all(isinstance(frame, pl.DataFrame) and frame.height for frame in frames)
