"""The packaged inventory is the published one, read-only; any other text is refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError

from atlas_assets.errors import StimulusError
from atlas_assets.stages.prompts.stimuli import load_stimuli, parse_stimuli

DOCUMENT = (resources.files("atlas_assets.stages.prompts") / "stimuli.json").read_text("utf-8")
STIMULI = load_stimuli()


def test_the_packaged_file_equals_the_specification(shared: Path) -> None:
    assert (shared / "spec" / "stimuli.json").read_text(encoding="utf-8") == DOCUMENT


def test_the_tables_are_read_once_and_only_read() -> None:
    assert load_stimuli() is STIMULI
    with pytest.raises(ValidationError, match="frozen"):
        STIMULI.object_prompts.seed = 7  # type: ignore[misc]
    with pytest.raises(TypeError, match="does not support item assignment"):
        STIMULI.object_prompts.templates["For"]["any"] = "pass"  # type: ignore[index]
    with pytest.raises(TypeError, match="does not support item assignment"):
        STIMULI.checker_prompts.keyword_map["ast__For"] = None  # type: ignore[index]


@pytest.mark.parametrize(
    ("old", "new"), [("velocity", "speed"), ('"seed": 42', '"seed": 43'), ("{", ""), ("}", "} ")]
)
def test_tables_that_differ_from_the_published_ones_are_refused(old: str, new: str) -> None:
    edited = DOCUMENT.replace(old, new, 1)
    assert edited != DOCUMENT
    with pytest.raises(StimulusError, match="not the published ones") as raised:
        parse_stimuli(edited)
    assert "restore the published stimuli.json" in str(raised.value)
