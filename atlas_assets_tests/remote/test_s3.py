"""An atlas in an object store: the same bytes, resumed after a kill, seen by every process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.orchestration.tiny_atlas import environment
from atlas_assets_tests.remote import proxy
from atlas_assets_tests.remote.conftest import S3

pytestmark = pytest.mark.s3
BIN = Path(sys.executable).parent
#: seconds for a job
PATIENCE = 1200
JOB = ("dagster", "job", "execute", "-m", "atlas_assets.definitions", "-j", "atlas")

READ_ALL = """
import sys
from pathlib import Path
from atlas_assets.files.remote import folder_at
from atlas_assets.files.locations import content, names_in
import hashlib
for place in sys.argv[1:]:
    for folder in (folder_at(place), folder_at(place) / ".provenance"):
        for name in names_in(folder):
            if not name.startswith("."):
                print(name, hashlib.sha256(content(folder / name)).hexdigest())
"""

#: looks at a folder twice, and lets another process write to it in between
LOOK_TWICE = """
import sys
from atlas_assets.files.remote import folder_at
from atlas_assets.files.locations import content, is_there, names_in
folder = folder_at(sys.argv[1])
print(names_in(folder), is_there(folder / "late"), flush=True)
sys.stdin.readline()
print(names_in(folder), is_there(folder / "late"), content(folder / "late"), flush=True)
"""

WRITE = """
import sys
from atlas_assets.files import atomic
from atlas_assets.files.remote import folder_at
atomic.write_bytes(folder_at(sys.argv[1]) / sys.argv[2], b"content", what="a file")
"""

#: raises a number in a file as often as it is told
COUNT = """
import sys
from atlas_assets.files import atomic
from atlas_assets.files.remote import folder_at
from atlas_assets.files.locations import content, file_state
path = folder_at(sys.argv[1]) / "number"
for _ in range(int(sys.argv[2])):
    while True:
        state = file_state(path)
        number = int(content(path)) if state else 0
        if atomic.write_if_unchanged(path, b"%d" % (number + 1), state, what="a number"):
            break
"""

#: writes the same figure as often as it is told, and reads it each time
DRAW = """
import sys
from atlas_assets.files.remote import folder_at
from atlas_assets.storage.figures import FigureFile
from atlas_assets_tests.storage.samples import drawing, record_of
path, form, drawn = folder_at(sys.argv[1]) / "f.png", FigureFile(), drawing()
for _ in range(int(sys.argv[2])):
    form.write(path, drawn, record_of(form, drawn, "f"))
    assert form.read(path)[0].pdf == drawn.pdf
"""


#: puts a folder's files into the store, as another tool would
COPY = """
import sys
import fsspec
fsspec.filesystem("s3").put(sys.argv[1] + "/", sys.argv[2], recursive=True)
"""

#: what loaders and the Python interface say of an atlas
LOAD = """
import sys
import atlas_assets as aa
from atlas_assets import io
atlas = aa.open_atlas(sys.argv[1])
print(atlas.summary().rows(), atlas.show("For").rows())
for load in (io.load_universal_masks, io.load_pair_masks, io.load_summary, io.load_prompts):
    print(str(load(data_root=sys.argv[1])))
