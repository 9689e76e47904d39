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


def test_the_header_of_a_table_is_markdown_and_its_cells_are_not() -> None:
    table = markdown_table(("`a`", "b"), [("x|", ""), ("y", "z")])
    assert table == "| `a` | b |\n| --- | --- |\n| x\\| | – |\n| y | z |"
