"""The store: names, provenance from inputs, what is stale, what is refused."""

from __future__ import annotations

import dataclasses
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import polars as pl
import pytest
from upath import UPath

from atlas_assets.errors import (
    ArtifactError,
    BusyArtifactError,
    ForeignArtifactError,
    MissingArtifactError,
    ProvenanceError,
    UnreadableArtifactError,
)
from atlas_assets.files.locations import file_state, local_path
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import universal_table
from atlas_assets.stages.setting import Setting
from atlas_assets.storage.codecs import codec_of
from atlas_assets.storage.store import AtlasStore
from atlas_assets.storage.trust import cache_folder
from atlas_assets_tests.storage.bad_disks import killed_at_every_step
from atlas_assets_tests.storage.defects import refusing
from atlas_assets_tests.storage.release_files import note_fetched, write_object_masks
from atlas_assets_tests.storage.samples import (
    DEFINED,
    LINEAGE,
    OTHER,
    SETTING,
    SWEEP,
    activations,
    cells,
    equal,
    fill,
    objects,
    sample,
    store_at,
)


@pytest.mark.parametrize("key", sorted(set(ARTIFACTS) - {"masks"}))
def test_what_is_written_is_read_again(filled: Path, key: str) -> None:
    store = store_at(filled)
    for setting in cells(key):
        assert equal(store.read(key, setting), sample(key, setting))
        assert store.stale_reason(key, setting) is None
        record = store.provenance(key, setting)
        assert record.artifact == key
        assert record.origin == "atlas"
        assert record.lineage == LINEAGE
        assert record.code_version == ARTIFACTS[key].version({})
        assert set(record.inputs) == set(ARTIFACTS[key].inputs)
        assert record.versions["polars"] == pl.__version__
        assert ("torch" in record.versions) == ARTIFACTS[key].runs_model


@pytest.mark.parametrize(
    ("key", "setting"),
    [
        ("object_masks", SWEEP[0]),
        ("target_checker", SWEEP[0]),
        ("token_checker_masks", SETTING),
        ("universal_masks", SWEEP[0]),
        ("compositionality", SWEEP[0]),
        *((key, None) for key in ("object_prompts", "object_activations", "summary")),
    ],
)
def test_settings_are_recorded_where_there_is_one(
    filled: Path, key: str, setting: Setting | None
) -> None:
    record = store_at(filled).provenance(key, cells(key)[0])
    assert record.setting == setting


def test_files_lie_flat_under_their_published_names(filled: Path) -> None:
    names = {path.name for path in filled.iterdir() if path.is_file()}
    expected = {ARTIFACTS[key].file_name(setting) for key in ARTIFACTS for setting in cells(key)}
    expected |= {name.replace(".png", ".pdf") for name in expected if name.endswith(".png")}
    assert names == expected
    assert {path.name for path in filled.iterdir() if path.is_dir()} == {".provenance"}


def test_what_is_missing_is_stale_and_its_error_says_how_to_make_it(store: AtlasStore) -> None:
    for key, artifact in ARTIFACTS.items():
        setting = cells(key)[0]
        path = Path(store.path(key, setting).path)
        path = path.rename(path.with_suffix(".away"))
        assert store.stale_reason(key, setting) == "it is missing"
        with pytest.raises(MissingArtifactError) as caught:
            store.read(key, setting)
        assert f"--select {key}" in str(caught.value)
        partition = f"--partition '{setting.partition_key}'" if setting else "--partition"
        assert (partition in str(caught.value)) == artifact.partitioned
        assert str(store.path(key, setting)) in str(caught.value)
        path.rename(store.path(key, setting).path)


def test_changed_inputs_make_exactly_their_dependants_stale(store: AtlasStore) -> None:
    store.write("object_activations", activations(seed=9))
    stale = {key for key in ARTIFACTS if store.stale_reason(key, cells(key)[0])}
    of_circuits = {"circuits", "circuit_quality", "ablation_sample", "ablation"}
    assert stale == {"object_masks", "position_activations", *of_circuits}
    assert store.stale_reason("object_masks", SWEEP[1]) == "object_activations has changed since"
    # the same content as before is no change
    store.write("object_activations", activations())
    assert store.stale_reason("object_masks", SWEEP[0]) is None


def test_another_cell_or_sweep_makes_the_gathered_tables_stale(store: AtlasStore) -> None:
    smaller = AtlasStore(store.root, store.expected, SWEEP[:1])
    assert smaller.stale_reason("summary") == "target_checker has changed since"
    assert smaller.stale_reason("target_checker", SWEEP[0]) is None
    store.write("target_checker", sample("target_checker", SWEEP[0]), SWEEP[1])
    assert store.stale_reason("summary") == "target_checker has changed since"
    assert store.stale_reason("masks") is None


