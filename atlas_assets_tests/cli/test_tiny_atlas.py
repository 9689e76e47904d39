"""The real command, in a process of its own, on a tiny atlas that Dagster built."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import h5py
import numpy as np
import polars as pl
import pytest

from atlas_assets import io
from atlas_assets_tests.orchestration.tiny_atlas import environment, run_job, tiny_settings

SWEEP = {"epsilons": "0.1,0.5", "consistencies": "0.8"}
Atlas = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("data")
    with dg.DagsterInstance.ephemeral() as instance:
        assert run_job(tiny_settings(data_dir, **SWEEP), instance).success
    return data_dir


@pytest.fixture(scope="module")
def atlas(data: Path) -> Atlas:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
        return subprocess.run(
            [sys.executable, "-m", "atlas_assets.cli", *arguments],
            env={**kept, **environment(data, **SWEEP), **more},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    return run


def document(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Standard output as JSON, which it must be from the first to the last byte."""
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def test_what_the_job_made_is_fresh(atlas: Atlas) -> None:
    result = atlas("status", "--verify", "--json")
    states = {f["artifact"]: f["state"] for f in document(result)["files"]}
    assert states["object_masks"] == states["summary"] == "fresh"
    assert set(states.values()) <= {"fresh", "missing"}
    assert result.returncode == (1 if "missing" in states.values() else 0)
    assert "Traceback" not in result.stderr


def test_show_and_the_loaders_agree_with_h5py(atlas: Atlas, data: Path) -> None:
    shown = document(atlas("show", "For", "--json"))
    masks = io.load_universal_masks(data_root=data / "tiny")
    with h5py.File(data / "tiny" / "13_object_masks_eps0.5_cons0.8.h5") as file:
        assert sorted(file["universal_masks/layer_0"]) == list(masks)
        for record in shown["layers"]:
            bits = file[f"universal_masks/layer_{record['layer']}/ast__For"][:]
            assert record["neurons"] == np.flatnonzero(bits).tolist()
            assert masks["ast__For"][record["layer"]] == set(record["neurons"])


def test_the_loaders_read_all_tables_of_the_job(data: Path) -> None:
    root = data / "tiny"
    assert io.load_summary(data_root=root)["epsilon"].to_list() == [0.1, 0.5]
    ast_nodes, builtins = io.load_concept_inventory(data_root=root)
    assert ast_nodes == ["For", "If", "Import", "Pass", "Return"]
    assert "_isolated_" in builtins
    assert io.load_pair_masks(data_root=root).keys() <= {
        (a, b) for a in ast_nodes for b in builtins
    }
    testable, _ = io.load_concept_inventory(stage="checker", data_root=root)
    assert set(testable) <= set(ast_nodes)
    frames = [
        io.load_modularity_scores(data_root=root),
        io.load_modularity_scores(data_root=root, detail=True),
        io.load_target_checker(data_root=root),
        *(
            io.load_token_independence(kind=kind, data_root=root)
            for kind in ("summary", "detail", "no_keyword")
        ),
        *(io.load_prompts(kind, data_root=root) for kind in ("object", "checker", "token_checker")),
    ]
    assert all(isinstance(frame, pl.DataFrame) and frame.height for frame in frames)


def test_an_ad_hoc_setting_equals_the_grid_where_they_meet(atlas: Atlas, data: Path) -> None:
    (record,) = document(atlas("sweep", "-e", "0.5", "-c", "0.8", "--json"))["settings"]
    row = (
        io.load_summary(data_root=data / "tiny").filter(epsilon=0.5).drop("epsilon", "consistency")
    )
    assert record["decomposition"]["summary"] == row.to_dicts()[0]


def test_claims_of_the_embedded_model_are_observed(atlas: Atlas) -> None:
    result = atlas("claims", "--json")
    assert result.returncode == 0
    claims = document(result)["claims"]
    assert not any(claim["about_this_atlas"] for claim in claims)
    assert any(claim["verdict"] == "observed, not claimed" for claim in claims)


def test_an_atlas_against_itself_and_an_error(atlas: Atlas) -> None:
    assert atlas("diff", "tiny", "tiny").returncode == 0
    result = atlas("diff", "tiny", "absent")
    assert result.returncode == 3
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


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


def test_start_up_and_show_import_nothing_heavy(data: Path) -> None:
    """The bars are 0.3 s and 1 s on an idle machine; here with slack for a slower one."""
    env = environment(data, **SWEEP)
    assert min(cpu_seconds("--help", **env) for _ in range(2)) < 0.3
    assert min(cpu_seconds("show", "For", **env) for _ in range(2)) < 1.5
    assert cpu_seconds("claims", **env) < 6
