"""Two atlases side by side: masks against Python sets, and files on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.atlas.compare import compare, compare_masks, differing_claims
from atlas_assets.atlas.open import open_folder
from atlas_assets.errors import ArtifactError
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets_tests.sample_atlas import NAME
from atlas_assets_tests.stages.random_atlas import concept_names, masks
from atlas_assets_tests.storage import release_files, samples

SETTING = Setting(0.5, 0.8)


def test_other_activations_show_everywhere_but_in_the_prompts(made: Path) -> None:
    found = compare(open_folder(made / "sample"), open_folder(made / "other"), claims=False)
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


def test_another_readout_is_named(made: Path) -> None:
    found = compare(open_folder(made / "sample"), open_folder(made / "published"), claims=False)
    assert found.made_with.rows() == [("readout", "last_token", "published")]
    assert found.files.is_empty()
    assert not found.identical


def test_settings_and_files_that_only_one_has(made: Path, data: Path) -> None:
    (data / NAME / "13_object_masks_eps0.1_cons0.8.h5").unlink()
    (data / NAME / "14_summary.csv").unlink()
    (data / NAME / "notes.txt").write_text("mine")
    found = compare(open_folder(made / "sample"), open_folder(data / NAME), claims=False)
    assert found.files.select("file", "difference").rows() == [
        ("13_object_masks_eps0.1_cons0.8.h5", "only in a"),
        ("14_summary.csv", "only in a"),
    ]
    assert found.made_with.rows() == [("settings", "ε=0.1, C=0.8; ε=0.5, C=0.8", "ε=0.5, C=0.8")]
    assert found.circuits["epsilon"].to_list() == [0.5]
    back = compare(open_folder(data / NAME), open_folder(made / "sample"), claims=False)
    assert set(back.files["difference"]) == {"only in b"}


@pytest.mark.parametrize(
    ("setting", "width", "told"),
    [
        (SETTING, 9, "6 layers of 16 neurons in a, 6 layers of 9 neurons in b"),
        (Setting(0.3, 0.4), 16, "they have no setting in common"),
    ],
)
def test_what_cannot_be_compared_is_said(
    made: Path, tmp_path: Path, setting: Setting, width: int, told: str
) -> None:
    path = tmp_path / f"13_object_masks_{setting.file_tag}.h5"
    release_files.write_object_masks(path, samples.objects(setting, width=width))
    found = compare(open_folder(made / "sample"), open_folder(tmp_path), claims=False)
    assert found.not_comparable == told
    assert found.circuits.is_empty()
    assert not found.identical


def test_against_files_without_record(made: Path, data: Path, tmp_path: Path) -> None:
    """The same content without any record: tables compare by value, masks by their circuits."""
    name = "13_object_masks_eps0.5_cons0.8.h5"
    (data / NAME / name).unlink()
    release_files.write_object_masks(data / NAME / name, samples.objects(SETTING))
    shutil.rmtree(data / NAME / ".provenance")
    found = compare(open_folder(made / "sample"), open_folder(data / NAME), claims=False)
    assert found.files.select("file", "difference").rows() == [(name, "not compared")]
    assert found.neurons.is_empty()
    assert ("origin", "atlas", "atlas; unknown") in found.made_with.rows()

    summary = samples.sample("summary")
    summary.write_csv(data / NAME / "14_summary.csv")
    found = compare(open_folder(made / "sample"), open_folder(data / NAME), claims=False)
    assert ("14_summary.csv", "differs") in found.files.select("file", "difference").rows()


def test_a_damaged_file_is_an_error_that_names_it(made: Path, data: Path) -> None:
    path = data / NAME / "13_object_masks_eps0.5_cons0.8.h5"
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ArtifactError) as caught:
        compare(open_folder(made / "sample"), open_folder(data / NAME), claims=False)
    assert str(path) in str(caught.value)


def two_atlases(seed: int) -> tuple[Masks, Masks]:
    """Of some concepts in common, in which some circuits are equal."""
    rng = np.random.default_rng(seed)
    names = concept_names(8)
    one = masks(rng, names[:6], 3, width=12)
    bits = masks(rng, names[2:], 3, width=12).bits.copy()
    kept = rng.random((4, 3)) < 0.5
    bits[:4][kept] = one.bits[2:][kept]
    return one, Masks(tuple(names[2:]), bits)


def sets(of: Masks) -> dict[tuple[str, int], set[int]]:
    return {
        (name, layer): set(np.flatnonzero(of.bits[i, layer]).tolist())
        for i, name in enumerate(of.names)
        for layer in range(of.n_layers)
    }


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_and_totals_are_those_of_set_differences(seed: int) -> None:
    a, b = two_atlases(seed)
    left, right = sets(a), sets(b)
    circuits, neurons, concepts = compare_masks([(REFERENCE, a, b)])
    expected = [
        (
            *(0.5, 0.8, name, name.partition("__")[0], layer),
            *(len(left[name, layer]), len(right[name, layer])),
            len(right[name, layer] - left[name, layer]),
            len(left[name, layer] - right[name, layer]),
            len(left[name, layer] & right[name, layer])
            / len(left[name, layer] | right[name, layer]),
            sorted(right[name, layer] - left[name, layer]),
            sorted(left[name, layer] - right[name, layer]),
        )
        for name, layer in sorted(left.keys() & right.keys())
        if left[name, layer] != right[name, layer]
    ]
    assert neurons.rows() == expected
    only = [(0.5, 0.8, n, "a") for n in a.names[:2]] + [(0.5, 0.8, n, "b") for n in b.names[4:]]
    assert concepts.sort("only_in").rows() == only
    gained, lost = (sum(row[at] for row in expected) for at in (7, 8))
    mean = (12 - len(expected) + sum(row[9] for row in expected)) / 12
    (total,) = circuits.rows()
    assert total[2:7] == (4, 12, len(expected), gained, lost)
    assert total[7] == pytest.approx(mean)


def test_masks_that_are_equal_or_have_nothing_in_common() -> None:
    a, _ = two_atlases(1)
    circuits, neurons, concepts = compare_masks([(REFERENCE, a, a)])
    assert neurons.is_empty()
    assert concepts.is_empty()
    assert circuits.row(0) == (0.5, 0.8, 6, 18, 0, 0, 0, 1.0)
    bits = np.zeros((1, 2, 3), dtype=np.bool_)
    one, other = Masks(("ast__For",), bits), Masks(("ast__If",), bits)
    circuits, _, concepts = compare_masks([(REFERENCE, one, other)])
    assert circuits.row(0) == (0.5, 0.8, 0, 0, 0, 0, 0, None)
    assert concepts["only_in"].to_list() == ["a", "b"]


def said(name: str, observed: str, holds: bool | None) -> ClaimResult:
    texts = dict.fromkeys(("section", "statement", "asset", "expected", "model", "readout"), "x")
    more = {"about_this_atlas": True, "note": "", "setting": "", "tolerance": 0.0, "computed": ""}
    return ClaimResult(id=name, observed=observed, holds=holds, **texts, **more)


def test_a_claim_flips_where_both_verdicts_are_known_and_differ() -> None:
    columns = ("id", "observed_a", "observed_b", "holds_a", "holds_b", "flips")
    expected = [
        ("broken now", "3", "4", True, False, True),
        ("other value", "4", "5", False, False, False),
        ("unknown there", "3", "", True, None, False),
        ("new", None, "3", None, True, False),
    ]
    a = [said(name, one, holds) for name, one, _, holds, *_ in expected if one is not None]
    b = [said(name, other, holds) for name, _, other, _, holds, _ in expected]
    same = said("same", "3", True)
    assert differing_claims([*a, same], [*b, same]).select(columns).rows() == expected
    assert differing_claims(a, a).is_empty()