def test_a_missing_input_says_nothing(store: AtlasStore) -> None:
    store.path("object_activations").unlink()
    assert store.stale_reason("object_masks", SWEEP[0]) is None
    store.path("object_masks", SWEEP[0]).unlink()
    assert store.stale_reason("masks") is None


@pytest.mark.parametrize("key", sorted(ARTIFACTS))
def test_files_made_under_other_settings_are_stale_and_neither_read_nor_replaced(
    filled: Path, key: str
) -> None:
    other, setting = store_at(filled, OTHER), cells(key)[0]
    before = other.path(key, setting).read_bytes()
    reason = other.stale_reason(key, setting)
    assert reason == "it was made with readout = last_token, now published"
    remedies = (f"remove it and materialise {key} again", "ATLAS_READOUT", "ATLAS_NAME")
    said = ("readout = last_token", "readout = published", *remedies)
    with refusing(ProvenanceError, *said):
        other.read(key, setting)
    with refusing(ProvenanceError, "would replace a file of another atlas", *said):
        other.write(key, sample(key, setting), setting)
    assert other.path(key, setting).read_bytes() == before


def test_a_newer_state_of_the_model_replaces_the_older(store: AtlasStore) -> None:
    model = LINEAGE.model.model_copy(update={"weights_sha256": "cc" * 32})
    grid = LINEAGE.grid.model_copy(update={"loss_threshold": 4.0})
    follower = store_at(store.root, LINEAGE.model_copy(update={"model": model, "grid": grid}))
    assert "weights_sha256" in str(follower.stale_reason("object_prompts"))
    follower.write("object_prompts", sample("object_prompts"))
    assert follower.stale_reason("object_prompts") is None
    with pytest.raises(ProvenanceError, match="materialise object_masks again") as caught:
        follower.read("object_masks", SWEEP[0])
    assert "remove" not in str(caught.value)


@pytest.mark.parametrize("key", ["object_masks", "object_prompts", "summary"])
def test_a_damaged_file_is_replaced(store: AtlasStore, key: str) -> None:
    setting = cells(key)[0]
    path = store.path(key, setting)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtifactError):
        store.read(key, setting)
    store.write(key, sample(key, setting), setting)
    assert equal(store.read(key, setting), sample(key, setting))


def newer(path: Path) -> None:
    text = path.read_bytes()
    text = text.replace(b'"format_version":2', b'"format_version":9')
    path.write_bytes(text)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("spoil", "kind"), [(newer, ForeignArtifactError), (pipe, UnreadableArtifactError)]
)
def test_what_is_not_proven_damaged_is_not_replaced(
    store: AtlasStore, spoil: Callable[[Path], None], kind: type[ArtifactError]
) -> None:
    path = local_path(store.path("object_masks", SWEEP[0]))
    assert path is not None
    spoil(path)
    before = file_state(path)
    with pytest.raises(kind) as caught:
        store.write("object_masks", sample("object_masks", SWEEP[0]), SWEEP[0])
    assert caught.value.remedy
    assert file_state(path) == before


def test_inputs_made_under_different_settings_do_not_mix(store: AtlasStore) -> None:
    other = store_at(UPath(store.root), OTHER)
    for key, setting in (("checker_activations", None), ("checker_masks", SWEEP[0])):
        store.path(key, setting).unlink()
        other.write(key, sample(key, setting), setting)
    store.path("target_checker", SWEEP[0]).unlink()
    with pytest.raises(ProvenanceError, match="inputs of target_checker"):
        store.write("target_checker", sample("target_checker", SWEEP[0]), SWEEP[0])


@pytest.mark.parametrize(
    ("repository", "origin"),
    [(None, "unknown"), ("someone/else", "unknown"), ("piotrwilam/AtlasCSP", "release")],
)
def test_files_without_record_are_accepted_and_mark_what_is_made_from_them(
    tmp_path: Path, repository: str | None, origin: str
) -> None:
    store = store_at(tmp_path)
    for setting in SWEEP:
        write_object_masks(Path(str(store.path("object_masks", setting))), objects(setting))
        assert store.provenance("object_masks", setting) is None
        assert equal(store.read("object_masks", setting), objects(setting))
        assert store.stale_reason("object_masks", setting) is None
    if repository:
        note_fetched(tmp_path, repository)
    assert {store.origin("object_masks", setting) for setting in SWEEP} == {origin}
    record = store.write("masks", universal_table({s: objects(s).universal for s in SWEEP}))
    assert store.origin("masks") == record.provenance.origin == origin
    assert record.provenance.lineage is None
    assert store_at(tmp_path, OTHER).stale_reason("masks") is None
    write_object_masks(Path(store.path("object_masks", SWEEP[0]).path), objects(SWEEP[0], width=8))
    assert store.stale_reason("masks") == "object_masks has changed since"
    assert store.origin("object_masks", SWEEP[0]) == "unknown"


