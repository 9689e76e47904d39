"""Tables as readers see them."""

from __future__ import annotations

from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.report.table import show, table
from atlas_assets_tests.stages.figures import synthetic
from atlas_assets_tests.storage.samples import sample


def test_numbers_are_written_alike() -> None:
    found = table(
        "t",
        ["name", "n", "x", "mean |A|", "mixed"],
        [["a", 12345, 0.5, 39.04, 1], ["b", 0, 1.0, None, "x"]],
        places_of={"mean |A|": 1},
    )
    assert found.rows == (("a", "12,345", "0.5000", "39.0", "1"), ("b", "0", "1.0000", "–", "x"))
    assert found.numeric == {1, 2, 3}
    assert show(None) == "–"
    assert table("t", ["name"], []).rows == ()


def test_sweep_and_decomposition_keep_every_row() -> None:
    summary = sample("summary")
    assert len(decomposition.summary_shown(summary).rows) == summary.height
    decomposed = decomposition.target_checker_shown(synthetic.target_checker())
    assert len(decomposed.rows) == 58
    assert decomposed.columns[1:] == tuple(f"layer {layer}" for layer in range(8))
