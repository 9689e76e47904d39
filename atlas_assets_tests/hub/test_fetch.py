"""Files of a source into a folder: what is fetched, what is left alone, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from upath import UPath

from atlas_assets.atlas.status import survey
from atlas_assets.errors import ArtifactError, SettingsError, UnreadableArtifactError
from atlas_assets.hub.fetch import choose, fetch
from atlas_assets.hub.source import open_source
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage import source_record
from atlas_assets.storage.provenance import Lineage
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.hub import release_repo
from atlas_assets_tests.hub.fetching import MASKS, SUMMARY, Get, failures, files, states
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.hub.release_repo import REPO
from atlas_assets_tests.storage import samples
from atlas_assets_tests.storage.bad_disks import open_folder, refused

# what is fetched ---------------------------------------------------------------------------------


def test_everything_that_an_atlas_knows_is_fetched_and_loads(
    sha: str, store: AtlasStore, get: Get, release: Path
) -> None:
    outcomes = get()
    assert set(states(outcomes).values()) == {"fetched"}
    assert files(store.root) == sorted(outcomes)
    published = {path.name: path.read_bytes() for path in release.rglob("*.*")}
    assert "notes.csv" in published
    assert "notes.csv" not in outcomes
    for name, outcome in outcomes.items():
        assert (store.root / name).read_bytes() == published[name]
        assert outcome.record is not None
        assert outcome.record.revision == sha
        assert source_record.read(store.root / name) == outcome.record
    # in the order of the pipeline
    assert next(iter(outcomes)) == "11A_object_prompts.parquet"
    assert not list(store.root.glob("**/*.tmp"))
    # the quirks of the release load
    for setting in release_repo.SWEEP:
        assert samples.equal(store.read("object_masks", setting), samples.objects(setting))
        assert samples.equal(store.read("checker_masks", setting), samples.checkers(setting))
    assert samples.equal(store.read("object_activations"), samples.activations())
    assert samples.equal(store.read("universal_masks"), samples.universal())
    for key in ("object_prompts", "summary", "modularity_scores", "token_independence_detail"):
        assert store.provenance(key) is None
        store.read(key)


def test_chosen_files_and_settings(hub: LocalHub, sha: str) -> None:
    source = open_source(hub.client(), REPO)
    assert str(source) == f"{REPO}@{sha[:12]}"
    for names, settings, expected in (
        ([SUMMARY], [], [SUMMARY]),
        (["object_masks"], [], [f"13_object_masks_{s.file_tag}.h5" for s in release_repo.SWEEP]),
        ([f"masks/{MASKS}", "summary"], [], [MASKS, SUMMARY]),
        (["object_masks"], [REFERENCE], [MASKS]),
    ):
        assert [file.name for file in choose(source, names, settings)] == expected
    assert {file.setting for file in choose(source, (), [REFERENCE])} == {None, REFERENCE}
    for names, settings, said in (
        (["object_masks"], [samples.Setting(0.3, 0.8)], r"0\.001"),
        (["14_sumary.csv"], [], SUMMARY),
        (["figure_sweep"], [], "figure_sweep"),
    ):
        with pytest.raises(SettingsError, match=said) as caught:
            choose(source, names, settings)
        assert REPO in str(caught.value)


def test_a_revision_means_one_commit_throughout(hub: LocalHub, sha: str, store: AtlasStore) -> None:
    client = hub.client()
    source = open_source(client, REPO)
    hub.push(REPO, {f"tables/{SUMMARY}": b"something else\n"})
    (outcome,) = fetch(client, source, store, choose(source, ["summary"]))
    assert outcome.state == "fetched"
    assert outcome.record is not None
    assert outcome.record.revision == sha


# again -------------------------------------------------------------------------------------------


def test_what_is_there_is_not_downloaded_again(
    hub: LocalHub, sha: str, get: Get, tmp_path: Path
) -> None:
    get()
    hub.forget_calls()
    outcomes = get(client=hub.client(tmp_path / "another_cache"))
    assert set(states(outcomes).values()) == {"unchanged"}
    assert hub.calls("GET", "/resolve/|/_cdn/") == []
    assert len(hub.calls()) == 1


def test_a_newer_commit_replaces_what_was_fetched(
    hub: LocalHub, sha: str, store: AtlasStore, get: Get
) -> None:
    get("summary", "modularity_scores")
    newer = samples.sample("summary").write_csv().encode()
    later = hub.push(REPO, {f"tables/{SUMMARY}": newer})
    outcomes = get("summary", "modularity_scores")
    assert states(outcomes) == {SUMMARY: "fetched", "relaxed_modularity_scores.csv": "unchanged"}
    assert (store.root / SUMMARY).read_bytes() == newer
    for outcome in outcomes.values():
        assert outcome.record is not None
        assert outcome.record.revision == later


def test_a_newer_figure_replaces_both_files_of_the_fetched_one(
    hub: LocalHub, sha: str, store: AtlasStore, get: Get
) -> None:
    for color in ("white", "black"):
        drawn = samples.drawing(color)
        assert drawn.pdf is not None
        files = {"png": drawn.png, "pdf": drawn.pdf}
        hub.push(REPO, {f"figures/figure_sweep.{kind}": data for kind, data in files.items()})
        assert states(get("figure_sweep")) == {"figure_sweep.png": "fetched"}
        for kind, data in files.items():
            assert (store.root / f"figure_sweep.{kind}").read_bytes() == data
    assert states(get("figure_sweep")) == {"figure_sweep.png": "unchanged"}


def test_another_content_is_not_replaced_silently(
    sha: str, store: AtlasStore, get: Get, release: Path
) -> None:
    store.write("summary", samples.sample("summary"), inputs={})
    before = (store.root / SUMMARY).read_bytes()
    message = failures(get("summary"))[SUMMARY]
    assert "another content is in its place" in message
    assert "--overwrite" in message
    assert (store.root / SUMMARY).read_bytes() == before
    assert states(get("summary", overwrite=True)) == {SUMMARY: "fetched"}
    assert (store.root / SUMMARY).read_bytes() == (release / "tables" / SUMMARY).read_bytes()
    # the record of the replaced file's making is not taken for that of the published one
    assert store.provenance("summary") is None
    assert source_record.read(store.root / SUMMARY) is not None
    # nor is a fetched file that was edited since
    (store.root / SUMMARY).write_text("edited\n")
    assert source_record.read(store.root / SUMMARY) is None
    assert "another content" in failures(get("summary"))[SUMMARY]


# meanwhile ---------------------------------------------------------------------------------------


class Interrupted(dict[str, bytes]):
    """What a Hub holds; ``meanwhile`` is called whenever it is asked for a content."""

    meanwhile: Callable[[], object]

    def __getitem__(self, digest: str) -> bytes:
        self.meanwhile()
        return super().__getitem__(digest)


@pytest.mark.parametrize("name", [SUMMARY, MASKS])
def test_a_file_that_comes_during_the_download_stays(
    hub: LocalHub, sha: str, store: AtlasStore, get: Get, name: str
) -> None:
    mine = Path(str(store.root)) / name
    mine.parent.mkdir()
    hub.storage.blobs = held = Interrupted(hub.storage.blobs)
    held.meanwhile = lambda: mine.write_text("mine\n")
    assert "another content is in its place" in failures(get(name))[name]
    assert mine.read_text() == "mine\n"
    assert source_record.noted(mine) is None
    assert [path.name for path in mine.parent.glob("**/*.tmp")] == []
    assert states(get(name, overwrite=True)) == {name: "fetched"}


def test_an_atlas_that_is_begun_meanwhile_is_not_mixed_into(
    hub: LocalHub, sha: str, store: AtlasStore
) -> None:
    source = open_source(hub.client(), REPO)
    chosen = choose(source, ["object_prompts", "summary", "universal_masks"])
    outcomes = fetch(hub.client(), source, store, chosen)
    assert next(outcomes).state == "fetched"
    samples.store_at(store.root).write("object_activations", samples.activations(), inputs={})
    refused = {outcome.file.name: str(outcome.error) for outcome in outcomes}
    assert refused.keys() == {SUMMARY, "universal_106x50.h5"}
    for said in refused.values():
        assert "would mix with an atlas that was computed here" in said
    assert files(store.root) == ["11A_object_prompts.parquet", "12_object_activations.h5"]


def test_what_may_not_be_looked_into_is_said(hub: LocalHub, sha: str) -> None:
    with open_folder() as here:
        client, root = hub.client(here / "cache"), here / "atlas"
        source = open_source(client, REPO)
        chosen = choose(source, ["summary", "modularity_scores"])
        of_any_atlas = AtlasStore(UPath(root), Lineage, release_repo.SWEEP)
        assert {got.state for got in fetch(client, source, of_any_atlas, chosen)} == {"fetched"}
        for each in here.rglob("*"):
            each.chmod(0o777)
        for place, n_failed in ((root / ".provenance", 2), (root / SUMMARY, 1)):
            with refused(place, 0):
                # whose files they are is not known
                with pytest.raises(UnreadableArtifactError, match=str(place)):
                    list(fetch(client, source, of_any_atlas, chosen))
                outcomes = fetch(client, source, samples.store_at(root), chosen)
                said = [str(outcome.error) for outcome in outcomes if outcome.error]
            assert len(said) == n_failed
            assert all("cannot be read" in text and str(place) in text for text in said)
            place.chmod(0o777)


# what it is called -------------------------------------------------------------------------------


def test_only_the_main_branch_of_the_papers_repository_is_the_release(
    hub: LocalHub, sha: str, tmp_path: Path
) -> None:
    proposed = hub.push(REPO, {"proposed.txt": b""}, branch="refs/pr/1")
    hub.push(REPO, {"later.txt": b""})
    revisions = {None: "release", "main": "release", sha: "release"}
    revisions |= {"refs/pr/1": "unknown", proposed: "unknown"}
    for number, (revision, origin) in enumerate(revisions.items()):
        client = hub.client(tmp_path / f"cache{number}")
        store = AtlasStore(UPath(tmp_path / f"atlas{number}"), Lineage, release_repo.SWEEP)
        source = open_source(client, REPO, revision)
        (outcome,) = fetch(client, source, store, choose(source, ["summary"]))
        assert outcome.state == "fetched", outcome.error
        assert store.origin("summary") == origin, revision
    # where the Hub does not say, nothing is called the release
    hub.fail("GET", "/commits/", status=403)
    store = AtlasStore(UPath(tmp_path / "atlas"), Lineage, release_repo.SWEEP)
    client = hub.client(tmp_path / "cache")
    source = open_source(client, REPO, sha)
    assert [outcome.state for outcome in fetch(client, source, store, choose(source, ["summary"]))]
    assert store.origin("summary") == "unknown"


def test_a_figure_is_the_release_as_a_set(
    hub: LocalHub, sha: str, store: AtlasStore, get: Get
) -> None:
    drawn, pdf = samples.drawing(), store.root / "figure_sweep.pdf"
    hub.push(REPO, {"figure_sweep.png": drawn.png, "figure_sweep.pdf": drawn.pdf or b""})
    assert states(get("figure_sweep")) == {"figure_sweep.png": "fetched"}
    assert store.origin("figure_sweep") == "release"
    pdf.write_bytes(b"%PDF-1.4\nmine\n%%EOF\n")
    assert store.origin("figure_sweep") == "unknown"
    (state,) = [state for state in survey(store) if state.artifact == "figure_sweep"]
    assert (state.origin, state.source) == ("unknown", None)


# what is not sound -------------------------------------------------------------------------------


def of_a_wrong_type(data: bytes, tmp_path: Path) -> bytes:
    path = tmp_path / "masks.h5"
    path.write_bytes(data)
    with h5py.File(path, "a") as file:
        del file["universal_masks/layer_0/ast__For"]
        file["universal_masks/layer_0/ast__For"] = np.zeros(samples.WIDTH, np.float64)
    return path.read_bytes()


def endless(_: bytes, tmp_path: Path) -> bytes:
    """A heap whose free space HDF5 itself would read for ever."""
    path = sample_atlas.make(tmp_path / "data").path("object_masks", REFERENCE)
    data = bytearray(path.read_bytes())
    provenance = data.index(b"GCOL") + 16
    size = int.from_bytes(data[provenance + 8 : provenance + 16], "little")
    second = provenance + 16 + -(-size // 8) * 8
    data[second + 9] += 1  # 256 bytes more: into the zeros of the free space
    return bytes(data)


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (of_a_wrong_type, "not a sound object_masks"),
        (lambda data, _: data[:3000], "not a sound object_masks"),
        (lambda *_: b"no HDF5", "not a sound object_masks"),
        (endless, "cannot be read to an end"),
    ],
    ids=["type", "truncated", "text", "endless"],
)
def test_a_file_that_is_not_sound_is_refused(
    hub: LocalHub,
    sha: str,
    store: AtlasStore,
    get: Get,
    tmp_path: Path,
    damaged: Callable[[bytes, Path], bytes],
    said: str,
) -> None:
    get(MASKS)
    before = (store.root / MASKS).read_bytes()
    hub.push(REPO, {f"masks/{MASKS}": damaged(before, tmp_path)})
    outcomes = get("object_masks")
    assert list(failures(outcomes)) == [MASKS]
    assert isinstance(outcomes[MASKS].error, ArtifactError)
    for part in (said, f"{REPO}@", f"masks/{MASKS}"):
        assert part in failures(outcomes)[MASKS]
    assert (store.root / MASKS).read_bytes() == before


def test_the_file_of_another_setting_is_refused_and_leaves_the_others(
    hub: LocalHub, sha: str, store: AtlasStore, get: Get, release: Path
) -> None:
    other = f"13_object_masks_{STANDALONE.file_tag}.h5"
    hub.push(REPO, {f"masks/{MASKS}": (release / "masks" / other).read_bytes()})
    outcomes = get()
    assert list(failures(outcomes)) == [MASKS]
    assert "another setting" in failures(outcomes)[MASKS]
    assert files(store.root) == sorted(outcomes.keys() - {MASKS})


def test_files_of_one_name_with_different_contents(
    hub: LocalHub, sha: str, store: AtlasStore, get: Get, release: Path
) -> None:
    hub.push(REPO, {f"copy/{MASKS}": (release / "masks" / MASKS).read_bytes()})
    assert states(get("object_masks"))[MASKS] == "fetched"
    hub.push(REPO, {f"copy/{MASKS}": b"another"})
    message = failures(get("object_masks"))[MASKS]
    assert f"copy/{MASKS} and masks/{MASKS}" in message
