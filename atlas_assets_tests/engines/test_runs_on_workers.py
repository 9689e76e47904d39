"""Runs on workers that are stopped: from Dagster's UI, or by the death of their process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas_assets.engines.dask_engine import _Left
from atlas_assets.extraction.shard_manifest import NAME, Manifest
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.masks.masks import object_masks
from atlas_assets.stages.masks.packed import object_masks_of
from atlas_assets.stages.setting import Setting
from atlas_assets_tests.deploy.conftest import free_port, process
from atlas_assets_tests.engines.cluster import cluster
from atlas_assets_tests.engines.test_dask_engine import digest_of, here, read, readings
from atlas_assets_tests.orchestration.tiny_atlas import environment
from atlas_assets_tests.orchestration.webserver import Webserver, until

BIN = Path(sys.executable).parent
ASSETS = ("object_prompts", "object_activations")
FILES = ("11A_object_prompts.parquet", "12_object_activations.h5")
#: enough prompts, in small enough chunks, for two workers to have some seconds to do
GRID = {
    "ast_nodes": "For,If,Import,Pass,Return,While",
    "builtins": "list,int,len,print,range,_isolated_",
    "variations": "50",
    "batch_tokens": "256",
}
#: pairs that share no prompt, so that each can be a shard
APART = {
    f"{node}__{name}": tuple(f"{name}_{number} = {node.lower()}({number})" for number in range(6))
    for node in ("For", "If", "Pass", "While")
    for name in ("int", "len", "list", "print")
}
#: runs the prompts as those of a large atlas, and is killed when so many shards are entered
LARGE_DRIVER = """
import os, signal, sys
from pathlib import Path
from atlas_assets.extraction import unit_shards
from atlas_assets.extraction.shard_manifest import Manifest
from atlas_assets.stages.activations import stored
from atlas_assets_tests.engines.test_dask_engine import readings
from atlas_assets_tests.engines.test_runs_on_workers import APART

def enter_and_die(self, key, entry):
    enter(self, key, entry)
    if len(self.entries) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

enter, Manifest.enter = Manifest.enter, enter_and_die
stored.LARGE, unit_shards.SHARD_BYTES = 1, 1
readings(sys.argv[1], folder=Path(sys.argv[2]), of=APART)
"""
#: chunks of a leg; runs prompts on workers, and is killed when the first leg is written down
LEG = 4
DRIVER = """
import os, signal, sys
from pathlib import Path
from atlas_assets.extraction import tree_pass
from atlas_assets.extraction.shards import ShardStore
from atlas_assets_tests.engines.test_dask_engine import read

def put_and_die(self, key, arrays):
    put(self, key, arrays)
    os.kill(os.getpid(), signal.SIGKILL)

