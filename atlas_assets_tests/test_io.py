"""The loaders, on files as the paper's release writes them and on an atlas of this package."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import polars as pl
import pytest

from atlas_assets import io
from atlas_assets.errors import ArtifactError, MissingArtifactError, ProvenanceError, SettingsError
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.decomposition.decomposition import parse_target_checker
from atlas_assets.stages.setting import Setting
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.storage import release_files, samples
from atlas_assets_tests.storage.defects import refusing

TOKEN_INDEPENDENCE = [f"token_independence_{k}" for k in ("summary", "detail", "no_keyword")]
AT = {"target_checker": Setting(0.5, 0.8)}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that this package did not write."""
    root = tmp_path_factory.mktemp("release")
    release_files.write_object_masks(root / "13_object_masks_eps0.5_cons0.8.h5", samples.objects())
    release_files.write_object_masks(
        root / "13_object_masks_eps0.1_cons0.8.h5", samples.objects(Setting(0.1, 0.8)), sparse=True
    )
    release_files.write_checker_masks(
        root / "13_checker_masks_eps0.5_cons0.8.h5", samples.checkers()
    )
    for key in ("summary", "target_checker", "modularity_detail", *TOKEN_INDEPENDENCE):
        samples.sample(key).write_csv(root / ARTIFACTS[key].file_name(AT.get(key)))
    scores = samples.sample("modularity_scores")
    scores.to_pandas().set_index("index").rename_axis(None).to_csv(
        root / "relaxed_modularity_scores.csv"
    )
    samples.object_prompts().to_pandas().to_parquet(root / "11A_object_prompts.parquet")
    samples.checker_prompts().write_parquet(root / "11B_checker_prompts.parquet")
    samples.checker_prompts().write_parquet(root / "token_checker_prompts.parquet")
    return root


def in_file(path: Path, group: str) -> dict[str, dict[int, set[int]]]:
    """What plain h5py finds there."""
    found: dict[str, dict[int, set[int]]] = {}
    with h5py.File(path) as file:
        for layer in file[group]:
            for name, dataset in file[group][layer].items():
                neurons = set(np.flatnonzero(dataset[:]).tolist())
                found.setdefault(name, {})[int(layer.removeprefix("layer_"))] = neurons
    return found


@pytest.mark.parametrize(("eps", "n"), [(0.5, 6), (0.1, 6)])
def test_universal_masks_are_those_that_h5py_reads(release: Path, eps: float, n: int) -> None:
    masks = io.load_universal_masks(eps=eps, cons=0.8, data_root=release)
    assert masks == in_file(release / f"13_object_masks_eps{eps}_cons0.8.h5", "universal_masks")
    assert len(masks) == n
    assert list(masks) == sorted(masks)
    assert any(masks["ast__For"].values())
    assert all(isinstance(neuron, int) for neuron in masks["ast__For"][1])


def test_arrays_say_the_same(release: Path) -> None:
    sets = io.load_universal_masks(data_root=str(release))
    arrays = io.load_universal_masks_as_arrays(data_root=release)
    assert {
        name: {layer: set(np.flatnonzero(bits)) for layer, bits in layers.items()}
        for name, layers in arrays.items()
    } == sets
    bits = arrays["builtin___isolated_"][samples.LAYERS - 1]
    assert bits.dtype == np.bool_
    assert bits.shape == (samples.WIDTH,)


def test_checker_masks_are_those_of_the_keywords(release: Path) -> None:
    expected = in_file(release / "13_checker_masks_eps0.5_cons0.8.h5", "token_checker_masks")
    assert io.load_universal_masks(stage="checker", data_root=release) == expected
    assert tuple(expected) == samples.CONCEPTS
    assert io.load_concept_inventory(stage="checker", data_root=release) == (
        ["For", "If"],
        ["list"],
    )


def test_pair_masks_are_keyed_by_both_names(release: Path) -> None:
    by_name = in_file(release / "13_object_masks_eps0.5_cons0.8.h5", "pair_masks")
    pairs = io.load_pair_masks(data_root=release)
    assert {"__".join(pair): layers for pair, layers in pairs.items()} == by_name
    assert ("Import", "_isolated_") in pairs
    one = io.load_pair_masks(layer=2, data_root=release)
    assert one == {pair: {2: layers[2]} for pair, layers in pairs.items()}


@pytest.mark.parametrize("eps", [0.5, 0.1])
def test_inventory_with_and_without_name_lists_in_the_file(release: Path, eps: float) -> None:
    ast_nodes, builtins = io.load_concept_inventory(eps=eps, data_root=release)
    assert ast_nodes == ["For", "If", "Import"]
    assert builtins == ["_isolated_", "len", "list"]


