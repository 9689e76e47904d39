"""``atlas show`` at the size of the paper's model: 1,276 pairs × 8 layers × 2,048 neurons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import CheckerMasks, Masks, with_universals
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.codecs import codec_of
from atlas_assets_tests.cli.test_app import cpu_seconds
from atlas_assets_tests.storage.samples import provenance

pytestmark = pytest.mark.slow

LAYERS, WIDTH = 8, 2048


def masks(names: list[str], rng: np.random.Generator) -> Masks:
    bits = rng.random((len(names), LAYERS, WIDTH), dtype=np.float32) < 0.2
    return Masks(tuple(sorted(names)), bits | (rng.random((LAYERS, WIDTH)) < 0.01))


def test_show_answers_within_a_second(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stimuli = load_stimuli().object_prompts
    grid = [f"{a}__{b}" for a in stimuli.grid_ast_nodes for b in stimuli.grid_builtins]
    objects = with_universals(REFERENCE, masks(sorted(grid)[:1276], rng))
    checkers = CheckerMasks(REFERENCE, masks(["ast__For", "builtin__len"], rng))
    (tmp_path / "full").mkdir()
    for key, value in (("object_masks", objects), ("checker_masks", checkers)):
        path = tmp_path / "full" / ARTIFACTS[key].file_name(REFERENCE)
        codec_of(ARTIFACTS[key]).write(path, value, provenance(key, payload_sha256=value.digest()))
    env = {"ATLAS_DATA_DIR": str(tmp_path), "ATLAS_NAME": "full"}
    assert min(cpu_seconds("show", "For", **env) for _ in range(3)) < 1
