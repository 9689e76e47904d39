"""The inventory that the settings name: the paper's, or a user's own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from atlas_assets.errors import StimulusError
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.inventory import Published, inventory_of
from atlas_assets.stages.prompts.stimuli import load_stimuli


def test_by_default_it_is_the_papers_as_the_settings_cut_it() -> None:
    settings = AtlasSettings.build(ast_nodes="For", builtins="list", variations=3)
    found = inventory_of(settings)
    assert found == Published(("For",), ("list",), 3)
    generated = object_prompts.generate(
        load_stimuli(), ast_nodes=["For"], builtins=["list"], variations=3
    )
    assert found.object_candidates().equals(generated)
    assert (len(found.concepts), found.sha256, found.lacks) == (106, None, frozenset())


def test_own_prompts_are_read_again_when_their_file_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("concept,prompt_text\nA,x\n")
    settings = AtlasSettings.build(stimuli=str(path))
    first = inventory_of(settings)
    assert inventory_of(settings) is first
    assert first.concepts == ("own__A",)
    path.write_text("concept,prompt_text\nB,x\n")
    os.utime(path, ns=(1, 1))
    second = inventory_of(settings)
    assert second.concepts == ("own__B",)
    assert second.sha256 != first.sha256
    time.sleep(0.05)  # the clock of a disk is coarse
    path.write_text("concept,prompt_text\nC,x\n")
    os.utime(path, ns=(1, 1))  # as a copy that keeps the time of writing
    assert inventory_of(settings).concepts == ("own__C",)
    path.unlink()
    with pytest.raises(StimulusError, match="No such file"):
        inventory_of(settings)
