"""``atlas stability``: how far atlases agree, against scipy and Python sets."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from atlas_assets.atlas import stability
from atlas_assets.atlas.open import open_folder
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.models import tiny
from atlas_assets_tests.sample_atlas import NAME

ATLASES = (NAME, "second", "third")


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("three")
    for seed, name in enumerate(ATLASES):
        sample_atlas.make(data, name=name, seed=10 * seed)
    return data


def test_claims_are_told_for_every_atlas(three: Path, call: Call) -> None:
    found = call(three, "stability", NAME, "second", str(three / "third"), "--json")
    assert found.code == 0
    assert found.json["schema"] == "atlas.stability/1"
    assert found.json["folders"] == [str(three / name) for name in ATLASES]
    each = [evaluate_claims(open_folder(folder)) for folder in found.json["folders"]]
    for claim, results in zip(found.json["claims"], zip(*each, strict=True), strict=True):
        assert claim["id"] == results[0].id
        assert claim["observed"] == [result.observed for result in results]
        assert claim["holds"] == [result.holds for result in results]
        assert claim["same"] == (all(claim["observed"]) and len(set(claim["observed"])) == 1)


def test_of_cuts_of_the_grid_no_claim_of_all_of_it_is_said_not_to_hold(
    tmp_path: Path, call: Call
) -> None:
    cut = {"ast_nodes": "For,If", "builtins": "list,len"}
    for seed, name in enumerate(ATLASES[:2]):
        sample_atlas.make(tmp_path, name=name, seed=10 * seed, **cut)
    shown = call(tmp_path, "stability", *ATLASES[:2]).out
    (height,) = (line for line in shown.splitlines() if "concept-only fraction  0.6250" in line)
    assert height.split()[-1] == "–", shown
    (builtins,) = (line for line in shown.splitlines() if "builtins' concept-only" in line)
    assert builtins.endswith("0 of 2"), shown


def test_an_atlas_agrees_with_its_copy(three: Path, tmp_path: Path, call: Call) -> None:
    copy = shutil.copytree(three / NAME, tmp_path / "copy")
    found = call(three, "stability", NAME, str(copy), "--json").json
    assert [row["lowest"] for row in found["ranks"]] == pytest.approx([1.0] * len(found["ranks"]))
    quantities = {row["quantity"] for row in found["ranks"]}
    assert quantities == {"circuit size", "Jaccard of two circuits", "concept fraction"}
    assert {(row["epsilon"], row["consistency"]) for row in found["ranks"]} == {
        (0.1, 0.8),
        (0.5, 0.8),
    }


@pytest.mark.parametrize("again", ["name", "path", "link"])
def test_an_atlas_that_is_named_twice_is_refused(
    three: Path, tmp_path: Path, call: Call, again: str
) -> None:
    (tmp_path / "link").symlink_to(three / NAME)
    other = {"name": NAME, "path": str(three / NAME), "link": str(tmp_path / "link")}[again]
    found = call(three, "stability", NAME, "second", other)
    assert found.code == 2
    assert f"{three / NAME} is named twice" in found.err


def test_a_checkpoint_that_was_changed_since_its_atlas_was_made_is_said(
    tmp_path: Path, call: Call
) -> None:
    runs, data = tmp_path / "runs", tmp_path / "data"
    for step in (1, 2):
        tiny.write(runs / f"step-{step}", weights=tiny.tensors(tiny.network(step)))
        sample_atlas.make(data, name=f"{NAME}--step-{step}", model=str(runs / f"step-{step}"))
    fresh = call(data, "stability", "--json", model=str(runs))
    assert fresh.code == 0, fresh.err
    assert fresh.json["stale"] == {}
    shutil.copy(runs / "step-1" / "model.safetensors", runs / "step-2")
    changed = call(data, "stability", "--json", model=str(runs))
    assert list(changed.json["stale"]) == ["step-2"]
    assert "model.weights_sha256" in changed.json["stale"]["step-2"]
    told = " ".join(call(data, "stability", model=str(runs)).out.split())
    assert "files of step-2 are stale, and `atlas build` makes them again: it was made" in told


def test_as_text_and_as_tables(three: Path, call: Call) -> None:
    text = call(three, "stability", NAME, "second", "third")
    assert text.code == 0
    lines = text.out.splitlines()
    assert "Spearman's ρ between 3 atlases" in lines
    assert any(line.startswith("claims: ") and "come out the same" in line for line in lines)
    tables = call(three, "stability", NAME, "second", "--markdown").out
    one, other, _, header, rule, first, *_ = tables.splitlines()
    assert one == f"- `{NAME}`: `{three / NAME}`"
    assert other.startswith("- `second`")
    assert header == f"| claim | expected | {NAME} | second |"
    assert rule == "| --- | --- | --- | --- |"
    assert first.count(" | ") == 3
    assert "| ranked by | setting | mean ρ | lowest ρ |" in tables


def test_what_lacks_a_file_is_named(three: Path, tmp_path: Path, call: Call) -> None:
    part = shutil.copytree(three / NAME, tmp_path / "part")
    for file in part.glob("14_target_checker*.csv"):
        file.unlink()
    found = call(three, "stability", NAME, str(part))
    assert found.code == 0
    assert "not compared, for lack of a common file: concept fraction" in found.out
    assert "are not evaluated in each" in found.out
    assert call(three, "stability", NAME, str(part), "--json").json["not_ranked"] == [
        "concept fraction"
    ]


def test_a_folder_without_an_atlas(three: Path, tmp_path: Path, call: Call) -> None:
    found = call(three, "stability", NAME, str(tmp_path))
    assert found.code == 3
    assert "no file of an atlas" in found.err


NAMES = ("ast__For", "ast__If", "builtin__len")


@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=30
    )
)
def test_rho_is_scipys(rows: list[tuple[int, int, int]]) -> None:
    columns = [
        dict(zip(map(str, range(len(rows))), column, strict=True))
        for column in zip(*rows, strict=True)
    ]
    found = stability.agreement(columns)
    if any(len(set(column.values())) == 1 for column in columns):
        assert found is None
        return
    values = [list(column.values()) for column in columns]
    rhos = [spearmanr(a, b).statistic for a, b in itertools.combinations(values, 2)]
    assert found is not None
    assert found.items == len(rows)
    assert found.mean == pytest.approx(np.mean(rhos), abs=1e-12)
    assert found.lowest == pytest.approx(min(rhos), abs=1e-12)


def test_only_what_all_have_is_ranked() -> None:
    a = {"x": 1.0, "y": 2.0, "z": 3.0}
    found = stability.agreement([a, {"x": 5.0, "z": 4.0, "only here": 0.0}])
    assert found is not None
    assert found.items == 2
    assert (found.mean, found.lowest) == pytest.approx((-1.0, -1.0))
    assert stability.agreement([a, {"w": 1.0}]) is None
    assert stability.agreement([a]) is None
    assert stability.agreement([]) is None


def test_sizes_and_similarities_are_those_of_sets() -> None:
    of = Masks(NAMES, np.random.default_rng(1).random((len(NAMES), 2, 40)) < 0.4)
    sets = {
        name: [set(np.flatnonzero(of.bits[i, layer])) for layer in range(of.n_layers)]
        for i, name in enumerate(NAMES)
    }
    assert stability.circuit_sizes(of) == {
        name: sum(map(len, layers)) for name, layers in sets.items()
    }
    found = stability.similarities(of)
    assert list(found) == [f"{a} {b}" for a, b in itertools.combinations(NAMES, 2)]
    for a, b in itertools.combinations(NAMES, 2):
        each = [len(x & y) / len(x | y) for x, y in zip(sets[a], sets[b], strict=True)]
        assert found[f"{a} {b}"] == pytest.approx(np.mean(each), abs=1e-15)


def test_the_concept_fraction_is_of_the_whole_circuit() -> None:
    counts = np.array([[[1, 3, 9], [2, 2, 0]], [[0, 0, 4], [0, 0, 1]]])
    assert stability.concept_fractions(["ast__For", "ast__If"], counts) == {"ast__For": 3 / 8}
