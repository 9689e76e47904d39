"""Foreign content is read in a child process first; what harms that process is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atlas_assets.errors import (
    ArtifactError,
    ForeignArtifactError,
    MissingArtifactError,
    StimulusError,
)
from atlas_assets.stages.circuits.own_circuits import read_own
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.prompts import own_prompts
from atlas_assets.storage import trust
from atlas_assets.storage.codecs import codec_named
from atlas_assets_tests.storage.samples import record_of

#: reads files in a process of its own and tells of each whether a child had to read it first
READER = """
import logging, sys
from pathlib import Path
from atlas_assets.errors import AtlasError
from atlas_assets.storage import trust
told = []
class Listener(logging.Handler):
    def emit(self, record): told.append(record.getMessage())
logging.getLogger(trust.__name__).addHandler(Listener())
logging.getLogger(trust.__name__).setLevel("INFO")
for argument in sys.argv[1:]:
    kind, name = argument.split(":", 1)
    before = len(told)
    try:
        trust.require_harmless(Path(name), kind)
        print("read", len(told) - before)
    except AtlasError as error:
        print("refused", error.found)
"""


def reader(kind: str, *paths: Path | str, **environment: str) -> list[str]:
    """What a new process says of the files, each of that kind where it names no other."""
    named = [str(path) if ":" in str(path) else f"{kind}:{path}" for path in paths]
    done = subprocess.run(
        [sys.executable, "-c", READER, *named],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "atlas_assets"


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parquet file of less than a megabyte that stands for 3 GB of equal numbers."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.parquet"
    numbers = np.zeros(1_000_000, dtype=np.int64)
    rows = pa.table({f"x{number}": numbers for number in range(40)})
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(rows)
    assert path.stat().st_size < 4_000_000
    return path


def test_foreign_content_is_examined_once_and_by_one_process_alone(
    tmp_path: Path, cache: Path
) -> None:
    path, copy = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("a,b\n1,2\n")
    copy.write_text("a,b\n1,2\n")
    assert reader("csv", path, path, copy) == ["read 1", "read 0", "read 0"]
    assert reader("csv", path) == ["read 0"]
    assert (cache / "harmless-2.txt").read_text().count("\n") >= 1
    path.write_text("a,b\n1,3\n")
    assert reader("csv", path) == ["read 1"]


def test_what_was_written_here_is_not_examined_anywhere(tmp_path: Path, cache: Path) -> None:
    codec, path = codec_named("claims_report"), tmp_path / "claims.md"
    value = f"# Claims, at {time.time_ns()}\n"
    codec.write(path, value, record_of(codec, value))
    assert cache.exists()
    assert reader("markdown", path) == ["read 0"]


def test_a_file_that_needs_too_much_memory_is_refused(cache: Path, bomb: Path) -> None:
    (found,) = reader("parquet", bomb)
    assert found.startswith("refused reading it ")
    # and refused again, by this process as well
    with pytest.raises(ArtifactError, match="cannot be read without harm") as caught:
        codec_named("object_prompts").read(bomb)
    assert str(bomb) in str(caught.value)
    assert not cache.exists()


def test_files_that_a_user_names_are_examined_too(
    cache: Path, bomb: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StimulusError, match="reading it ") as caught:
        own_prompts.read(bomb)
    assert str(bomb) in str(caught.value)
    assert not cache.exists()
    caplog.set_level("INFO")
    caplog.clear()
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"concept": ["For"], "prompt_text": ["for"]}), path)
    assert own_prompts.read(path).concepts == ("own__For",)
    pq.write_table(pa.table({"concept": ["ast__For"], "layer": [1], "neuron": [4]}), path)
    found = read_own(str(path), Masks(("ast__For",), np.zeros((1, 2, 5), np.bool_)))
    assert np.argwhere(found.bits).tolist() == [[0, 1, 4]]
    assert caplog.text.count("a process of its own reads it first") == 2


def test_what_is_harmless_in_one_format_is_examined_again_in_another(
    cache: Path, bomb: Path
) -> None:
    as_text, as_table = reader("", f"markdown:{bomb}", f"parquet:{bomb}")
    assert as_text == "read 1"
    assert as_table.startswith("refused")
    assert cache.exists()


def test_a_child_that_somebody_else_kills_costs_no_sound_file(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def watched(*arguments: Any, **options: Any) -> Any:
        started.append(start(*arguments, **options))
        if len(started) == 1:
            started[0].kill()
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", watched)
    trust._examiner.cache_clear()
    path = tmp_path / "a.csv"
    path.write_text("a,b\n3,4\n")
    trust.require_harmless(path, "csv")
    assert len(started) == 2
    # nor is an interrupted request taken for the next one's answer
    monkeypatch.setattr(trust, "DefaultSelector", interrupted)
    path.write_text("a,b\n5,6\n")
    with pytest.raises(KeyboardInterrupt):
        trust.require_harmless(path, "csv")
    assert started[-1].poll() is not None


def test_a_child_that_takes_nothing_more_is_not_waited_for_without_end(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del cache
    start = subprocess.Popen

    def stopped(*arguments: Any, **options: Any) -> Any:
        child = start(*arguments, **options)
        child.send_signal(signal.SIGSTOP)
        return child

    monkeypatch.setattr(subprocess, "Popen", stopped)
    monkeypatch.setattr(trust, "_PATIENCE", 0.05)
    trust._examiner.cache_clear()
    path = tmp_path / "a.csv"
    path.write_text("a\n" + "1\n" * 100_000)  # more than a pipe holds
    with pytest.raises(ForeignArtifactError, match="took more than"):
        trust.require_harmless(path, "csv")


def interrupted() -> Any:
    raise KeyboardInterrupt


def test_after_a_refusal_other_files_are_read_as_before(
    tmp_path: Path, cache: Path, bomb: Path
) -> None:
    sound = tmp_path / "sound.parquet"
    pq.write_table(pa.table({"x": [1]}), sound)
    refused, read = reader("parquet", bomb, sound)
    assert refused.startswith("refused")
    assert read == "read 1"
    assert cache.exists()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ArtifactError, match="a regular file"):
        codec_named("summary").read(tmp_path / "pipe.csv")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError):
        trust.require_harmless(tmp_path / "none.csv", "csv")


def test_without_a_folder_for_the_digests_every_process_examines_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    (tmp_path / "file").write_text("")
    for _ in range(2):
        found = reader("csv", path, path, XDG_CACHE_HOME=str(tmp_path / "file" / "below"))
        assert found == ["read 1", "read 0"]


def test_the_examining_process_is_told_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    del cache
    monkeypatch.setenv("HF_TOKEN", "hf_not_to_be_seen")
    path = tmp_path / "a.csv"
    path.write_text("a,b\n7,8\n")
    trust.require_harmless(path, "csv")
    seen = read = 0
    for child in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for pid in child.read_text().split():
            # a process of an earlier test may be ending
            with suppress(ProcessLookupError, FileNotFoundError):
                seen += b"hf_not_to_be_seen" in Path(f"/proc/{pid}/environ").read_bytes()
                read += 1
    assert (seen, read > 0) == (0, True)
