"""The nine-setting sweep with stage 14 and all tables, at the size of the paper's model."""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
from pathlib import Path

from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.analyses import modularity, token_independence
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.masks.masks import (
    CheckerMasks,
    ObjectMasks,
    checker_masks,
    sweep_masks,
    universal_table,
    with_universals,
)
from atlas_assets.stages.prompts.checker_prompts import keyword_of
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Setting
from benchmarks import naive_sweep as naive
from benchmarks.measure import Measurement, Timed, run, seconds
from benchmarks.synthetic import SIZE, environment, write_inputs

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 3
_NUMBER = re.compile(r"\d+\.\d+")
SETTINGS = AtlasSettings.from_env({})

#: object and checker masks of every setting
Swept = dict[Setting, tuple[ObjectMasks, CheckerMasks]]


def measure() -> list[Measurement]:
    """Compute only, then everything with its files, called directly and through Dagster."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects, checkers = write_inputs(folder)
        computed = seconds(lambda: compute(objects, checkers), repeats=REPEATS)
        swept = compute(objects, checkers)
        by_neuron, by_pair = _naive_seconds(objects, swept)
        plain = folder / "plain.h5"
        samples = [naive.plain_write(plain, swept[at][0]) for at in (STANDALONE, REFERENCE)]
        written = statistics.mean(samples) * len(SETTINGS.sweep)
        direct, dagster, command = _in_turns(folder)
    on_its_own = statistics.median(one.seconds for one in direct)
    ratios = [_said(job) / _said(one) for one, job in zip(direct, dagster, strict=True)]
    started = [job.seconds / one.seconds for one, job in zip(direct, command, strict=True)]
    shares = f"{naive.ORACLE_PAIRS} pairs, scaled"
    return [
        Measurement(f"sweep and all tables, {SIZE}, computing alone", computed, "s"),
        Measurement(
            "the tests' oracle / ours, computing alone", by_neuron / computed, "×", 10, True, shares
        ),
        Measurement("loops over pairs with numpy / ours, computing alone", by_pair / computed, "×"),
        Measurement("from activations to all files, in a process of its own", on_its_own, "s"),
        Measurement(
            "the oracle and a dataset at a time / ours, with files",
            (by_neuron + written) / on_its_own,
            "×",
            4,
            True,
        ),
        Measurement(
            "loops over pairs with numpy and a dataset at a time / ours, with files",
            (by_pair + written) / on_its_own,
            "×",
        ),
        Measurement(
            "through Dagster / directly, in processes that have loaded what they need",
            statistics.median(ratios),
            "×",
            1.5,
        ),
        Measurement(
            "the command dagster job execute / a script, their starts included",
            statistics.median(started),
            "×",
        ),
        Measurement(
            "job sweep, from the command line", statistics.median(d.seconds for d in command), "s"
        ),
        Measurement("its peak memory", max(d.peak_gb for d in command), "GB"),
    ]


def compute(objects: Activations, checkers: Activations) -> Swept:
    """Masks at every setting and every table, in memory."""
    swept = {
        setting: (with_universals(setting, pairs), checker_masks(checkers, setting))
        for setting, pairs in sweep_masks(objects, SETTINGS.sweep)
    }
    universal = {setting: masks.universal for setting, (masks, _) in swept.items()}
    universal_table(universal)
    decomposition.summary(
        {
            setting: decomposition.target_checker(masks.universal, checked.masks)
            for setting, (masks, checked) in swept.items()
        }
    )
    modularity.scores(universal[REFERENCE])
    modularity.detail(universal[REFERENCE])
    tokens = swept[SETTINGS.token_checker][1].masks
    keywords = keyword_of(load_stimuli())
    detail = token_independence.detail(universal[SETTINGS.token_checker], tokens, keywords)
    token_independence.summary(detail)
    token_independence.no_keyword(universal[REFERENCE], keywords)
    return swept


def _naive_seconds(objects: Activations, swept: Swept) -> tuple[float, float]:
    """For all settings and tables: neuron by neuron, and with numpy for each pair and layer."""
    by_setting = [(at, masks.universal, of.masks) for at, (masks, of) in swept.items()]
    at_reference, tokens = swept[REFERENCE]
    rest = naive.tables(by_setting, at_reference.universal, tokens.masks)
    rest += len(swept) * naive.universals(at_reference.whole_pairs())
    masks = [
        statistics.median(of(objects, setting) for setting in (STANDALONE, REFERENCE))
        for of in (naive.masks_neuron_by_neuron, naive.masks_pair_by_pair)
    ]
    by_neuron, by_pair = (len(swept) * one + rest for one in masks)
    return by_neuron, by_pair


def _in_turns(folder: Path) -> tuple[list[Timed], list[Timed], list[Timed]]:
    """The files written by the functions, the job and the command, each in a fresh process."""
    env = environment(folder, dagster_home=folder / "home")
    dagster = str(Path(sys.executable).with_name("dagster"))
    commands = (
        [sys.executable, "-m", "benchmarks.direct_sweep"],
        [sys.executable, "-m", "benchmarks.dagster_sweep"],
        [dagster, "job", "execute", "-j", "sweep"],
    )
    turns = [[run(command, cwd=ROOT, env=env) for command in commands] for _ in range(REPEATS)]
    direct, job, command = (list(of) for of in zip(*turns, strict=True))
    return direct, job, command


def _said(timed: Timed) -> float:
    """The seconds that a process itself measured: the line that is a number."""
    return next(float(line) for line in timed.output.splitlines() if _NUMBER.fullmatch(line))
