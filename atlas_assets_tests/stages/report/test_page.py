"""The page: complete, alone, built from its sources, and safe with any name in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import cast

import pytest
from upath import UPath

from atlas_assets.errors import ArtifactError, ProvenanceError
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.evaluate import evaluate_claims
from atlas_assets.soundness.evidence import Recomputation
from atlas_assets.soundness.gather import caption_of, gather
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import universal_from_table, universal_table
from atlas_assets.stages.report.explorer import explorer_data
from atlas_assets.stages.report.page import BUNDLE, SECTIONS, Page, render
from atlas_assets.stages.setting import DEFINITIONS, REFERENCE, STANDALONE
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.stages.report.reading import Reading
from atlas_assets_tests.storage.release_files import note_fetched, write_object_masks
from atlas_assets_tests.storage.samples import DEFINED, LINEAGE, objects, sample

SWEEP = (STANDALONE, REFERENCE)
SETTINGS = AtlasSettings.build(epsilons="0.001,0.5", consistencies="0.8")
HOSTILE = "<script>alert('x')</script>&\"model\""
EXPLORER = Path(__file__).resolve().parents[3] / "explorer"
#: what npm says where there is no way to the registry
OFFLINE = ("EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "ETIMEDOUT")


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


def making_of(store: AtlasStore) -> Making:
    """What the page is computed with, on the files of an atlas."""
    recomputation = Recomputation(
        sweep=store.sweep,
        definitions=store.definitions,
        partition=None,
        read=lambda key, at=None, _part=None: store.read(key, at),
        universal=lambda at: universal_from_table(store.read("masks"), at),
        any_universal=lambda: universal_from_table(store.read("masks"), store.sweep[0]),
    )
    return cast(Making, recomputation)


def html_of(store: AtlasStore, page: Page) -> str:
    return render(page, explorer_data(making_of(store), page))


def bundle() -> str:
    """The page as it is shipped, without an atlas."""
    folder = resources.files("atlas_assets.stages.report")
    return (folder / BUNDLE).read_text(encoding="utf-8")


def page_of(store: AtlasStore) -> Page:
    return gather(store, SETTINGS, evaluate_claims(store, SETTINGS))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> AtlasStore:
    return fill(store_at(tmp_path_factory.mktemp("atlas")))


@pytest.fixture(scope="module")
def page(store: AtlasStore) -> Page:
    return page_of(store)


@pytest.fixture(scope="module")
def reading(store: AtlasStore, page: Page) -> Reading:
    return Reading(html_of(store, page))


def test_every_part_of_the_atlas_is_on_the_page(page: Page) -> None:
    assert [section.id for section in page.analyses] == [section.id for section in SECTIONS]
    assert page.missing == ()
    files = {row[0] for row in page.provenance.tables[0].rows}
    for key, artifact in ARTIFACTS.items():
        if artifact.group != "stage_17_report":
            for partition in (
                DEFINED
                if artifact.partitions is DEFINITIONS
                else (SWEEP if artifact.partitioned else (None,))
            ):
                assert artifact.file_name(partition) in files, key
    facts = dict(page.facts)
    assert facts["model"] == "embedded"
    assert facts["readout"] == "last_token"


def test_tables_name_their_setting(page: Page) -> None:
    captions = [table.caption for section in page.analyses for table in section.tables]
    assert "Circuit sizes, neurons, at ε=0.001, C=0.8" in captions
    assert "Relaxed modularity, all concepts, at ε=0.5, C=0.8" in captions
    assert any(text.startswith("Token independence") and "ε=0.5" in text for text in captions)


def test_the_page_needs_nothing_else(reading: Reading) -> None:
    assert not reading.loads()
    assert not reading.all("iframe", "object", "embed", "link", "form")
    (policy,) = (
        element.attributes["content"]
        for element in reading.all("meta")
        if element.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    (script,) = (e for e in reading.all("script") if e.attributes.get("type") == "module")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


def test_the_page_can_be_heard(reading: Reading) -> None:
    (html,) = reading.all("html")
    assert html.attributes["lang"] == "en"
    assert reading.declaration.lower() == "doctype html"
    assert [title.text for title in reading.all("title")] == ["CSP-Atlas of embedded"]
    assert "JavaScript" in reading.all("noscript")[0].text


def test_whatever_a_name_says_is_text(page: Page) -> None:
    data = {HOSTILE: [HOSTILE, "\u2028<!--<script>\ud800]]>", "ATLAS_DATA ATLAS_TITLE"]}
    html = render(replace(page, model=f"{HOSTILE} ATLAS_DATA"), data)
    reading = Reading(html)
    module, atlas = reading.all("script")
    assert atlas.attributes == {"id": "atlas", "type": "application/json"}
    assert json.loads(atlas.text) == data
    assert module.text == Reading(render(page, {})).all("script")[0].text
    assert reading.all("title")[0].text == f"CSP-Atlas of {HOSTILE} ATLAS_DATA"
    assert html.count("<script") == 2


def test_the_bundle_is_built_from_the_sources_beside_it() -> None:
    """Without Node: the page names the SHA-256 of what it was built from."""
    sources = EXPLORER / "src"
    names = [f"src/{path.name}" for path in sources.iterdir()]
    names += ["index.html", "package-lock.json", "package.json", "tsconfig.json", "vite.config.ts"]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (EXPLORER / name).read_bytes() + b"\0")
    found = re.search(r'name="sources-sha256" content="(\w+)"', bundle())
    assert found is not None
    assert found[1] == digest.hexdigest(), "run `make explorer`"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs Node and npm to build the page anew")
def test_the_sources_give_the_bundle(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("node_modules", "dist")
    shutil.copytree(EXPLORER, tmp_path / "explorer", ignore=ignored)
    packaged = tmp_path / "atlas_assets" / "stages" / "report"
    packaged.mkdir(parents=True)
    commands = (["npm", "ci", "--no-audit", "--no-fund"], ["npm", "run", "build"])
    for command in commands:
        done = subprocess.run(
            command, cwd=tmp_path / "explorer", capture_output=True, text=True, timeout=600
        )
        # a lock file that does not fit package.json is a failure, an unreachable registry is not
        if done.returncode and any(f"code {code}" in done.stderr for code in OFFLINE):
            pytest.skip(f"needs the npm registry: {done.stderr[-200:]}")
        assert done.returncode == 0, done.stdout + done.stderr
    assert (packaged / "explorer.html").read_text(encoding="utf-8") == bundle()


def test_the_same_atlas_elsewhere_gives_the_same_page(page: Page, tmp_path: Path) -> None:
    store = fill(store_at(tmp_path))
    assert html_of(store, page_of(store)) == html_of(store, page)


def test_what_is_absent_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    empty = page_of(store)
    assert not empty.analyses
    assert "13_object_masks_eps0.5_cons0.8.h5" in empty.missing
    data = explorer_data(making_of(store), empty)
    assert data["concepts"] == data["definitions"] == data["findings"] == []
    assert "prompts" not in data
    store.write("layer_profile", sample("layer_profile"), inputs={})
    (section,) = page_of(store).analyses
    assert section.id == "sizes"


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
