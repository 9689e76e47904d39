"""The pin of a followed model, and the version that readers see."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atlas_assets.atlas import versions
from atlas_assets.atlas.open import open_in_force, open_to_build, open_with_model
from atlas_assets.errors import ArtifactError, ArtifactWriteError, ProvenanceError
from atlas_assets.files.json_text import sealed
from atlas_assets_tests.orchestration.automation import followed
from atlas_assets_tests.orchestration.automation.followed import MODEL, NAME, made, settings_in

A, B, C = "a" * 40, "b" * 40, "c" * 40
FOLDER_OF_B = f"{NAME}@bbbbbbbbbbbb"


def test_a_later_version_is_built_beside_the_first_and_then_takes_its_place(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path)
    assert versions.pin_of(settings) is None
    assert versions.folder_in_force(settings) == versions.folder_to_build(settings)
    pin = versions.seen(settings, A)
    assert (pin.in_force, pin.building) == (versions.Version(sha=A, folder=NAME), None)
    assert versions.seen(settings, A) == pin == versions.pin_of(settings)

    versions.seen(settings, B)
    assert versions.folder_in_force(settings).name == NAME
    assert versions.known_sha(settings) == B
    assert open_in_force(settings).root.name == open_with_model(settings).root.name == NAME
    assert open_to_build(settings)[0].root.name == FOLDER_OF_B

    promoted = versions.promote(settings, B)
    assert promoted is not None
    assert (promoted.in_force.sha, promoted.building) == (B, None)
    assert [version.sha for version in promoted.earlier] == [A]
    assert versions.folder_in_force(settings).name == FOLDER_OF_B
    assert versions.promote(settings, B) == promoted


def test_a_version_seen_during_a_build_is_built_next(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    for sha in (A, B, C):
        versions.seen(settings, sha)
    pin = versions.promote(settings, B)
    assert pin is not None
    assert pin.in_force == versions.Version(sha=B, folder=FOLDER_OF_B)
    assert pin.building is not None
    assert pin.building.sha == C
    # a model that goes back goes back to its folder
    assert versions.seen(settings, B).building is None
    assert versions.seen(settings, A).building == versions.Version(sha=A, folder=NAME)


def test_an_atlas_made_before_there_was_a_pin_stays_in_force(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    made(settings, NAME, A)
    assert versions.known_sha(settings) == A
    pin = versions.seen(settings, B)
    assert (pin.in_force.sha, pin.in_force.folder) == (A, NAME)
    assert pin.building is not None
    assert pin.building.sha == B


def test_a_pin_that_is_lost_is_told_by_the_folders(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    versions.seen(settings, A)
    made(settings, NAME, A)
    versions.seen(settings, B)
    made(settings, FOLDER_OF_B, B)
    promoted = versions.promote(settings, B)
    versions.seen(settings, C)
    made(settings, f"{NAME}@{C[:12]}", C)  # begun, and never in force

    versions.pin_path(settings).write_text("{")
    with pytest.raises(ArtifactError, match="remove it"):
        versions.folder_in_force(settings)
    versions.pin_path(settings).unlink()
    assert versions.pin_of(settings) is None
    assert versions.known(settings) == promoted
    assert versions.folder_in_force(settings).name == FOLDER_OF_B
    assert versions.folder_to_build(settings).name == FOLDER_OF_B
    assert open_with_model(settings).root.name == FOLDER_OF_B
    # a run writes what the folders tell; the model's head is what is to be built
    assert versions.pin_first(settings, C) == promoted == versions.pin_of(settings)
    assert versions.seen(settings, C).latest.folder == f"{NAME}@{C[:12]}"


def test_and_without_the_folder_of_the_first_version(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    versions.seen(settings, A)
    made(settings, NAME, A)
    for sha in (B, C):
        versions.seen(settings, sha)
        made(settings, f"{NAME}@{sha[:12]}", sha)
        versions.promote(settings, sha)
    versions.pin_path(settings).unlink()
    shutil.rmtree(tmp_path / NAME)
    pin = versions.seen(settings, C)
    assert pin.in_force == versions.Version(sha=C, folder=f"{NAME}@{C[:12]}")
    assert [version.sha for version in pin.earlier] == [B]
    # back again, and lost again: the last one that was in force
    versions.seen(settings, B)
    versions.promote(settings, B)
    versions.pin_path(settings).unlink()
    assert versions.folder_in_force(settings).name == FOLDER_OF_B


def test_folders_without_a_note_of_having_been_in_force(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    made(settings, FOLDER_OF_B, B)
    made(settings, f"{NAME}@{A[:12]}", B)  # not what its name says
    assert versions.folder_in_force(settings).name == FOLDER_OF_B
    assert versions.known_sha(settings) == B
    made(settings, NAME, A)
    pin = versions.seen(settings, B)
    assert (pin.in_force.folder, pin.latest.folder) == (NAME, FOLDER_OF_B)


@pytest.mark.parametrize(
    "changes",
    [{"model": "embedded"}, {"model_revision": A}, {"model": "./somewhere"}],
)
def test_what_cannot_change_has_no_pin(tmp_path: Path, changes: dict[str, str]) -> None:
    settings = settings_in(tmp_path, **changes)
    assert not versions.is_followed(settings)
    assert versions.pin_of(settings) is None
    assert versions.promote(settings, B) is None
    assert versions.folder_in_force(settings).name == NAME


def test_a_pin_of_another_model_is_refused(tmp_path: Path) -> None:
    versions.seen(settings_in(tmp_path), A)
    with pytest.raises(ProvenanceError, match="ATLAS_NAME"):
        versions.pin_of(settings_in(tmp_path, model="someone/else"))


PIN = {"model": MODEL, "in_force": {"sha": A, "folder": NAME}}


@pytest.mark.parametrize(
    ("pin", "found"),
    [
        ("{", "Expecting"),
        ("[" * 100_000 + "]" * 100_000, "too deeply"),
        ({**sealed(PIN), "revision": "other"}, "edited after it was written"),
        ({**PIN, "format_version": 2}, "sha256_of_the_rest is missing"),
        (PIN, "sha256_of_the_rest is missing"),
        (sealed({**PIN, "format_version": 3}), "format_version"),
        (sealed({**PIN, "in_force": {"sha": "main", "folder": NAME}}), "should match pattern"),
        *(
            (sealed({**PIN, part: value}), repr(folder))
            for folder in ("../outside", "/outside", "a/b", "..", "another", f"{NAME}@{B[:12]}")
            for part, value in (
                ("in_force", {"sha": A, "folder": folder}),
                ("building", {"sha": A, "folder": folder}),
                ("earlier", [{"sha": A, "folder": folder}]),
            )
        ),
    ],
    ids=str,
)
def test_a_damaged_or_hostile_pin_is_refused(tmp_path: Path, pin: Any, found: str) -> None:
    settings = settings_in(tmp_path)
    text = pin if isinstance(pin, str) else json.dumps(pin)
    path = versions.pin_path(settings)
    path.write_text(text)
    for refused in (
        versions.pin_of,
        versions.folder_in_force,
        versions.folder_to_build,
        lambda settings: versions.seen(settings, B),
    ):
        with pytest.raises(ArtifactError, match="remove it") as error:
            refused(settings)
        assert error.value.where == str(path)
        assert found in (error.value.found or "")
    assert path.read_text() == text


def test_who_may_only_read_is_asked_for_nothing_until_the_pin_moves(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    pin = versions.seen(settings, A)
    for lock in tmp_path.glob(".*.lock"):
        lock.unlink()
        lock.mkdir()  # as good as read-only, for root too
    assert versions.seen(settings, A) == versions.promote(settings, A) == pin
    with pytest.raises(ArtifactWriteError, match="left as it was"):
        versions.seen(settings, B)
    assert versions.pin_of(settings) == pin


PROMOTE_ALL = """
import sys
from atlas_assets.atlas import versions
from atlas_assets.settings import AtlasSettings
settings = AtlasSettings.from_env()
print("ready", flush=True)
for sha in input().split():
    versions.promote(settings, sha)
"""


def test_no_process_loses_what_another_one_writes(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    versions.seen(settings, A)
    shas = [f"{number:012x}{0:028}" for number in range(24)]
    for sha in shas:
        (tmp_path / f"{NAME}@{sha[:12]}").mkdir()
    env = {**os.environ, **followed.environment(tmp_path)}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", PROMOTE_ALL]
    processes = [
        subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for first, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write(" ".join(shas[first::2]) + "\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    pin = versions.pin_of(settings)
    assert pin is not None
    assert sorted(v.sha for v in (*pin.earlier, pin.in_force)) == sorted([A, *shas])
    notes = [json.loads(path.read_text()) for path in tmp_path.glob("*/.provenance/*.json")]
    assert sorted(note["number"] for note in notes) == list(range(1, len(shas) + 1))
