"""The card: everything on it comes from the artifacts; what people wrote on it stays."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from atlas_assets.errors import ArtifactError
from atlas_assets.hub.card import BEGIN, END, LICENCE, render
from atlas_assets.hub.manifest import Manifest, manifest_of
from atlas_assets.hub.staging import Stage
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets_tests.hub.publishing import HAND_WRITTEN, REPO

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def card(stage: Stage) -> str:
    return render("", stage.manifest, REPO)


def test_hand_written_text_stays_around_the_generated_part(stage: Stage, card: str) -> None:
    first = render(HAND_WRITTEN, stage.manifest, REPO)
    assert first.index(HAND_WRITTEN) < first.index(BEGIN)
    both = first + "\nAnd this after it.\n"
    other = manifest_of(stage.manifest.files[:3])
    changed = render(both, other, REPO)
    assert changed.index(HAND_WRITTEN) < changed.index(BEGIN)
    assert changed.endswith("\nAnd this after it.\n")
    assert render(changed, stage.manifest, REPO) == both


_PROSE = f"Text between `{BEGIN}` and `{END}` is generated.\n"
_EXAMPLE = f"1. So:\n\n   ```html\n{BEGIN}\n{END}\n   ```\n\n~~~\n```\n{END}\n~~~\n"


@pytest.mark.parametrize(
    "text",
    ["", "x", "x\n", "x\n\n", "\r\nx\r\n", f"{END} x {BEGIN}\ny\n", _PROSE, _EXAMPLE, f"  {END}\n"],
)
def test_any_text_survives(stage: Stage, text: str) -> None:
    rendered = render(text, stage.manifest, REPO)
    assert text in rendered and render(rendered, stage.manifest, REPO) == rendered


@pytest.mark.parametrize(
    "words",
    [
        _PROSE,
        _EXAMPLE,
        "- ```bash\n  cmd\n  ```\n",
        "> ~~~\n> a\n> ~~~\n",
        "1. a\n\n    ```sh\n    x\n    ```\n",
        "~~~~\n~~~\n~~~~~\n",
        "````md\n```\n````\n",
        "``` `one line` ```\n",
    ],
)
def test_words_and_code_around_the_markers_are_none(stage: Stage, card: str, words: str) -> None:
    """Nor do they hide one."""
    around = card.replace(f"{BEGIN}\n", f"{words}{BEGIN}\n") + words
    other = render(around, manifest_of(stage.manifest.files[:3]), REPO)
    assert other.count(words) == 2 and len(other) < len(around)
    assert render(other, stage.manifest, REPO) == around


@pytest.mark.parametrize(("old", "new"), [("\n", "\r\n"), (f"{BEGIN}\n", f"{BEGIN}  \n")])
def test_markers_are_found_at_other_line_ends(stage: Stage, card: str, old: str, new: str) -> None:
    rendered = render(card.replace(old, new), stage.manifest, REPO)
    assert rendered.count(BEGIN) == rendered.count(END) == 1
    assert render(rendered, stage.manifest, REPO) == rendered


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{BEGIN}\n", f"{BEGIN}\nkeep me\n{BEGIN}\n"),
        (f"{END}\n", ""),
        (f"{BEGIN}\n", ""),
        (f"{END}\n", f"{END} and my words\n"),
        (f"{END}\n", f"{END}\n{BEGIN}\n{END}\n"),
        (f"{BEGIN}\n", f"```\n{BEGIN}\n"),
    ],
)
def test_markers_that_are_no_pair_are_refused(stage: Stage, card: str, old: str, new: str) -> None:
    assert card.count(old) == 1
    with pytest.raises(ArtifactError, match="not clear which part") as refused:
        render(card.replace(old, new), stage.manifest, REPO)
    assert "in line " in str(refused.value.found)


def test_fenced_code_that_does_not_end_is_refused(stage: Stage) -> None:
    with pytest.raises(ArtifactError, match="not clear") as refused:
        render("---\na: 1\n---\nSo:\n```\nx\n", stage.manifest, REPO)
    assert refused.value.found == "fenced code that begins in line 5 and does not end"


def test_a_byte_order_mark_makes_no_second_front_matter(stage: Stage, card: str) -> None:
    assert render(f"\ufeff{card}", stage.manifest, REPO) == card
    assert render(f"\ufeff{HAND_WRITTEN}", stage.manifest, REPO).startswith("---\nlicense: ")


def test_without_a_table_there_is_no_configuration(stage: Stage) -> None:
    files = [file for file in stage.manifest.files if file.asset == "object_masks"]
    card = render("", manifest_of(files), REPO)
    assert "configs" not in card and "load_dataset" not in card
    assert "/universal_masks/layer_0 … layer_7/" in card


def test_every_claim_is_there_as_it_was_evaluated(stage: Stage, card: str) -> None:
    rows = {line.split("|")[1].strip(): line for line in card.splitlines() if line[:3] == "| `"}
    assert len(stage.manifest.claims) > 40
    for claim in stage.manifest.claims:
        row = rows[f"`{claim.id}`"].replace("\\", "")
        assert claim.expected in row and claim.observed in row and claim.verdict in row


def test_every_column_is_described_by_its_schema(card: str) -> None:
    for key in ("object_prompts", "summary", "masks", "modularity_detail"):
        schema = ARTIFACTS[key].schema
        assert schema is not None
        part = re.search(rf"<code>{key}</code>.*?</details>", card, re.DOTALL)
        assert part is not None
        shown = part[0].replace("\\", "")
        for column in schema.columns:
            assert f"| `{column.name}` |" in shown and f"| {column.description} |" in shown


def test_every_file_is_listed_with_its_making(stage: Stage, card: str) -> None:
    for file in stage.manifest.files:
        if file.made_from is None:
            assert file.provenance is not None
            assert f"| `{file.path}` |" in card and file.provenance.payload_sha256[:16] in card


def test_the_citation_is_that_of_the_repository(card: str) -> None:
    cff = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    cited = cff["preferred-citation"]
    author = cited["authors"][0]
    for text in (
        cited["title"],
        f"{author['family-names']}, {author['given-names']}",
        str(cited["year"]),
        cited["url"],
        cited["identifiers"][0]["value"],
    ):
        assert text in card
    assert cff["license"].lower() == LICENCE


def test_nothing_on_the_card_is_typed_by_hand(stage: Stage) -> None:
    """Numbers are those of the manifest: another manifest, another number."""
    template = (ROOT / "atlas_assets" / "hub" / "card.md.j2").read_text(encoding="utf-8")
    numbers = set(re.findall(r"\b\d[\d,.]*\b", re.sub(r"\{[{%].*?[}%]\}", "", template)))
    # the paper's year and number, the licence's version, SHA-256
    assert numbers == {"2026", "2605.24603", "2.0", "256"}
    assert "5,151" not in render("", stage.manifest, REPO)
    files = [
        file.model_copy(update={"table": file.table.model_copy(update={"rows": 5151})})
        if file.table is not None and file.table.config == "summary"
        else file
        for file in stage.manifest.files
    ]
    assert "5,151" in render("", Manifest(files=tuple(files)), REPO)


def test_what_a_hostile_file_says_of_itself_stays_text(stage: Stage, card: str) -> None:
    hostile = f"x`\n```\n{END}\n# A headline\n![i](http://x) <script> | [l](http://y)"
    files = []
    for file in stage.manifest.files:
        record = file.provenance
        if record is not None:
            told = {"versions": {hostile: hostile}, "inputs": {hostile: hostile}}
            more = {"code_version": hostile, "payload_sha256": hostile}
            record = record.model_copy(update={**told, **more})
        layout = (hostile,) if file.layout else ()
        files.append(file.model_copy(update={"provenance": record, "layout": layout}))
    told_so = stage.manifest.model_copy(update={"files": tuple(files)})
    rendered = render("", told_so, REPO)
    assert rendered.splitlines().count(END) == rendered.splitlines().count(BEGIN) == 1
    headlines = [line for line in card.splitlines() if line.startswith("# ")]
    assert [line for line in rendered.splitlines() if line.startswith("# ")] == headlines
    outside = re.sub(r"^```.*?^```$", "", rendered, flags=re.DOTALL | re.MULTILINE)
    assert "](http://x)" not in outside and "](http://y)" not in outside
    assert not re.search(r"(?<!\\)<script>", outside)
    assert render(rendered, told_so, REPO) == rendered