def test_who_runs_the_model_knows_it_even_on_prompts_of_the_release(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    sample("object_prompts").write_parquet(str(store.path("object_prompts")))
    note_fetched(tmp_path)
    written = store.write("object_activations", activations())
    assert written.provenance.origin == "release"
    assert written.provenance.lineage == LINEAGE
    masks = store.write("object_masks", objects(), SETTING)
    assert masks.provenance.origin == "release"
    assert masks.provenance.lineage == LINEAGE
    with pytest.raises(ProvenanceError):
        store_at(tmp_path, OTHER).read("object_masks", SETTING)


def test_given_digests_of_inputs_are_recorded_as_they_are(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    written = store.write("summary", sample("summary"), inputs={"target_checker": "abc"})
    assert written.provenance.inputs == {"target_checker": "abc"}
    assert written.size_bytes == written.path.stat().st_size
    with pytest.raises(MissingArtifactError, match="target_checker"):
        store.write("summary", sample("summary"))


def test_a_file_under_another_settings_name_is_refused(store: AtlasStore) -> None:
    one, two = (store.path("object_masks", setting) for setting in SWEEP)
    shutil.copy(str(one), str(two))
    with pytest.raises(ProvenanceError, match=r"setting = ε=0\.001"):
        store.read("object_masks", SWEEP[1])
    write_object_masks(Path(str(two)), objects(SWEEP[0]))
    with pytest.raises(ArtifactError, match="about another setting"):
        store.read("object_masks", SWEEP[1], part="universal")


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        *((key, 17, key) for key in ARTIFACTS),
        ("object_masks", objects(SWEEP[1]), "another setting than its partition"),
    ],
)
def test_an_unsound_value_is_not_written(filled: Path, key: str, value: Any, match: str) -> None:
    store, setting = store_at(filled), cells(key)[0]
    before = store.path(key, setting).read_bytes()
    with pytest.raises(ArtifactError, match=match):
        store.write(key, value, setting)
    assert store.path(key, setting).read_bytes() == before