def test_tables(release: Path) -> None:
    assert io.load_summary(data_root=release).equals(samples.sample("summary"))
    table = io.load_target_checker(data_root=release)
    assert table.equals(samples.target_checker())
    assert parse_target_checker(table).shape == (3, samples.LAYERS, 3)
    tidy = io.load_decomposition(data_root=release)
    assert tidy.height == table.height * samples.LAYERS
    for row in tidy.iter_rows(named=True):
        parts = [row[part] for part in ("concept_only", "shared", "token_only")]
        (cell,) = table.filter(target=row["concept"])[f"L{row['layer']}"]
        assert cell == " / ".join(map(str, parts))
        assert row["concept"].startswith(row["type"] + "__")
        assert row["size"] == parts[0] + parts[1]
        assert row["concept_fraction"] == round(parts[0] / max(row["size"], 1), 4)
        assert row["token_fraction"] == round(parts[1] / max(row["size"], 1), 4)
    scores = io.load_modularity_scores(data_root=release)
    assert scores.equals(samples.sample("modularity_scores"))
    assert scores.to_pandas().shape == (scores.height, scores.width)
    detail = io.load_modularity_scores(detail=True, data_root=release)
    assert detail.equals(samples.sample("modularity_detail"))
    for kind in ("summary", "detail", "no_keyword"):
        frame = io.load_token_independence(kind=kind, data_root=release)
        assert frame.equals(samples.sample(f"token_independence_{kind}"))
    assert io.load_prompts(data_root=release).equals(samples.object_prompts())
    for kind in ("checker", "token_checker"):
        assert io.load_prompts(kind, data_root=release).equals(samples.checker_prompts())


def test_activations_are_those_of_the_files(made: Path) -> None:
    folder = made / sample_atlas.NAME
    for stage, units in (("object", samples.PAIRS), ("checker", samples.CONCEPTS)):
        found = io.load_activations(stage, data_root=folder)
        assert found.names == units
        with h5py.File(folder / f"12_{stage}_activations.h5") as file:
            for unit, name in enumerate(units):
                at = f"layer_3/{name}"
                np.testing.assert_array_equal(file[f"activations/{at}"], found.sums[unit, 3])
                np.testing.assert_array_equal(file[f"firing_counts/{at}"], found.counts[unit, 3])


def test_published_prompts_are_read_as_they_are(shared: Path, tmp_path: Path) -> None:
    golden = shared / "golden" / "prompts"
    shutil.copy(golden / "checker.parquet", tmp_path / "11B_checker_prompts.parquet")
    shutil.copy(golden / "token_checker.parquet", tmp_path / "token_checker_prompts.parquet")
    assert io.load_prompts("checker", data_root=tmp_path).height == 2848
    frame = io.load_prompts("token_checker", data_root=tmp_path)
    assert frame.equals(pl.read_parquet(golden / "token_checker.parquet"))


def test_a_missing_setting_names_those_that_are_there(release: Path) -> None:
    wanted = ("object_masks at ε=0.3, C=0.8", "13_object_masks_eps0.3_cons0.8.h5")
    with refusing(MissingArtifactError, *wanted, "ε=0.1, C=0.8; ε=0.5, C=0.8", "what to do"):
        io.load_universal_masks(eps=0.3, data_root=release)
    assert issubclass(MissingArtifactError, FileNotFoundError)


def test_a_missing_file_and_a_missing_folder(release: Path, tmp_path: Path) -> None:
    with refusing(MissingArtifactError, "no summary", "make it with `atlas build` ("):
        io.load_summary(data_root=tmp_path)
    with pytest.raises(MissingArtifactError, match="there is no atlas"):
        io.load_summary(data_root=tmp_path / "absent")
    with pytest.raises(MissingArtifactError, match="found: a file"):
        io.load_summary(data_root=release / "14_summary.csv")


def test_a_damaged_file_is_named(release: Path, tmp_path: Path) -> None:
    name = "13_object_masks_eps0.5_cons0.8.h5"
    (tmp_path / name).write_bytes((release / name).read_bytes()[:2000])
    with refusing(ArtifactError, "damaged", tmp_path / name):
        io.load_universal_masks(data_root=tmp_path)


@pytest.mark.parametrize(
    ("load", "arguments", "expected"),
    [
        (io.load_universal_masks, {"stage": "tokens"}, "'object' or 'checker'"),
        (io.load_pair_masks, {"stage": "checker"}, "there are no pairs"),
        (io.load_pair_masks, {"layer": samples.LAYERS}, f"0 to {samples.LAYERS - 1}"),
        (io.load_pair_masks, {"layer": True}, "layer"),
        (io.load_token_independence, {"kind": "all"}, "'no_keyword'"),
        (io.load_prompts, {"kind": "tokens"}, "'token_checker'"),
        (io.load_target_checker, {"cons": 1.5}, "consistency is out of range"),
    ],
)
def test_arguments_out_of_range_are_refused(
    release: Path, load: Callable[..., object], arguments: dict[str, object], expected: str
) -> None:
    with pytest.raises(SettingsError, match=expected):
        load(**arguments, data_root=release)


def test_the_atlas_in_force_is_the_default(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made / sample_atlas.NAME
    for key, value in sample_atlas.environment(made).items():
        monkeypatch.setenv(key, value)
    assert io.load_universal_masks() == io.load_universal_masks(data_root=folder)
    assert io.load_summary().height == 2
    assert io.load_prompts().equals(samples.object_prompts())
    monkeypatch.setenv("ATLAS_READOUT", "published")
    with pytest.raises(ProvenanceError, match="readout = last_token"):
        io.load_summary()
    # the folder is said: whatever the settings in force, it is what is read
    assert io.load_summary(data_root=folder).height == 2


def test_diff_of_two_folders(made: Path) -> None:
    found = io.diff(made / sample_atlas.NAME, made / "other", claims=False)
    assert not found.identical
    assert found.claims is None
    assert found.neurons["gained"].sum() > 0
    assert io.diff(made / "other", made / "other").identical