put, ShardStore.put = ShardStore.put, put_and_die
tree_pass.NOTE_SECONDS, tree_pass.CHUNKS_PER_LEG = 0, int(sys.argv[3])
read(sys.argv[1], folder=Path(sys.argv[2]))
"""


def idle(client: Any) -> bool:
    """Whether neither the scheduler nor a worker has a task, done or not."""
    left = client.run(lambda dask_worker: len(dask_worker.state.tasks))
    return not any(left.values()) and not client.run_on_scheduler(
        lambda dask_scheduler: len(dask_scheduler.tasks)
    )


def at_work(client: Any) -> bool:
    """Whether every worker is at a task."""
    under_way = client.run(lambda dask_worker: len(dask_worker.state.executing))
    return len(under_way) == 2 and all(under_way.values())


def heard(server: Webserver, run: str) -> set[str]:
    """What the log of a run has of the workers that loaded the model."""
    of_workers = re.compile(r"worker tcp://127\.0\.0\.1:\d+: loaded embedded on cpu")
    return {text for _, _, text in server.messages(run) if of_workers.fullmatch(text)}


@contextmanager
def webserver(env: Mapping[str, str], home: Path) -> Iterator[Webserver]:
    """A webserver with a code server, which start runs at once, in processes of their own."""
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"
    )
    port = free_port()
    command = f"dagster-webserver -m atlas_assets.definitions -h 127.0.0.1 -p {port}".split()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    # a busy machine takes its time to start a run
    env = {**kept, **env, "DAGSTER_HOME": str(home), "DAGSTER_GRPC_TIMEOUT_SECONDS": "600"}
    with process([str(BIN / command[0]), *command[1:]], home / "log", env=env, cwd=home):
        yield Webserver(port, "atlas_assets.definitions")


@pytest.mark.slow
def test_a_run_that_is_terminated_in_the_ui_frees_the_workers_and_the_next_one_completes(
    tmp_path: Path,
) -> None:
    from distributed import Client

    with cluster(tmp_path, workers=2) as started:
        env = environment(tmp_path / "workers", engine=str(started.file), **GRID)
        with (
            webserver(env, tmp_path / "home") as server,
            Client(scheduler_file=str(started.file), set_as_default=False) as client,
        ):
            stopped = server.launch_assets(*ASSETS)
            # the workers have loaded the model, which stands in the log of the run, and go on
            until(lambda: len(heard(server, stopped)) == 2 and at_work(client))
            assert server.status(stopped) == "STARTED"
            assert server.terminate(stopped) == "TerminateRunSuccess"
            until(lambda: server.status(stopped) not in ("STARTED", "CANCELING"))
            assert server.status(stopped) == "CANCELED"
            until(lambda: idle(client))
            folder = tmp_path / "workers" / "tiny"
            assert not (folder / FILES[1]).exists()

            complete = server.launch_assets(*ASSETS)
            until(lambda: server.status(complete) in ("SUCCESS", "FAILURE"))
            assert server.status(complete) == "SUCCESS"
            until(lambda: idle(client))
    # threads of one process give the same files
    env = {**environment(tmp_path / "threads", **GRID), "DAGSTER_HOME": str(tmp_path / "home")}
    command = f"dagster asset materialize -m atlas_assets.definitions --select {','.join(ASSETS)}"
    program, *arguments = command.split()
    subprocess.run(
        [str(BIN / program), *arguments],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("ATLAS_")}, **env},
        check=True,
        capture_output=True,
        timeout=600,
    )
    for name in FILES:
        assert (folder / name).read_bytes() == (tmp_path / "threads/tiny" / name).read_bytes()


@pytest.mark.slow
def test_a_driver_that_is_killed_is_resumed_and_asks_only_for_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    monkeypatch.setattr("atlas_assets.extraction.tree_pass.CHUNKS_PER_LEG", LEG)
    asked = watched(monkeypatch)
    with cluster(tmp_path, workers=2) as started:
        scheduler = str(started.file)
        assert read(scheduler, folder=tmp_path / "whole") == here()
        in_all = sum(asked)
        work = tmp_path / "work"
        killed = subprocess.run([sys.executable, "-c", DRIVER, scheduler, str(work), str(LEG)])
        assert killed.returncode == -signal.SIGKILL
        with Client(scheduler_file=scheduler, set_as_default=False) as client:
            until(lambda: idle(client))
        asked.clear()
        lines = list[str]()
        assert read(scheduler, folder=work, log=lines.append) == here()
    assert sum(asked) == in_all - LEG > 0
    assert "taken from an earlier run" in lines[-1]


def watched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of batches of every task that is asked for from now on."""
    sizes = list[int]()
    ask = _Left.ask

    def counted(self: _Left[Any]) -> list[Any]:
        if task := ask(self):
            sizes.append(len(task))
        return task

    monkeypatch.setattr(_Left, "ask", counted)
    return sizes


@pytest.mark.slow
def test_shards_of_a_large_atlas_are_the_same_whoever_writes_them_and_whoever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    monkeypatch.setattr("atlas_assets.stages.activations.stored.LARGE", 1)
    monkeypatch.setattr("atlas_assets.extraction.unit_shards.SHARD_BYTES", 1)  # a pair each
    local = readings(None, folder=tmp_path / "here", of=APART)
    work, lines = tmp_path / "work", list[str]()
    with cluster(tmp_path, workers=2) as started:
        command = [sys.executable, "-c", LARGE_DRIVER, str(started.file), str(work)]
        assert subprocess.run(command).returncode == -signal.SIGKILL
        with Client(scheduler_file=str(started.file), set_as_default=False) as client:
            until(lambda: idle(client))
        (folder,) = {listed.parent for listed in work.rglob(NAME)}
        assert len(Manifest(folder).entries) == 3
        # workers may have written shards that the driver did not live to enter
        before = {path: path.stat().st_mtime_ns for path in folder.glob("0*.safetensors")}
        assert 3 <= len(before) < len(APART)

        def kill_one(line: str) -> None:
            started.workers[0].kill()
            lines.append(line)

        found = readings(str(started.file), folder=work, log=kill_one, of=APART)
    assert before.items() <= {path: path.stat().st_mtime_ns for path in folder.iterdir()}.items()
    assert "taken from an earlier run" in lines[-1]
    assert contents(work) == contents(tmp_path / "here")
    assert digest_of(found) == digest_of(local)
    # masks and what the masks of a concept share, from the shards and from all at once
    assert isinstance(found.activations, StoredActivations)
    setting = Setting(epsilon=0.1, consistency=0.8)
    masks = object_masks_of(found.activations, setting)
    whole = object_masks(found.activations.whole(), setting)
    assert masks.digest() == whole.digest() and whole.universal.bits.any()
    assert np.array_equal(masks.universal.bits, whole.universal.bits)


def contents(work: Path) -> dict[str, bytes]:
    """The shards and their manifest."""
    files = [*work.glob("*/0*.safetensors"), *work.glob(f"*/{NAME}")]
    assert len(files) > 2
    return {path.name: path.read_bytes() for path in files}
