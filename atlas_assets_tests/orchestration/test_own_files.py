"""Files of a user's own that cannot be used are refused before the first step of a run."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

import atlas_assets as aa
from atlas_assets.definitions import build_definitions
from atlas_assets.errors import AtlasError, StimulusError
from atlas_assets.settings import AtlasSettings


@pytest.fixture
def circuits(tmp_path: Path) -> str:
    """A file that holds no circuits."""
    file = tmp_path / "mine.parquet"
    file.write_text("hello")
    return str(file)


@pytest.fixture
def stimuli(tmp_path: Path) -> str:
    """A file that holds no prompts."""
    file = tmp_path / "mine.csv"
    file.write_text("hello")
    return str(file)


def test_no_step_of_a_run_begins_without_own_circuits(tmp_path: Path, circuits: str) -> None:
    settings = AtlasSettings.build(data_dir=str(tmp_path / "data"), circuits=circuits)
    with dg.DagsterInstance.ephemeral() as instance:
        # the definitions are there all the same, to look at what there is
        job = build_definitions(settings).resolve_job_def("atlas")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
        assert not result.success
        events = [event.dagster_event for event in instance.all_logs(result.run_id)]
    assert not any(event and event.event_type_value == "STEP_START" for event in events)
    assert any("the file of circuits cannot be read" in str(event) for event in events)
    assert not (tmp_path / "data").exists()


def test_there_are_no_definitions_without_own_prompts(tmp_path: Path, stimuli: str) -> None:
    with pytest.raises(StimulusError, match="own prompts"):
        build_definitions(AtlasSettings.build(data_dir=str(tmp_path / "data"), stimuli=stimuli))


@pytest.mark.parametrize("kind", ["circuits", "stimuli"])
def test_nor_is_anything_built_in_python(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    named = {kind: request.getfixturevalue(kind)}
    with pytest.raises(AtlasError, match="cannot be read"):
        aa.build(model="embedded", data_dir=str(tmp_path / "data"), **named)
    assert not (tmp_path / "data").exists()
