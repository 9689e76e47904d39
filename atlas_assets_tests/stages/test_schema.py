"""Every way a table can break its schema is named: file, column, first offending row."""

from __future__ import annotations

import polars as pl
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.schema import TableSchema
from atlas_assets_tests.storage.samples import sample

TABLES = sorted(key for key, artifact in ARTIFACTS.items() if artifact.schema)


def schema_of(key: str) -> TableSchema:
    schema = ARTIFACTS[key].schema
    assert schema is not None
    return schema


def refusal(key: str, frame: pl.DataFrame) -> str:
    with pytest.raises(ArtifactError) as caught:
        schema_of(key).check(frame, where="the.file")
    assert "the.file" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", TABLES)
def test_sound_tables_pass_and_every_column_is_described(key: str) -> None:
    schema_of(key).check(sample(key), where="the.file")
    for column in schema_of(key).declared(sample(key).columns):
        assert len(column.description) > 3, column.name


@pytest.mark.parametrize("key", TABLES)
def test_columns_that_are_not_the_declared_ones_are_named(key: str) -> None:
    frame = sample(key)
    for column in schema_of(key).columns:
        assert f"column {column.name!r}" in refusal(key, frame.drop(column.name))
    message = refusal(key, frame.with_columns(pl.lit(1).alias("surplus")))
    assert "'surplus'" in message or "'L6'" in message  # a numbered column comes next there
    assert "order of the columns" in refusal(key, frame.select(reversed(frame.columns)))
    for name, dtype in frame.schema.items():
        other = pl.lit(1, pl.Int8) if dtype == pl.String else pl.lit("x")
        message = refusal(key, frame.with_columns(other.alias(name)))
        assert f"column {name!r}" in message
        assert str(dtype) in message


#: columns that are absent together or not at all
TOGETHER = dict.fromkeys(("fraction_intervals", "token_control"), ("low", "high"))


@pytest.mark.parametrize("key", TABLES)
def test_an_absent_value_is_refused_where_one_is_needed(key: str) -> None:
    frame, together = sample(key), TOGETHER.get(key, ())
    for column in schema_of(key).declared(frame.columns):
        all_but_last = pl.int_range(pl.len()) < pl.len() - 1
        holed = frame.with_columns(pl.when(all_but_last).then(pl.col(column.name)))
        if column.name in together:
            assert f"row {frame.height - 1}" in refusal(key, holed)
            holed = frame.with_columns(pl.when(all_but_last).then(pl.col(*together)))
        if column.nullable:
            schema_of(key).check(holed, where="the.file")
        else:
            message = refusal(key, holed)
            assert f"column {column.name!r}, row {frame.height - 1}" in message
            assert "nothing" in message


@pytest.mark.parametrize("key", TABLES)
def test_a_duplicate_row_is_named(key: str) -> None:
    frame = sample(key)
    message = refusal(key, pl.concat([frame, frame.head(1)]))
    assert f"row {frame.height} (from 0)" in message
    assert "once each" in message


@pytest.mark.parametrize("key", TABLES)
def test_numbers_out_of_range_and_not_finite_are_named(key: str) -> None:
    frame = sample(key)
    for column in schema_of(key).declared(frame.columns):
        bad = [-1.0] if column.minimum is not None else []
        bad += [column.maximum + 1] if column.maximum is not None else []
        bad += [float("nan"), float("inf")] if column.dtype == pl.Float64 else []
        for value in bad:
            first = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(value, column.dtype))
            wrong = frame.with_columns(first.otherwise(pl.col(column.name)).alias(column.name))
            assert f"column {column.name!r}, row 0" in refusal(key, wrong)


@pytest.mark.parametrize(
    ("key", "column", "value", "expected"),
    [
        ("checker_prompts", "object", "For", "text like"),
        ("object_prompts", "prompt_text", "", "text like"),
        ("modularity_scores", "type", "keyword", "ast or builtin"),
        ("token_independence_no_keyword", "status", "keyword", "no_keyword"),
        ("target_checker", "L3", "1 / 2", "text like"),
        ("token_independence_detail", "A_size", 99, "A_only + A_and_B = A_size"),
        ("token_independence_detail", "B_size", 99, "B_only + A_and_B = B_size"),
        ("token_independence_detail", "token_fraction", 0.77, "= 1, or 0 where A_size is 0"),
        ("summary", "n_testable", 9, "n_ast + n_builtin = n_testable"),
        ("masks", "size", 1000, "ascending indices"),
        ("masks", "width", 1, "ascending indices"),
    ],
)
def test_rules_hold_in_every_row(key: str, column: str, value: object, expected: str) -> None:
    frame = sample(key)
    message = refusal(key, frame.with_columns(pl.lit(value, frame.schema[column]).alias(column)))
    assert expected in message
    assert "row 0" in message


@pytest.mark.parametrize("neurons", [[3, 3], [5, 2], [-1, 4], [2, 16]])
def test_neurons_are_ascending_indices_within_the_width(neurons: list[int]) -> None:
    frame = sample("masks").head(1)
    wrong = frame.with_columns(
        pl.Series("neurons", [neurons], pl.List(pl.Int32)), pl.Series("size", [2], pl.Int64)
    )
    assert "ascending indices" in refusal("masks", wrong)
    right = wrong.with_columns(pl.Series("neurons", [[0, 15]], pl.List(pl.Int32)))
    schema_of("masks").check(right, where="the.file")


def test_numbered_columns_are_at_least_one_and_without_gaps() -> None:
    frame = sample("target_checker")
    assert "column 'L0'" in refusal("target_checker", frame.select("target"))
    assert "column 'L2'" in refusal("target_checker", frame.drop("L2"))
    schema_of("target_checker").check(frame.select("target", "L0"), where="the.file")


@pytest.mark.parametrize("key", ["object_prompts", "masks", "summary"])
def test_some_tables_may_not_be_empty(key: str) -> None:
    assert "at least one row" in refusal(key, sample(key).clear())


def test_long_values_are_cut_in_messages() -> None:
    frame = sample("modularity_scores").with_columns(type=pl.lit("y" * 5000))
    assert len(refusal("modularity_scores", frame)) < 500
