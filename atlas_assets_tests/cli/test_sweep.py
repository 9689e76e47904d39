"""``atlas sweep``: any setting, without touching the grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from atlas_assets import io
from atlas_assets.stages.masks.masks import object_masks
from atlas_assets.stages.setting import Setting
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.orchestration.tiny_atlas import files_of
from atlas_assets_tests.sample_atlas import NAME
from atlas_assets_tests.storage import samples


def test_a_setting_of_the_grid_gives_what_its_files_hold(made: Path, call: Call) -> None:
    (record,) = call(made, "sweep", "-e", "0.5", "-c", "0.8", "--json").json["settings"]
    assert record["on_grid"]
    assert (record["pairs"], record["ast_nodes"], record["builtins"]) == (5, 3, 3)
    summary = io.load_summary(data_root=made / NAME).filter(epsilon=0.5).to_dicts()[0]
    assert {"epsilon": 0.5, "consistency": 0.8, **record["decomposition"]["summary"]} == summary
    masks = io.load_universal_masks(data_root=made / NAME)
    for row in record["sizes"]:
        if row["type"] == "ast":
            sizes = [len(masks[f"ast__{name}"][row["layer"]]) for name in ("For", "If", "Import")]
            assert row["mean_size"] == pytest.approx(sum(sizes) / 3)


def test_concept_fractions_per_layer_are_means_of_the_table(made: Path, call: Call) -> None:
    (record,) = call(made, "sweep", "-e", "0.1", "-c", "0.8", "--json").json["settings"]
    table = io.load_target_checker(eps=0.1, data_root=made / NAME)
    for row in record["decomposition"]["concept_fraction"]:
        shares = []
        for cell in table.filter(target="builtin__list")[f"L{row['layer']}"]:
            co, sh, _ = map(int, cell.split(" / "))
            shares.append(round(co / (co + sh), 4) if co + sh else 0.0)
        assert row["builtin"] == pytest.approx(sum(shares) / len(shares), abs=1e-4)


def test_several_values_make_a_grid_and_nothing_is_written(data: Path, call: Call) -> None:
    before = files_of(data / NAME)
    shown = call(data, "sweep", "-e", "0.2", "-e", "0.05", "-c", "0.9", "-c", "0.4", "--json")
    settings = [(r["epsilon"], r["consistency"]) for r in shown.json["settings"]]
    assert settings == [(0.05, 0.4), (0.05, 0.9), (0.2, 0.4), (0.2, 0.9)]
    assert [r["written"] for r in shown.json["settings"]] == [[]] * 4
    assert files_of(data / NAME) == before


def test_written_files_are_as_the_science_says_and_the_grid_is_untouched(
    data: Path, call: Call
) -> None:
    before = files_of(data / NAME)
    shown = call(data, "sweep", "-e", "0.2", "-c", "0.9", "--write")
    assert shown.code == 0
    after = files_of(data / NAME)
    tag = "eps0.2_cons0.9"
    new = {
        f"13_object_masks_{tag}.h5",
        f"13_checker_masks_{tag}.h5",
        f"14_target_checker_{tag}.csv",
    }
    assert set(after) - set(before) == new
    assert {name: after[name] for name in before} == before
    for name in new:
        assert f"wrote {data / NAME / name}" in shown.out
    expected = object_masks(samples.activations(), Setting(0.2, 0.9)).universal
    arrays = io.load_universal_masks_as_arrays(eps=0.2, cons=0.9, data_root=data / NAME)
    assert tuple(arrays) == expected.names
    assert all((arrays[name][2] == expected.bits[i, 2]).all() for i, name in enumerate(arrays))

    document = call(data, "show", "For", "-e", "0.2", "-c", "0.9", "--json").json
    assert document["decomposition"] == "available"
    states = call(data, "status", "--json").json["files"]
    ours = [f for f in states if f["epsilon"] == 0.2]
    assert [(f["artifact"], f["state"], f["on_grid"]) for f in ours] == [
        ("object_masks", "fresh", False),
        ("checker_masks", "fresh", False),
        ("target_checker", "fresh", False),
    ]
    assert {f["state"] for f in states if f["artifact"] in ("masks", "summary")} == {"fresh"}


def test_the_grid_is_not_written_to(data: Path, call: Call) -> None:
    before = files_of(data / NAME)
    shown = call(data, "sweep", "-e", "0.2", "-e", "0.5", "-c", "0.8", "--write")
    assert shown.code == 2
    assert "one of the grid" in shown.err
    assert "--partition '0.8|0.5'" in shown.err
    assert files_of(data / NAME) == before


def test_without_activations(data: Path, call: Call) -> None:
    (data / NAME / "12_checker_activations.h5").unlink()
    shown = call(data, "sweep", "-e", "0.2", "-c", "0.9", "--write")
    assert shown.code == 0
    assert "no decomposition: the atlas has no checker activations" in shown.out
    assert not (data / NAME / "13_checker_masks_eps0.2_cons0.9.h5").exists()
    assert (data / NAME / "13_object_masks_eps0.2_cons0.9.h5").exists()
    (data / NAME / "12_object_activations.h5").unlink()
    shown = call(data, "sweep", "-e", "0.2", "-c", "0.9")
    assert shown.code == 3
    assert "no object_activations" in shown.err


def test_a_concept_that_is_empty_everywhere_is_counted(made: Path, call: Call) -> None:
    shown = call(made, "sweep", "-e", "1000", "-c", "1")
    assert shown.code == 0
    assert "6 concepts without any neuron" in shown.out
