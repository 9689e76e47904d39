"""The real command, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, with_universals
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.codecs import codec_of
from atlas_assets_tests import sample_atlas
from atlas_assets_tests.cli.conftest import Call
from atlas_assets_tests.storage.samples import provenance

Atlas = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def atlas(made: Path) -> Atlas:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "atlas_assets.cli", *arguments],
            env={**sample_atlas.environment(made), **more},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    return run


def test_a_terminal_that_cannot_show_greek(atlas: Atlas) -> None:
    result = atlas("show", "For", PYTHONIOENCODING="latin-1")
    assert result.returncode == 0
    assert "?=0.5, C=0.8" in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("atlas sh", "show"),
        ("atlas show builtin__le", "builtin__len"),
        ("atlas sweep --wr", "--write"),
    ],
)
def test_shell_completion(atlas: Atlas, words: str, expected: str) -> None:
    cursor = str(len(words.split()) - 1)
    result = atlas(_ATLAS_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=cursor)
    assert result.stdout == f"plain,{expected}\n"


def cpu_seconds(*arguments: str, **env: str) -> float:
    """User CPU of one call: what it costs even where others keep the machine busy."""
    code = (
        "import resource, runpy, sys; sys.argv = ['atlas', *sys.argv[1:]]\n"
        "try: runpy.run_module('atlas_assets.cli', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'dagster', 'transformers', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return float(result.stderr.splitlines()[-1])


def test_start_up_and_show_import_nothing_heavy(made: Path) -> None:
    """The bars are 0.3 s and 1 s on an idle machine; here with slack for a slower one."""
    env = sample_atlas.environment(made)
    assert min(cpu_seconds("--help", **env) for _ in range(2)) < 0.3
    assert min(cpu_seconds("show", "For", **env) for _ in range(2)) < 1.5
    assert cpu_seconds("claims", **env) < 6


LAYERS, WIDTH = 8, 2048


def random_masks(names: list[str], rng: np.random.Generator) -> Masks:
    bits = rng.random((len(names), LAYERS, WIDTH), dtype=np.float32) < 0.2
    return Masks(tuple(sorted(names)), bits | (rng.random((LAYERS, WIDTH)) < 0.01))


@pytest.mark.slow
def test_show_answers_within_a_second_at_the_size_of_the_paper(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stimuli = load_stimuli().object_prompts
    grid = [f"{a}__{b}" for a in stimuli.grid_ast_nodes for b in stimuli.grid_builtins]
    objects = with_universals(REFERENCE, random_masks(sorted(grid)[:1276], rng))
    checkers = CheckerMasks(REFERENCE, random_masks(["ast__For", "builtin__len"], rng))
    (tmp_path / "full").mkdir()
    for key, value in (("object_masks", objects), ("checker_masks", checkers)):
        path = tmp_path / "full" / ARTIFACTS[key].file_name(REFERENCE)
        codec_of(ARTIFACTS[key]).write(path, value, provenance(key, payload_sha256=value.digest()))
    env = {"ATLAS_DATA_DIR": str(tmp_path), "ATLAS_NAME": "full"}
    assert min(cpu_seconds("show", "For", **env) for _ in range(3)) < 1


def test_where_of_a_series_says_whether_files_are_there(tmp_path: Path, call: Call) -> None:
    for step in ("step-1", "step-2"):
        (tmp_path / "run" / step).mkdir(parents=True)
        (tmp_path / "run" / step / "config.json").touch()
    asked = partial(call, tmp_path / "data", "where", model=str(tmp_path / "run"))
    nothing = asked()
    assert (nothing.code, "atlas build" in nothing.out) == (1, True)
    folder = Path(asked("--json").json["checkpoints"]["step-2"])
    folder.mkdir(parents=True)
    (folder / "15_summary.csv").touch()
    assert (asked().code, "atlas stability" in asked().out) == (0, True)