"""


def variables(s3: S3, home: Path, data: str) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    tiny = environment(Path("unused"), epsilons="0.1,0.5", consistencies="0.8")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    return {**kept, **tiny, **s3.environment, "ATLAS_DATA_DIR": data, "DAGSTER_HOME": str(home)}


def run(env: Mapping[str, str], *command: str, input: str = "") -> str:  # noqa: A002
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        env=env,
        input=input,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return done.stdout


@dataclass(frozen=True)
class OnDisk:
    """Attributes:
    data: the data folder of an atlas on a disk.
    files: its files and records, a line each with the digest of the content.
    status: what ``atlas status --json`` says of it.
    """

    data: Path
    files: str
    status: str


@pytest.fixture(scope="module")
def on_disk(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> OnDisk:
    folder = tmp_path_factory.mktemp("on_disk")
    data = folder / "data"
    local = variables(s3, folder / "home", str(data))
    run(local, *JOB)
    files = run(local, "python", "-c", READ_ALL, str(data / "tiny"))
    return OnDisk(data, files, run(local, "atlas", "status", "--json"))


def test_an_atlas_has_the_same_bytes_as_on_a_disk_and_one_put_per_file(
    s3: S3, on_disk: OnDisk, tmp_path: Path
) -> None:
    remote = variables(s3, tmp_path / "home", "s3://atlas/same")
    before = s3.requests().get("PUT", 0)
    run(remote, *JOB)
    written = s3.requests()["PUT"] - before
    here = on_disk.files
    assert run(remote, "python", "-c", READ_ALL, "s3://atlas/same/tiny") == here
    assert here.count("\n") > 40
    # a PDF waits beside the records until its PNG is in place, and is copied from there
    assert written == here.count("\n") + here.count(".pdf ")
    # a command that only looks asks at most three times per file
    before = sum(s3.requests().values())
    told = run(remote, "atlas", "status", "--json")
    published = sum(not line.endswith(".json") for line in names_of(here))
    assert sum(s3.requests().values()) - before <= 3 * published
    assert told.replace("s3://atlas/same", str(on_disk.data)) == on_disk.status


def test_it_is_loaded_opened_published_and_fetched_as_one_on_a_disk(
    s3: S3, on_disk: OnDisk, tmp_path: Path
) -> None:
    local = variables(s3, tmp_path / "home", str(on_disk.data))
    remote = {**local, "ATLAS_DATA_DIR": "s3://atlas/copied"}
    here, there = str(on_disk.data / "tiny"), "s3://atlas/copied/tiny"
    run(remote, "python", "-c", COPY, here, there)
    assert run(remote, "python", "-c", LOAD, there) == run(local, "python", "-c", LOAD, here)
    for command in (("show", "For"), ("claims",), ("quality", "For"), ("wiring", "For")):
        told = run(remote, "atlas", *command)
        assert told.replace(there, here) == run(local, "atlas", *command)
    page = Path(run(remote, "atlas", "open", "--print").strip().removeprefix("file://"))
    assert page.read_bytes() == (on_disk.data / "tiny" / "atlas_explorer.html").read_bytes()
    with LocalHub() as hub:
        online = {**remote, **hub.environment(tmp_path / "hub"), **s3.environment}
        run(online, "atlas", "publish", "--to", "me/atlas")
        fetching = {"ATLAS_HUB_SOURCE": "me/atlas", "ATLAS_DATA_DIR": "s3://atlas/fetched"}
        run({**online, **fetching}, "atlas", "fetch")
    fetched = set(run(remote, "python", "-c", READ_ALL, "s3://atlas/fetched/tiny").splitlines())
    published = {line for line in on_disk.files.splitlines() if ".json " not in line}
    assert published <= fetched


def names_of(listing: str) -> list[str]:
    return [line.split()[0] for line in listing.splitlines()]


def test_a_killed_run_goes_on_where_it_was_to_the_same_bytes(
    s3: S3, on_disk: OnDisk, tmp_path: Path
) -> None:
    env = variables(s3, tmp_path / "home", "s3://atlas/killed")
    work = tmp_path / "work"
    env["ATLAS_WORK_DIR"] = str(work)
    command = [str(BIN / JOB[0]), *JOB[1:]]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as killed:
        while not list(work.rglob("*.safetensors")):
            assert killed.poll() is None
            time.sleep(0.05)
        killed.kill()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "from an earlier run" in done.stderr or "were done before" in done.stderr
    assert not list(work.rglob("*.safetensors"))
    assert run(env, "python", "-c", READ_ALL, "s3://atlas/killed/tiny") == on_disk.files


def test_a_process_sees_what_another_wrote_after_it_looked(s3: S3) -> None:
    env, folder = {**os.environ, **s3.environment}, "s3://atlas/looked"
    run(env, "python", "-c", WRITE, folder, "early")
    with subprocess.Popen(
        [sys.executable, "-c", LOOK_TWICE, folder],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as looking:
        assert looking.stdout is not None
        assert looking.stdout.readline() == "['early'] False\n"
        run(env, "python", "-c", WRITE, folder, "late")
        assert looking.communicate("\n")[0] == "['early', 'late'] True b'content'\n"


def test_no_change_of_two_processes_is_lost(s3: S3) -> None:
    env, folder = {**os.environ, **s3.environment}, "s3://atlas/counted"
    command = [sys.executable, "-c", COUNT, folder, "15"]
    both = [subprocess.Popen(command, env=env) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in both] == [0, 0]
    read = "from atlas_assets.files.remote import folder_at\n"
    read += f"print(folder_at({folder!r}).fs.cat_file('atlas/counted/number'))"
    assert run(env, "python", "-c", read) == "b'30'\n"


def test_a_store_that_is_busy_or_breaks_off_is_asked_again(s3: S3) -> None:
    with proxy.in_front_of(s3.environment["AWS_ENDPOINT_URL"], refuse_every=4) as (address, seen):
        env = {**os.environ, **s3.environment, "AWS_ENDPOINT_URL": address}
        run(env, "python", "-c", COUNT, "s3://atlas/flaky", "10")
        assert run(env, "python", "-c", READ_ALL, "s3://atlas/flaky").startswith("number ")
    assert set(seen.refused) == {"broken", "busy"}
    read = "from atlas_assets.files.remote import folder_at\n"
    read += "print(folder_at('s3://atlas/flaky').fs.cat_file('atlas/flaky/number'))"
    assert run({**os.environ, **s3.environment}, "python", "-c", read) == "b'10'\n"


@pytest.mark.parametrize(
    ("data", "change", "found"),
    [
        ("s3://nowhere/data", {}, "bucket does not exist"),
        ("s3://atlas/data", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "Could not connect"),
        ("s3://key:hidden@atlas/data", {}, "a password"),
    ],
)
def test_a_store_that_cannot_be_used_is_refused_in_words(
    s3: S3, tmp_path: Path, data: str, change: dict[str, str], found: str
) -> None:
    env = {**variables(s3, tmp_path / "home", data), **change}
    done = subprocess.run(
        [str(BIN / "atlas"), "status"], env=env, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    assert found in done.stderr and "hidden" not in done.stderr
    for part in ("where: ", "expected: ", "found: ", "what to do: "):
        assert part in done.stderr


def test_two_processes_that_write_the_same_figure_at_once_both_end_well(s3: S3) -> None:
    env, folder = {**os.environ, **s3.environment}, "s3://atlas/drawn"
    command = [sys.executable, "-c", DRAW, folder, "20"]
    both = [subprocess.Popen(command, env=env) for _ in range(2)]
    assert [process.wait(PATIENCE) for process in both] == [0, 0]
    names = names_of(run(env, "python", "-c", READ_ALL, folder))
    assert [name.rpartition(".")[2] for name in names] == ["pdf", "png", "json", "json"]


def test_two_runs_at_once_both_end_well_with_whole_files(
    s3: S3, on_disk: OnDisk, tmp_path: Path
) -> None:
    place = "s3://atlas/twice"
    runs = list[subprocess.Popen[str]]()
    for name in ("one", "two"):
        env = variables(s3, tmp_path / name, place)
        env["ATLAS_WORK_DIR"] = str(tmp_path / f"work {name}")  # as on two machines
        command = [str(BIN / JOB[0]), *JOB[1:]]
        with (tmp_path / f"{name}.log").open("w") as log:
            runs.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, text=True))
    try:
        ends = [each.wait(PATIENCE) for each in runs]
    finally:
        for each in runs:
            each.kill()
    said = [(tmp_path / f"{name}.log").read_text()[-3000:] for name in ("one", "two")]
    assert ends == [0, 0], "\n".join(said)
    assert run(env, "python", "-c", READ_ALL, f"{place}/tiny") == on_disk.files
    told = run(env, "atlas", "status", "--json")
    assert told.replace(place, str(on_disk.data)) == on_disk.status
