"""``atlas quality`` names concepts and definitions as the other commands do."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from atlas_assets.atlas.open import open_with_model
from atlas_assets.stages.circuits.quality import quality
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.sample_atlas import settings_in
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
