"""Ticks of the sensors that follow a model: one run for each change, and none without a change.

One process evaluates ``watch_model`` and ``keep_atlas_up_to_date`` again and again, as Dagster's
daemon has it done, on an instance on the disk and a model in a folder. Before some ticks something
changes: the weights of the model, or the content of a file that others are made from. What a tick
requests is run at once. Neither open files nor memory may grow.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.atlas.open import open_to_build
from atlas_assets.definitions import build_definitions
from atlas_assets.orchestration.automation import follow, model_watch
from atlas_assets.settings import AtlasSettings
from reliability import children
from reliability.children import Ready
from reliability.rows import Row, Seen, draw

CASES = 100
#: of so many ticks one comes after a change
CHANGES = 8
#: seconds that all ticks and their runs may take
LIMIT = 1800.0
#: MB by which memory may grow from the first half of the ticks to the second
GROWTH = 64
#: ticks from which on it is judged what they hold
MEASURED = 40
SENSORS = (model_watch.SENSOR, follow.SENSOR)


def run(seed: int, cases: int | None, until: float) -> list[Row]:
    """Evaluate the sensors; ``cases`` counts ticks."""
    children.load()
    with children.folder() as place:
        ended = children.run(partial(_ticks, place, cases or CASES, seed, until), limit=LIMIT)
    seen = Seen()
    ended.judge(seen, "the ticks")
    if ended.error and ended.ours:
        seen.note("lost", ended.error)
    told = ended.answer or {"ticks": 0, "changes": 0, "faults": [], "grown": "nothing measured"}
    row = Row(
        "a tick of the sensors requests one run for a change, and none without",
        f"{told['ticks']} ticks on an instance on the disk, {told['changes']} of them after a "
        f"change; {told['grown']}",
        seconds=ended.ready,
    )
    row.add(0, Seen(seen.faults, seen.peak_mb, told["ticks"]))
    for number, fault, note in told["faults"]:
        row.add(number, Seen([(fault, note)], cases=0))
    return [row]


def _ticks(place: Path, cases: int, seed: int, until: float, ready: Ready) -> dict[str, Any]:
    import time

    import torch

    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    draws, faults, held = draw(seed, "ticks", 0), [], []
    _write_model(place, 0)
    settings = _settings(place)
    ready()
    with dg.DagsterInstance.from_config(str(_home(place))) as instance:
        daemon = Daemon(settings, instance)
        daemon.execute()
        changes: list[Callable[[int], str]] = [
            partial(_write_model, place),
            partial(_rewrite, settings, "checker_prompts"),
            partial(_rewrite, settings, "token_checker_prompts"),
        ]
        number = changed = 0
        while number < cases and time.monotonic() < until:
            what = ""
            if number % CHANGES == CHANGES - 1:
                what = draws.choice(changes)(changed + 1)
                changed += 1
            runs = daemon.tick()
            if runs != bool(what):
                faults.append((number, "silent", f"{runs} runs after {what or 'no change'}"))
            held.append(_held())
            number += 1
        if daemon.tick():
            faults.append((number, "silent", "a run after the last change was made up for"))
    half = max(1, len(held) // 2)
    parts = held[:half], held[half:]
    files, memory = ([max(one[what] for one in part) for part in parts] for what in (0, 1))
    grown = (
        f"at most {files[0]} open files and {memory[0]:.0f} MB in the first half, "
        f"{files[1]} and {memory[1]:.0f} MB in the second"
    )
    # in a few ticks not everything happens in both halves
    if number >= MEASURED and (files[1] > files[0] or memory[1] > memory[0] + GROWTH):
        faults.append((number, "left", grown))
    return {"ticks": number, "changes": changed, "faults": faults, "grown": grown}


class Daemon:
    """What Dagster's daemon does with the answers of the sensors, in this process."""

    def __init__(self, settings: AtlasSettings, instance: dg.DagsterInstance) -> None:
        self.settings, self.instance = settings, instance
        self.sensors = build_definitions(settings).get_repository_def()
        self.cursors: dict[str, str | None] = {}
        self.launched: set[str | None] = set()

    def tick(self) -> int:
        """Evaluate each sensor once and run what is requested; return the number of runs."""
        runs = 0
        for name in SENSORS:
            cursor = self.cursors.get(name)
            with dg.build_sensor_context(self.instance, cursor=cursor) as context:
                answer = self.sensors.get_sensor_def(name).evaluate_tick(context)
            self.cursors[name] = answer.cursor
            for request in answer.run_requests or ():
                if request.run_key not in self.launched:
                    self.launched.add(request.run_key)
                    self.execute(request)
                    runs += 1
        return runs

    def execute(self, request: dg.RunRequest | None = None) -> None:
        """Run the job, whole or as requested, to its end, with definitions of its own."""
        asked: dict[str, Any] = {}
        if request is not None:
            asked = {"asset_selection": list(request.asset_selection or ()), "tags": request.tags}
        job = build_definitions(self.settings).resolve_job_def(follow.JOB)
        job.execute_in_process(instance=self.instance, **asked)


def _home(place: Path) -> Path:
    home = place / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    return home


def _settings(place: Path) -> AtlasSettings:
    from atlas_assets_tests.orchestration.automation import followed

    one = {"model": str(place / "model"), "epsilons": "0.1", "consistencies": "0.5"}
    settings: AtlasSettings = followed.settings_in(place / "data", **one)
    return settings


def _write_model(place: Path, seed: int) -> str:
    from atlas_assets_tests.models import tiny
    from atlas_assets_tests.orchestration.automation import followed

    block = followed.OPTIONS["block_size"]
    weights = tiny.tensors(tiny.network(seed, block_size=block))
    tiny.write(place / "model", followed.OPTIONS, weights)
    return "other weights of the model"


def _rewrite(settings: AtlasSettings, key: str, _: int) -> str:
    store = open_to_build(settings)[0]
    text = pl.col("prompt_text") + " "
    store.write(key, store.read(key).with_columns(prompt_text=text))
    return f"{key} of other content"


def _held() -> tuple[int, float]:
    """Open files of this process, and its memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), pages * os.sysconf("SC_PAGESIZE") / 1e6
