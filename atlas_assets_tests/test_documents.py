"""Pages that are made from declarations say what is declared; links of pages lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from atlas_assets.stages.catalog import ARTIFACTS
from tools.document_artifacts import PAGE, page

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images" / "pictures.json"
FULL_ATLAS = ROOT / "atlas_assets_tests" / "frozen" / "recorded" / "full_atlas.json"
MAKE_PICTURES = "build the atlas of the embedded model, then run make pictures"
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")})


def test_the_page_of_artifacts_is_made_from_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tools.document_artifacts"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_and_headings_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_pictures_show_the_data_of_the_embedded_atlas() -> None:
    """Each is kept with the digests of what it shows: those recorded of the full atlas."""
    recorded = json.loads(FULL_ATLAS.read_text(encoding="utf-8"))
    pictures = json.loads(PICTURES.read_text(encoding="utf-8"))
    groups = {artifact.group.removeprefix("stage_") for artifact in ARTIFACTS.values()}
    groups |= {"10_model", "18_version"}
    assert set(pictures["lineage.png"]["groups"]) == groups, MAKE_PICTURES
    assert pictures.keys() - {"findings"} == {path.name for path in PICTURES.parent.glob("*.png")}
    for shown in pictures.values():
        for file, digest in shown.items():
            if "." in file:
                beside = ".provenance/" if file.endswith(".csv") else ""
                assert recorded[f"{beside}{file} | payload"] == digest, MAKE_PICTURES


def test_the_findings_of_the_readme_are_those_of_the_embedded_atlas() -> None:
    """Each number of a sentence stands in its own finding, intervals aside; the third has two."""
    shared, keyword, *identifying = json.loads(PICTURES.read_text(encoding="utf-8"))["findings"][
        "sentences"
    ]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    findings = re.findall(r"(?ms)^\d\. \*\*.+?(?=^\d\. \*\*|\n\n)", readme)
    told = (shared, keyword, " ".join(identifying))
    for finding, sentences in zip(findings, told, strict=True):
        stated = re.sub(r"\[.*?\]", "", sentences)
        for number in re.findall(r"\d[\d.,]*\d%?|\d%?", stated):
            assert re.search(rf"(?<![\d.]){re.escape(number)}(?!\d|\.\d)", finding), sentences
