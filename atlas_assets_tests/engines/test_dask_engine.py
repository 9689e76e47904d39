"""Workers elsewhere give the bytes of threads here, whoever of them is lost meanwhile."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.errors import EngineError
from atlas_assets.progress import Progress
from atlas_assets.settings import AtlasSettings
from atlas_assets_tests.engines.cluster import PATIENCE, Cluster, cluster
from atlas_assets_tests.orchestration.tiny_atlas import environment

if TYPE_CHECKING:
    from atlas_assets.extraction.extraction import PromptReadings

BATCH = 192
EMBEDDED = Path(__file__).resolve().parents[2] / "atlas_assets" / "models" / "embedded"


@cache
def units() -> dict[str, tuple[str, ...]]:
    from atlas_assets.stages.activations.activations import units_of_object_prompts
    from atlas_assets.stages.prompts.inventory import inventory_of

    settings = AtlasSettings(ast_nodes=("For", "If"), builtins=("len", "print"), variations=20)
    return dict(units_of_object_prompts(inventory_of(settings).object_candidates()))


def read(
    scheduler: str | None,
    *,
    path: str = "tree",
    log: Callable[[str], object] = print,
    model: str = "embedded",
    folder: Path | None = None,
) -> str:
    """Run the prompts and return a digest of everything that was read."""
    return digest_of(readings(scheduler, path=path, log=log, model=model, folder=folder))


def readings(
    scheduler: str | None,
    *,
    path: str = "tree",
    log: Callable[[str], object] = print,
    model: str = "embedded",
    folder: Path | None = None,
    of: Mapping[str, Sequence[str]] | None = None,
) -> PromptReadings:
    """Run the prompts of the units that are given, or of `units`."""
    from atlas_assets.engines.dask_engine import engine_of
    from atlas_assets.extraction.extraction import Running, read_prompts
    from atlas_assets.extraction.shards import ShardStore

    settings = AtlasSettings.build(engine=scheduler, model=model)
    atlas_model = AtlasModel(settings)
    running: Running = {
        "shards": ShardStore(folder, "0" * 8),
        "progress": Progress("reading", log=log),
        "batch_tokens": BATCH,
        "path": path,  # type: ignore[typeddict-item]
        "engine": engine_of(settings, atlas_model, log),
    }
    return read_prompts(atlas_model.loaded, of or units(), **running)


def digest_of(found: PromptReadings) -> str:
    digest, activations = hashlib.sha256(), found.activations.whole()
    arrays: list[Any] = [activations.sums, activations.counts, *found.losses.values()]
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def intervene(scheduler: str | None) -> str:
    """Attribute and ablate on a few prompts and return a digest of what was found."""
    from scipy.sparse import csr_array

    from atlas_assets.engines.dask_engine import engine_of
    from atlas_assets.extraction import interventions
    from atlas_assets.extraction.shards import ShardStore

    settings = AtlasSettings.build(engine=scheduler)
    model = AtlasModel(settings)
    loaded, engine = model.loaded, engine_of(settings, model, print)
    texts = sorted({text for prompts in units().values() for text in prompts})[:12]
    progress, shards = Progress("running"), ShardStore(None, "0" * 8)
    common: Any = {"shards": shards, "progress": progress, "engine": engine}
    groups = csr_array(np.ones((1, len(texts))))
    slopes, means = interventions.attributions(loaded, texts, groups, 8, **common)
    gates = slopes < np.median(slopes)
    runs = np.stack([np.arange(len(texts)), np.zeros(len(texts), np.int64)], axis=1)
    losses = interventions.ablated_losses(loaded, texts, gates, runs, means, **common)
    assert np.ptp(losses) > 0
    return hashlib.sha256(b"".join(a.tobytes() for a in (means, slopes, losses))).hexdigest()


@cache
def here(path: str = "tree") -> str:
    return read(None, path=path)


def test_two_workers_over_tcp_give_the_bytes_of_threads_and_are_heard(tmp_path: Path) -> None:
    lines: list[str] = []
    with cluster(tmp_path, workers=2) as started:
        assert read(str(started.file), log=lines.append) == here()
        assert read(str(started.file), path="plain") == here("plain")
        assert intervene(str(started.file)) == intervene(None)
    loaded = [line for line in lines if "loaded embedded" in line]
    assert len(loaded) == 2, lines
    assert all(line.startswith("worker tcp://127.0.0.1:") for line in loaded)


@pytest.mark.slow
def test_a_local_cluster_gives_the_bytes_of_threads() -> None:
    """As docs/cluster.md has it: its nannies are told to leave the workers' memory alone."""
    import dask
    from distributed import LocalCluster

    lines: list[str] = []
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ": {}}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as local,
    ):
        assert read(local.scheduler_address, log=lines.append) == here()
    assert sum("loaded embedded" in line for line in lines) == 2, lines
    assert not any("MALLOC_TRIM_THRESHOLD_" in line for line in lines)


@pytest.mark.parametrize("protocol", ["tcp", "tls"])  # without keys there is no TLS
def test_nobody_at_the_address_is_said(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atlas_assets.engines.dask_engine.PATIENCE", 1)
    with pytest.raises(EngineError, match=r"does not answer") as caught:
        read(f"{protocol}://127.0.0.1:{free_port()}")
    assert "ATLAS_ENGINE" in str(caught.value)


def test_a_scheduler_without_workers_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path, workers=0) as started:
        monkeypatch.setattr("atlas_assets.engines.dask_engine.PATIENCE", 5)
        with pytest.raises(EngineError, match="there is no worker"):
            read(str(started.file))


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_no_byte(tmp_path: Path) -> None:
    with cluster(tmp_path, workers=2) as started:

        def kill_one(line: str) -> None:
            if "loaded embedded" in line and started.workers[0].poll() is None:
                started.workers[0].kill()

        assert read(str(started.file), log=kill_one) == here()
        assert started.workers[0].poll() is not None


