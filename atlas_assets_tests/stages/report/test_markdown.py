"""The claims as a document."""

from __future__ import annotations

from dataclasses import replace

from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.stages.report.markdown import claims_markdown, claims_table, markdown_table
from atlas_assets_tests.stages.report.test_page import store_at


def test_claims_are_tabulated_tallied_and_explained(tmp_path) -> None:
    result = evaluate_claims(store_at(tmp_path), AtlasSettings())[0]
    seen = replace(result, observed="3", holds=True, about_this_atlas=True, note="")
    missing = replace(result, id="other", statement="a|b_c", note="no <file>")
    text = claims_markdown([seen, missing])
    assert "2 claims. Holds: 1; not evaluated: 1." in text
    assert f"| `{result.id}` | §3.2 | 43 AST nodes | – | 43 | 3 | holds |" in text
    assert "| `other` | §3.2 | a\\|b\\_c | – | 43 | – | not evaluated |" in text
    assert text.endswith("## Not evaluated\n\n- `other`: no \\<file\\>\n")
    assert "| 43 AST nodes (§3.2) | 43 | 3 |" in claims_table([seen])


def test_of_another_model_it_is_told_and_counted_what_is_as_in_the_paper(tmp_path) -> None:
    result = evaluate_claims(store_at(tmp_path), AtlasSettings())[0]
    alike = replace(result, observed="43", holds=True, about_this_atlas=False, note="")
    unlike = replace(alike, id="unlike", observed="3", holds=False)
    missing = replace(alike, id="missing", observed="", holds=None, note="none")
    text = claims_markdown([alike, unlike, missing])
    assert (
        "3 claims. Not evaluated: 1; observed, not claimed: 2. Of an atlas that the paper does "
        "not speak of: 1 of 3 as in the paper, 1 not, 1 not applicable.\n" in text
    )
    assert "| 43 | 43 | observed, not claimed: holds |" in text
    assert "| 43 | 3 | observed, not claimed: does not hold |" in text


def test_the_header_of_a_table_is_markdown_and_its_cells_are_not() -> None:
    table = markdown_table(("`a`", "b"), [("x|", ""), ("y", "z")])
    assert table == "| `a` | b |\n| --- | --- |\n| x\\| | – |\n| y | z |"