def test_scratch_is_local_and_goes_with_a_successful_write(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    scratch = store.scratch("object_prompts")
    assert scratch == tmp_path / ".work" / "object_prompts"
    for key in ("object_prompts", "checker_prompts"):
        folder = store.scratch(key) / "0a"
        folder.mkdir(parents=True)
        (folder / "shard").write_bytes(b"x")
    with pytest.raises(ArtifactError):
        store.write("object_prompts", sample("checker_prompts"))
    assert (scratch / "0a" / "shard").exists()
    store.write("object_prompts", sample("object_prompts"))
    assert not scratch.exists()
    assert (tmp_path / ".work" / "checker_prompts" / "0a" / "shard").exists()
    # of a remote atlas it is on this machine all the same, of each its own
    remote = [store_at(UPath(f"memory://{name}")).scratch("object_prompts") for name in "ab"]
    assert remote[0] != remote[1]
    assert all(there and there.is_relative_to(cache_folder() or "") for there in remote)
    set_to = dataclasses.replace(store, work_dir=tmp_path / "work").scratch("object_prompts")
    assert set_to and set_to.is_relative_to(tmp_path / "work")


def test_any_filesystem_will_do_and_gets_the_same_bytes(filled: Path) -> None:
    local, remote = store_at(filled), store_at(UPath("memory://an/atlas"))
    fill(remote)
    for path in filled.rglob("*"):
        if path.is_file() and path.suffix != ".lock":
            assert (remote.root / path.relative_to(filled)).read_bytes() == path.read_bytes()
    for key in ARTIFACTS:
        for setting in cells(key):
            assert equal(remote.read(key, setting), local.read(key, setting))
            assert remote.stale_reason(key, setting) is None


def test_changed_code_is_stale(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, summary = store_at(filled), ARTIFACTS["summary"]
    newer = {**ARTIFACTS, "summary": dataclasses.replace(summary, code_version="next")}
    monkeypatch.setattr("atlas_assets.storage.codecs.ARTIFACTS", newer)
    was = summary.version({})
    assert store.stale_reason("summary") == f"its code version is {was}, now next"
    assert store.stale_reason("masks") is None


def test_a_changed_number_of_permutations_makes_the_null_stale_and_nothing_else(
    store: AtlasStore,
) -> None:
    fewer = AtlasStore(store.root, store.expected, SWEEP, {"permutations": 50}, DEFINED)
    reason = "its code version is 1+permutations=200, now 1+permutations=50"
    assert fewer.stale_reason("modularity_null") == reason
    stale = {key for key in ARTIFACTS if fewer.stale_reason(key, cells(key)[0])}
    assert stale == {"modularity_null"}
    fewer.write("modularity_null", sample("modularity_null"))
    assert fewer.stale_reason("modularity_null") is None
    assert store.stale_reason("modularity_null") is not None


def test_what_speaks_of_one_setting_depends_on_that_file_alone(store: AtlasStore) -> None:
    at, other = ARTIFACTS["compositionality"].setting, SWEEP[1]
    assert at == SWEEP[0]
    store.write("object_masks", objects(other, width=8), other, inputs={})
    assert store.stale_reason("compositionality") is None
    store.path("object_masks", other).unlink()
    store.write("compositionality", sample("compositionality"))
    store.write("object_masks", objects(at, width=8), at, inputs={})
    assert store.stale_reason("compositionality") == "object_masks has changed since"


def test_a_report_is_made_from_what_there_is(store: AtlasStore) -> None:
    store.path("figure_sweep").unlink()
    store.path("target_checker", SWEEP[1]).unlink()
    written = store.write("atlas_report", sample("atlas_report"))
    absent = {"figure_sweep", "target_checker"}
    assert set(written.provenance.inputs) == set(ARTIFACTS["atlas_report"].inputs) - absent
    assert store.stale_reason("atlas_report") is None
    store.write("figure_sweep", sample("figure_sweep"))
    assert store.stale_reason("atlas_report") == "figure_sweep has been added since"


def test_a_figure_without_its_pdf_is_missing(store: AtlasStore) -> None:
    assert store.exists("figure_sweep")
    Path(str(store.path("figure_sweep"))).with_suffix(".pdf").unlink()
    assert not store.exists("figure_sweep")
    assert store.stale_reason("figure_sweep") == "it is missing"


def test_another_atlass_figure_is_not_replaced_though_one_of_its_files_is_missing(
    tmp_path: Path, store: AtlasStore
) -> None:
    figure = sample("figure_sweep")
    for suffix in (".png", ".pdf"):
        other = store_at(tmp_path / suffix, OTHER)
        other.write("figure_sweep", figure, inputs={})
        Path(other.path("figure_sweep").path).with_suffix(suffix).unlink()
        with refusing(ProvenanceError, "another"):
            store_at(tmp_path / suffix).write("figure_sweep", figure, inputs={})


def test_a_file_that_another_program_writes_to_is_not_replaced(tmp_path: Path) -> None:
    path = Path(store_at(tmp_path).path("object_masks", SETTING).path)
    write_object_masks(path, objects())
    with h5py.File(path, "r+"), refusing(BusyArtifactError, str(path)):
        store_at(tmp_path).write("object_masks", objects(), SETTING, inputs={})


def write_one(folder: Path, key: str) -> None:
    store_at(folder).write(key, sample(key), SETTING, inputs={})


def write_another(folder: Path, key: str) -> None:
    other = objects(width=8) if key == "object_masks" else sample(key)[:2]
    store_at(folder).write(key, other, SETTING, inputs={})


def payload(folder: Path, key: str) -> str:
    """Digest of the content of an artifact that reads soundly (with its own provenance)."""
    store = store_at(folder)
    value, record = store.read(key, SETTING), store.provenance(key, SETTING)
    assert record.payload_sha256 == codec_of(ARTIFACTS[key]).payload_digest(value)
    return record.payload_sha256


@pytest.mark.parametrize("key", ["object_masks", "target_checker"])
def test_a_killed_writer_leaves_a_sound_file(tmp_path: Path, key: str) -> None:
    states = killed_at_every_step(write_one, write_another, payload, tmp_path / "disk", key)
    assert len(set(states)) == 2
    assert states[0] != states[-1]


def test_what_a_link_leads_to_is_not_quoted(tmp_path: Path) -> None:
    store, secret = store_at(tmp_path / "atlas"), tmp_path / "secret"
    secret.write_text("TOKEN=hf_abcdefgh,second\nx,y\n")
    store.root.mkdir()
    for key in ("summary", "object_prompts", "object_activations", "claims_report", "figure_sweep"):
        path = Path(str(store.path(key)))
        path.symlink_to(secret)
        path.with_suffix(".pdf").symlink_to(secret)
        for look in (store.read, store.provenance):
            try:
                look(key)
            except ArtifactError as error:
                told = "".join(traceback.format_exception(error))
                assert "hf_abc" not in told and "TOKEN" not in told
                assert str(path) in str(error)
            else:
                assert key == "claims_report" or look == store.provenance
    # a link to a sound file is followed
    written = store_at(tmp_path / "there").write("object_prompts", sample("object_prompts"))
    store.path("object_prompts").unlink()
    store.path("object_prompts").symlink_to(written.path)
    assert store.read("object_prompts").equals(sample("object_prompts"))