@pytest.mark.slow
@pytest.mark.parametrize("another_comes", [False, True])
def test_a_run_whose_workers_are_gone_ends_unless_another_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, another_comes: bool
) -> None:
    patience = "atlas_assets.engines.dask_engine.PATIENCE"
    monkeypatch.setattr(patience, 30)  # as long as a wait that begins before the worker is killed
    lines: list[str] = []
    with cluster(tmp_path, workers=1) as started:

        def lose(line: str) -> None:
            lines.append(line)
            if "loaded embedded" in line and len(started.workers) == 1:
                monkeypatch.setattr(patience, 3)
                started.workers[0].kill()
            elif "waiting" in line and another_comes:
                monkeypatch.setattr(patience, PATIENCE)
                started.start_worker()

        if another_comes:
            assert read(str(started.file), log=lose) == here()
        else:
            with pytest.raises(EngineError, match="there is no worker any more") as caught:
                read(str(started.file), log=lose)
            assert "dask worker" in str(caught.value)
    assert any("no worker of" in line for line in lines)


@pytest.mark.slow
def test_an_interrupt_here_cancels_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distributed import Client

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("atlas_assets.progress.Track.advance", interrupt)
    with cluster(tmp_path, workers=1) as started:
        with pytest.raises(KeyboardInterrupt):
            read(str(started.file))
        with Client(scheduler_file=str(started.file), set_as_default=False) as client:
            end = time.monotonic() + PATIENCE
            while any(client.processing().values()):
                assert time.monotonic() < end, "the worker is still asked for something"
                time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_lost_scheduler_is_asked_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atlas_assets.engines.dask_engine.PATIENCE", PATIENCE)
    lines: list[str] = []
    with cluster(tmp_path, workers=1, port=free_port()) as started:
        address = address_of(started)

        def lose(line: str) -> None:
            lines.append(line)
            if "loaded embedded" in line and len(started.workers) == 1:
                started.scheduler.kill()
                started.scheduler.wait()
                started.start_scheduler()
                started.wait_for()
                started.start_worker()

        assert read(address, log=lose) == here()
    assert any("asked once more" in line for line in lines)
    gc.collect()  # distributed leaves the socket of the lost scheduler to the collector


@pytest.mark.slow
def test_a_worker_with_other_versions_is_refused_by_name(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        "own = m.version\n"
        "m.version = lambda name: '0.0.1' if name == 'atlas-assets' else own(name)\n"
    )
    with cluster(tmp_path, workers=0) as started:
        path = f"{other}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        started.start_worker({"PYTHONPATH": path})
        started.wait_for(1)
        with pytest.raises(EngineError, match="a worker has other atlas-assets") as caught:
            read(str(started.file))
    assert "found: atlas-assets 0.0.1" in str(caught.value)


@pytest.mark.slow
def test_a_worker_that_uses_other_vector_instructions_is_refused_by_name(tmp_path: Path) -> None:
    """It computes with other kernels, to other bits; said to whoever starts a run."""
    own = torch.backends.cpu.get_cpu_capability()
    if own == "DEFAULT":
        pytest.skip(
            "torch uses no vector instructions on this processor, so no worker can use less"
        )
    with cluster(tmp_path, workers=0) as started:
        worker = started.start_worker({"ATEN_CPU_CAPABILITY": "default"})
        started.wait_for(1)
        command = "dagster asset materialize -m atlas_assets.definitions --select"
        env = environment(tmp_path / "driver", engine=str(started.file))
        refused = subprocess.run(
            [
                *(sys.executable, "-m", *command.split()),
                "object_prompts,object_activations",
            ],
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")},
                **env,
                "DAGSTER_HOME": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "a worker has other vector instructions and readouts of a trial than this" in said, said
    assert f"where: process {worker.pid} on {os.uname().nodename}, of {started.file}" in said
    assert f"expected: vector instructions {own}, readouts of a trial" in said
    assert "found: vector instructions DEFAULT, readouts of a trial" in said
    assert "ATEN_CPU_CAPABILITY" in said
    assert not list((tmp_path / "driver").rglob("12_object_activations.h5"))


@pytest.mark.slow
def test_a_worker_of_two_threads_gives_the_bytes_of_threads_here(tmp_path: Path) -> None:
    with cluster(tmp_path, workers=0) as started:
        started.start_worker(threads=2)
        started.wait_for(1)
        assert read(str(started.file)) == here()


@pytest.mark.slow
def test_a_worker_that_finds_other_weights_is_refused_by_name(tmp_path: Path) -> None:
    """The folder that both read the model from is written to once the driver has read it."""
    model = Path(shutil.copytree(EMBEDDED, tmp_path / "model"))
    lines: list[str] = []

    def change(line: str) -> None:
        lines.append(line)
        if "prompts to run" in line and len(lines) == 1:
            weights = model / "model.safetensors"
            tensors = load_file(weights)
            first = min(tensors)
            save_file({**tensors, first: tensors[first] * 2}, weights, {"format": "pt"})

    with (
        cluster(tmp_path, workers=1) as started,
        pytest.raises(EngineError, match="a worker has other weights"),
    ):
        read(str(started.file), model=str(model), log=change)


def address_of(started: Cluster) -> str:
    return str(json.loads(started.file.read_text())["address"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
