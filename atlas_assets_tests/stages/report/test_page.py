"""The report: complete, legible to everyone, alone, and safe with any name in it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from upath import UPath

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.gather import caption_of, gather
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import universal_table
from atlas_assets.stages.report.claims import ClaimResult
from atlas_assets.stages.report.page import Page, render
from atlas_assets.stages.setting import DEFINITIONS, REFERENCE, STANDALONE
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.stages.report.reading import Reading
from atlas_assets_tests.storage.release_files import note_fetched, write_object_masks
from atlas_assets_tests.storage.samples import DEFINED, LINEAGE, objects, sample

SWEEP = (STANDALONE, REFERENCE)
SETTINGS = AtlasSettings.build(epsilons="0.001,0.5", consistencies="0.8")
HOSTILE = "<script>alert('x')</script>&\"model\""


def store_at(folder: Path, lineage: Lineage = LINEAGE) -> AtlasStore:
    return AtlasStore(UPath(folder), lambda: lineage, SWEEP, definitions=DEFINED)


def fill(store: AtlasStore) -> AtlasStore:
    for key, artifact in ARTIFACTS.items():
        if artifact.group == "stage_17_report":
            continue
        for setting in store.partitions(key):
            value = sample(key, setting or REFERENCE)
            if key == "masks":
                value = universal_table({at: objects(at).universal for at in SWEEP})
            store.write(key, value, setting)
    return store


def page_of(store: AtlasStore) -> Page:
    return gather(store, SETTINGS, evaluate_claims(store, SETTINGS))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> AtlasStore:
    return fill(store_at(tmp_path_factory.mktemp("atlas")))


@pytest.fixture(scope="module")
def page(store: AtlasStore) -> Page:
    return page_of(store)


@pytest.fixture(scope="module")
def reading(page: Page) -> Reading:
    return Reading(render(page))


def test_every_part_of_the_atlas_is_on_the_page(page: Page, reading: Reading) -> None:
    shown = {element.attributes.get("id") for element in reading.elements}
    figures = {key for key in ARTIFACTS if key.startswith("figure_")}
    assert figures <= shown
    assert {"claims", "figures", "fractions", "sizes", "entanglement", "similarity"} <= shown
    assert "provenance" in shown
    assert page.missing == ()
    text = reading.elements[0].text
    for key, artifact in ARTIFACTS.items():
        if artifact.group != "stage_17_report":
            for partition in (
                DEFINED
                if artifact.partitions is DEFINITIONS
                else (SWEEP if artifact.partitioned else (None,))
            ):
                assert artifact.file_name(partition) in text, key
    for claim in page.claims:
        assert claim.id in text
        assert claim.statement in text
    assert "readout" in text
    assert "last_token" in text
    assert "embedded" in text


def test_tables_name_their_setting(reading: Reading) -> None:
    captions = [caption.text for caption in reading.all("caption")]
    assert "Circuit sizes, neurons, at ε=0.001, C=0.8" in captions
    assert "Relaxed modularity, all concepts, at ε=0.5, C=0.8" in captions
    assert any(text.startswith("Token independence") and "ε=0.5" in text for text in captions)


def test_the_page_needs_nothing_else(reading: Reading, page: Page) -> None:
    loads = reading.loads()
    assert len(loads) == len(page.figures) > 0
    assert all(address.startswith("data:image/png;base64,") for address in loads)
    assert not reading.all("script", "iframe", "object", "embed", "link", "form")
    (policy,) = (
        element.attributes["content"]
        for element in reading.all("meta")
        if element.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    targets = [element.attributes["href"] for element in reading.all("a")]
    ids = [element.attributes["id"] for element in reading.elements if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert all(target.startswith("#") and target[1:] in ids for target in targets)


def test_the_page_can_be_heard(reading: Reading) -> None:
    (html,) = reading.all("html")
    assert html.attributes["lang"] == "en"
    assert reading.declaration.lower() == "doctype html"
    assert len(reading.all("title")) == len(reading.all("h1")) == len(reading.all("main")) == 1
    levels = [int(element.name[1]) for element in reading.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = {element.attributes.get("id"): element for element in reading.elements}
    for image in reading.all("img"):
        assert len(image.attributes["alt"]) > 10
        assert ids[image.attributes["aria-describedby"]].text
        assert int(image.attributes["width"]) > 0
        assert int(image.attributes["height"]) > 0
    tables = reading.all("table")
    assert len(reading.all("caption")) == len(tables)
    for header in reading.all("th"):
        assert header.attributes["scope"] == ("col" if "thead" in header.inside else "row")
        assert header.text.strip()


def test_rows_have_as_many_cells_as_their_table_has_columns(reading: Reading) -> None:
    starts = [i for i, element in enumerate(reading.elements) if element.name == "table"]
    for start, end in zip(starts, [*starts[1:], len(reading.elements)], strict=True):
        cells = [e for e in reading.elements[start:end] if e.name in ("th", "td")]
        columns = sum(1 for cell in cells if "thead" in cell.inside)
        body = [cell for cell in cells if "tbody" in cell.inside]
        assert len(body) % columns == 0
        assert [cell.name for cell in body[:: columns or 1]] == ["th"] * (len(body) // columns)


def test_whatever_a_name_says_is_text(tmp_path: Path) -> None:
    lineage = LINEAGE.model_copy(update={"model": ModelIdentity(model_id=HOSTILE)})
    store = store_at(tmp_path, lineage)
    for setting in SWEEP:
        store.write("object_masks", objects(setting), setting, inputs={})
    store.write("masks", universal_table({at: objects(at).universal for at in SWEEP}))
    claim = next(iter(evaluate_claims(store, SETTINGS)))
    hostile = replace(claim, statement=HOSTILE, observed=HOSTILE, note=HOSTILE)
    reading = Reading(render(gather(store, SETTINGS, [hostile])))
    assert not reading.all("script")
    assert reading.all("h1")[0].text == f"CSP-Atlas of {HOSTILE}"
    assert sum(HOSTILE in cell.text for cell in reading.all("td")) == 2


def test_the_same_atlas_elsewhere_gives_the_same_page(page: Page, tmp_path: Path) -> None:
    assert render(page_of(fill(store_at(tmp_path)))) == render(page)


def test_what_is_absent_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    empty = page_of(store)
    assert not empty.figures
    assert not empty.analyses
    reading = Reading(render(empty))
    assert "No figure has been made yet." in reading.elements[0].text
    assert "13_object_masks_eps0.5_cons0.8.h5" in reading.elements[0].text
    store.write("layer_profile", sample("layer_profile"), inputs={})
    store.write("figure_sweep", sample("figure_sweep"), inputs={})
    (section,) = page_of(store).analyses
    assert section.id == "sizes"
    assert [figure.key for figure in page_of(store).figures] == ["figure_sweep"]


def test_verdicts_differ_by_more_than_colour(page: Page) -> None:
    claim = page.claims[0]
    results: list[ClaimResult] = [
        replace(claim, holds=holds, about_this_atlas=claimed)
        for holds, claimed in ((True, True), (False, True), (None, True), (True, False))
    ]
    text = Reading(render(replace(page, claims=tuple(results)))).elements[0].text
    for words in ("✓ holds", "✗ broken", "– cannot be evaluated", "○ observed, not claimed"):
        assert words in text
    text = Reading(render(replace(page, claims=()))).elements[0].text
    assert "No claim was evaluated." in text


def test_notes_are_numbered_once_each(page: Page) -> None:
    first = page.claims[0]
    claims = tuple(replace(first, note=note) for note in ("one", "", "two", "one"))
    reading = Reading(render(replace(page, claims=claims)))
    notes = [
        element for element in reading.all("li") if "note_" in element.attributes.get("id", "")
    ]
    assert [note.text for note in notes] == ["one", "two"]
    marks = [element.text for element in reading.all("sup")]
    assert marks == ["1", "2", "1"]


def test_damaged_files_and_those_of_another_atlas_are_not_reported(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.write("figure_sweep", sample("figure_sweep"), inputs={})
    path = Path(str(store.path("figure_sweep")))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtifactError, match=r"figure_sweep\.png"):
        page_of(store)
    other = store_at(tmp_path, LINEAGE.model_copy(update={"readout": "published"}))
    path.unlink()
    store.write("layer_profile", sample("layer_profile"), inputs={})
    with pytest.raises(ProvenanceError):
        page_of(other)


def test_files_of_the_release_and_of_unknown_origin_are_said_to_be(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    for setting in SWEEP:
        write_object_masks(Path(str(store.path("object_masks", setting))), objects(setting))
    masks = universal_table({at: objects(at).universal for at in SWEEP})
    store.write("masks", masks)
    page = page_of(store)
    assert page.model == "unknown (files of unknown origin)"
    assert {row[2] for row in page.provenance.tables[0].rows} == {"unknown"}
    note_fetched(tmp_path)
    store.write("masks", masks)
    page = page_of(store)
    assert page.model == "openai/circuit-sparsity (frozen artifacts)"
    assert dict(page.facts)["readout"] == "published"
    origins = {row[0]: row[2] for row in page.provenance.tables[0].rows}
    assert set(origins.values()) == {"release"}
    assert len(origins) == 3
    caption = caption_of(store, "masks", setting=REFERENCE)
    assert caption.line() == (
        "model openai/circuit-sparsity (frozen artifacts) · ε=0.5, C=0.8 · readout published"
    )
    assert caption.note is None
