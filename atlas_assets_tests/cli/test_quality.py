"""``atlas quality`` names concepts and definitions as the other commands do."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from atlas_assets.atlas.open import open_with_model
from atlas_assets.cli.quality import without_interval
from atlas_assets.stages.circuits.pruning import SCHEMA as PRUNED
from atlas_assets.stages.circuits.quality import leaderboard, quality
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import settings_in
from atlas_assets_tests.stages.circuits import test_effects
from atlas_assets_tests.stages.circuits.test_quality import judged

DEFINITIONS = ("published", "calibrated", "published@0.1,0.8")


@pytest.fixture(scope="module")
def one() -> pl.DataFrame:
    return quality(judged(effect=False))


@pytest.fixture
def with_quality(data: Path, one: pl.DataFrame) -> Path:
    each = [one.with_columns(definition=pl.lit(name)) for name in DEFINITIONS]
    open_with_model(settings_in(data)).write("circuit_quality", pl.concat(each), inputs={})
    return data


@pytest.mark.parametrize(
    ("arguments", "definitions"),
    [
        ("C1", DEFINITIONS),
        ("C1 -d calibrated", ("calibrated",)),
        ("C1 -d published@0.5,0.8", ("published",)),
        ("-d published@.1,0.80", ("published@0.1,0.8",)),
        ("", ("published",)),
    ],
)
def test_what_is_shown(
    with_quality: Path, call: Call, arguments: str, definitions: tuple[str, ...]
) -> None:
    shown = call(with_quality, "quality", *arguments.split(), "--json").json["quality"]
    assert tuple(dict.fromkeys(row["definition"] for row in shown)) == definitions
    assert ({row["concept"] for row in shown} == {"ast__C1"}) == ("C1" in arguments)


def test_what_is_identified_is_a_percentage_with_an_interval_or_without(
    with_quality: Path, call: Call, one: pl.DataFrame
) -> None:
    """Of few concepts there is no interval: a share stood beside percentages."""
    share = pl.Series([0.75, None, 0.5])
    board = leaderboard(judged().circuits, None, one)[[0, 0, 0]].with_columns(
        definition=pl.Series(["a", "b", "c"]),
        identification_top1=share,
        identification_top1_low=pl.Series([None, None, 0.25]),
        identification_top1_high=pl.Series([None, None, 0.625]),
    )
    open_with_model(settings_in(with_quality)).write("circuit_leaderboard", board, inputs={})
    shown = call(with_quality, "leaderboard").out
    rows = [words[3:6] for words in map(str.split, shown.splitlines()) if words[1:2] == ["ast"]]
    assert [row[0] for row in rows] == ["75.0%", "–", "50.0%"], shown
    assert rows[2][1:] == ["[25.0%,", "62.5%]"]


def test_the_smallest_faithful_part_is_told_where_it_is_known(
    with_quality: Path, call: Call
) -> None:
    """Of two circuits of the concept; of another concept, and of all, nothing is said."""
    row = ("ast__C1", 18, 2, "1:3 0:7", 0.5, 0.46, 0.4, 0.375, 8)
    nothing = ("ast__C1", 4, None, None, -0.1, None, -0.2, None, 8)
    other = ("ast__C2", 1, 1, "1:1", 0.5, 0.5, 0.5, 0.5, 8)
    rows = [("calibrated", *nothing), ("published", *row), ("published", *other)]
    table = pl.DataFrame(rows, schema=PRUNED.polars, orient="row")
    open_with_model(settings_in(with_quality)).write("pruned_circuits", table, inputs={})
    shown = " ".join(call(with_quality, "quality", "C1").out.split())
    assert (
        "smallest faithful part of published: 2 of 18 neurons, with faithfulness 0.46 of 0.50 "
        "where it was sought; on prompts of other domains 0.38, of the whole 0.40: 1:3 0:7"
    ) in shown
    assert "smallest faithful part of calibrated: none, for the circuit is empty" in shown
    one = call(with_quality, "quality", "C2", "-d", "published", "--json").json["pruned"]
    assert [each["neurons"] for each in one] == ["1:1"]
    assert "pruned" not in call(with_quality, "quality", "--json").json


def test_what_the_job_validate_makes_has_that_for_its_remedy(
    with_quality: Path, call: Call
) -> None:
    store = open_with_model(settings_in(with_quality))
    Path(str(store.path("pruned_circuits"))).write_text("a,b\n1,2\n")
    shown = call(with_quality, "quality", "C1")
    assert shown.code == 3
    assert "pruned_circuits.csv, column" in shown.err
    assert "`dagster job execute -m atlas_assets.definitions -j validate` makes it" in shown.err


def of_one(n_prompts: int, n_clusters: int, low: float | None = None) -> dict[str, object]:
    return {"n_prompts": n_prompts, "n_clusters": n_clusters, "necessity_low": low}


def test_what_an_interval_lacks_is_said() -> None:
    """Too few prompts, too few pairs and subject areas although there are prompts enough, both."""
    sample = without_interval([of_one(5, 5), of_one(3, 5)], all_run=False)
    assert sample == (
        "An interval takes 20 own prompts, of which there were 3 to 5; the job validate runs up to "
        "64 own prompts of each concept."
    )
    for all_run in (True, False):
        rows = [of_one(64, 12, 0.1), of_one(64, 2), of_one(0, 0)]
        validated = without_interval(rows, all_run=all_run)
        assert validated == "An interval takes 5 pairs and subject areas, of which there were 2."
        assert without_interval([of_one(64, 12, 0.1)], all_run=all_run) == ""
    both = without_interval([of_one(8, 2)], all_run=True)
    assert both.startswith("An interval takes 20 own prompts, of which there were 8, and 5 pairs")
    assert both.endswith(
        ", of which there were 2; the job validate has run, and this atlas has no more prompts to "
        "judge circuits by."
    )


def test_the_job_validate_is_not_advised_where_it_has_run(with_quality: Path, call: Call) -> None:
    """Of too few prompts, up to date or not: once its ablations are there, there are no more."""
    store = open_with_model(settings_in(with_quality))
    few = store.read("circuit_quality").with_columns(
        n_prompts=pl.lit(2, pl.Int64),
        n_clusters=pl.lit(2, pl.Int64),
        necessity_low=pl.lit(None, pl.Float64),
    )
    untested = pl.lit(None, pl.Int64)
    of_all = leaderboard(judged().circuits, None, few.filter(definition="published"))
    board = of_all.with_columns(n_significant=untested, specificity=pl.lit(0.0))

    def shown() -> tuple[str, str]:
        asked = (("quality", "C1", "-d", "published"), ("leaderboard",))
        return tuple(" ".join(call(with_quality, *each).out.split()) for each in asked)

    store.write("circuit_quality", few, inputs={})
    store.write("circuit_leaderboard", board, inputs={})
    sampled = shown()
    assert "; the job validate runs up to 64 own prompts of each concept." in sampled[0]
    assert "(the job validate ablates on more, where there are more)." in sampled[1]
    losses = test_effects.losses(0)
    store.write("ablation", losses, inputs={})
    store.write("circuit_quality", few)
    store.write("circuit_leaderboard", board)
    all_run = shown()
    assert "; the job validate has run, and this atlas has no more prompts" in all_run[0]
    assert "(the job validate has run, and there are no more)." in all_run[1]
    # tables of before it say nothing about what it has run
    store.write("ablation", test_effects.losses(1), inputs={})
    assert shown() == sampled


@pytest.mark.parametrize(
    ("columns", "header"),
    [
        (150, "definition type size identified necessity specificity over matched faithful"),
        (80, "definition type size identified necessity specificity over"),
        (70, "definition type size ident. nec. spec. over m."),
        (62, "definition type size ident. nec. spec. over m."),
    ],
)
def test_definitions_are_compared_in_a_table_in_a_narrow_terminal(
    with_quality: Path, call: Call, one: pl.DataFrame, columns: int, header: str
) -> None:
    """At 80 columns each row was a list of nine lines."""
    board = leaderboard(judged().circuits, None, one)[[0, 0]].with_columns(
        definition=pl.Series(["calibrated", "contrastive"]),
        type=pl.lit("builtin"),
        size=pl.lit(218.83),
        identification_top1=pl.lit(1.0),
        identification_top1_low=pl.lit(0.5),
        identification_top1_high=pl.lit(1.0),
        **{
            f"{name}{end}": pl.lit(value)
            for name in ("necessity", "specificity", "over_matched")
            for end, value in {"": 0.25, "_low": 0.125, "_high": 0.5}.items()
        },
        faithfulness_own=pl.lit(0.5),
    )
    open_with_model(settings_in(with_quality)).write("circuit_leaderboard", board, inputs={})
    shown = call(with_quality, "leaderboard", columns=columns).out
    lines = shown.splitlines()[2:]
    assert max(map(len, lines)) <= columns, shown
    assert " ".join(lines[0].split()).startswith(header)
    rows = [words for words in map(str.split, lines) if words[1:2] == ["builtin"]]
    assert [row[0] for row in rows] == ["calibrated", "contrastive"], shown
    told = " ".join(" ".join(lines).split())
    if columns == 150:
        assert rows[0][3:6] == ["100.0%", "[50.0%,", "100.0%]"]
        assert "Left out" not in told
    else:
        assert rows[0][2:] == ["218.8", "100.0%", "+0.250", "+0.250", "+0.250"]
        assert "Left out for want of room: 95% intervals, faithful and above matched." in told
        assert "A wider terminal shows them, and so does --json." in told
    assert ("nec. = necessity" in told) == (columns < 80)


def test_shares_are_percentages(with_quality: Path, call: Call) -> None:
    asked = ("quality", "C1", "-d", "published")
    (row,) = call(with_quality, *asked, "--json").json["quality"]
    shown = call(with_quality, *asked).out
    assert f"{row['identification_top1']:.1%}" in shown
    assert f"{row['identification_rank']:.1f}" in shown


@pytest.mark.parametrize("wrong", ["nope", "", "published@2", "published@-1,0.8"])
@pytest.mark.parametrize("concept", [(), ("C1",)])
def test_another_definition_is_refused(
    with_quality: Path, call: Call, concept: tuple[str, ...], wrong: str
) -> None:
    shown = call(with_quality, "quality", *concept, "-d", wrong, "--json")
    assert shown.code == 2
    error = shown.json["error"]
    assert (error["where"], error["found"]) == ("--definition", repr(wrong))
    assert error["expected"] == " or ".join(DEFINITIONS)
