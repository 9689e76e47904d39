"""Two atlases on disk, side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from atlas_assets.atlas.compare import compare
from atlas_assets.atlas.open import open_folder
from atlas_assets.errors import ArtifactError
from atlas_assets.stages.setting import Setting
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.storage import release_files, samples

SETTING = Setting(0.5, 0.8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the atlases ``sample``, ``other`` (other activations) and ``published``."""
    data = tmp_path_factory.mktemp("data")
    sample_atlas.make(data)
    sample_atlas.make(data, name="other", seed=3)
    sample_atlas.make(data, name="published", readout="published")
    return data


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "sample", tmp_path / "copy"))


def test_an_atlas_is_identical_to_its_copy(folder: Path, copy: Path) -> None:
    found = compare(open_folder(folder / "sample"), open_folder(copy))
    assert found.identical
    assert found.circuits.select("epsilon", "consistency", "changed").rows() == [
        (0.1, 0.8, 0),
        (0.5, 0.8, 0),
    ]
    assert found.claims is not None
    assert found.claims.is_empty()


def test_other_activations_show_everywhere_but_in_the_prompts(folder: Path) -> None:
    found = compare(open_folder(folder / "sample"), open_folder(folder / "other"), claims=False)
    assert found.made_with.is_empty()
    assert not found.identical
    assert set(found.files["difference"]) == {"differs"}
    artifacts = set(found.files["artifact"])
    assert {"object_activations", "object_masks", "target_checker", "summary"} <= artifacts
    assert not {"object_prompts", "checker_prompts"} & artifacts
    cells = found.files.filter(artifact="object_masks").select("epsilon", "consistency").rows()
    assert cells == [(0.1, 0.8), (0.5, 0.8)]
    total = found.neurons.group_by("epsilon", maintain_order=True).agg(pl.col("gained").sum())
    assert total.rows() == found.circuits.select("epsilon", "gained").rows()


def test_another_readout_is_named(folder: Path) -> None:
    found = compare(open_folder(folder / "sample"), open_folder(folder / "published"), claims=False)
    assert found.made_with.rows() == [("readout", "last_token", "published")]
    assert found.files.is_empty()
    assert not found.identical


def test_settings_and_files_that_only_one_has(folder: Path, copy: Path) -> None:
    (copy / "13_object_masks_eps0.1_cons0.8.h5").unlink()
    (copy / "14_summary.csv").unlink()
    (copy / "notes.txt").write_text("mine")
    found = compare(open_folder(folder / "sample"), open_folder(copy), claims=False)
    assert found.files.select("file", "difference").rows() == [
        ("13_object_masks_eps0.1_cons0.8.h5", "only in a"),
        ("14_summary.csv", "only in a"),
    ]
    assert found.made_with.rows() == [("settings", "ε=0.1, C=0.8; ε=0.5, C=0.8", "ε=0.5, C=0.8")]
    assert found.circuits["epsilon"].to_list() == [0.5]
    back = compare(open_folder(copy), open_folder(folder / "sample"), claims=False)
    assert set(back.files["difference"]) == {"only in b"}


def test_a_model_of_another_width_is_said_not_compared(folder: Path, tmp_path: Path) -> None:
    value = samples.objects(SETTING, width=9)
    release_files.write_object_masks(tmp_path / "13_object_masks_eps0.5_cons0.8.h5", value)
    found = compare(open_folder(folder / "sample"), open_folder(tmp_path), claims=False)
    assert found.not_comparable == "6 layers of 16 neurons in a, 6 layers of 9 neurons in b"
    assert found.circuits.is_empty()
    assert not found.identical


def test_without_a_common_setting(folder: Path, tmp_path: Path) -> None:
    other = Setting(0.3, 0.4)
    path = tmp_path / f"13_object_masks_{other.file_tag}.h5"
    release_files.write_object_masks(path, samples.objects(other))
    found = compare(open_folder(folder / "sample"), open_folder(tmp_path), claims=False)
    assert found.not_comparable == "they have no setting in common"
    assert not found.identical


def test_against_files_of_the_release(folder: Path, copy: Path, tmp_path: Path) -> None:
    """The same content without any record: tables compare by value, masks by their circuits."""
    name = "13_object_masks_eps0.5_cons0.8.h5"
    (copy / name).unlink()
    release_files.write_object_masks(copy / name, samples.objects(SETTING))
    shutil.rmtree(copy / ".provenance")
    found = compare(open_folder(folder / "sample"), open_folder(copy), claims=False)
    assert found.files.select("file", "difference").rows() == [(name, "not compared")]
    assert found.neurons.is_empty()
    assert ("origin", "atlas", "atlas; release") in found.made_with.rows()

    summary = samples.sample("summary")
    summary.write_csv(copy / "14_summary.csv")
    found = compare(open_folder(folder / "sample"), open_folder(copy), claims=False)
    assert ("14_summary.csv", "differs") in found.files.select("file", "difference").rows()


def test_a_damaged_file_is_an_error_that_names_it(folder: Path, copy: Path) -> None:
    path = copy / "13_object_masks_eps0.5_cons0.8.h5"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ArtifactError) as caught:
        compare(open_folder(folder / "sample"), open_folder(copy), claims=False)
    assert str(path) in str(caught.value)


def test_claims_are_evaluated_on_both(folder: Path) -> None:
    found = compare(open_folder(folder / "sample"), open_folder(folder / "other"))
    assert found.claims is not None
    differing = found.claims.filter(pl.col("observed_a") != pl.col("observed_b"))
    assert differing.height > 0
    flipped = found.claims.filter(pl.col("flips"))
    assert flipped.filter(pl.col("holds_a") == pl.col("holds_b")).is_empty()
