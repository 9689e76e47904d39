"""How the plain path cuts its work into shards, and goes on from those that are finished."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atlas_assets.extraction import prompts as prompt_plan
from atlas_assets.extraction.extraction import extract
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets.stages.activations.activations import Activations
from atlas_assets_tests.extraction import resumed_extraction, tiny_models

pytestmark = pytest.mark.usefixtures("one_thread")
FINGERPRINT = "0123456789abcdef"


def run(model: Any, units: Mapping[str, Sequence[str]], **options: Any) -> Activations:
    options.setdefault("shards", ShardStore(None, FINGERPRINT))
    return extract(model, units, progress=Progress("reading"), **options)


# ---------------------------------------------------------------- the plan


@settings(max_examples=60, deadline=None)
@given(
    units=st.dictionaries(
        st.text("abcdef", min_size=1, max_size=3),
        st.lists(st.sampled_from([f"p{i}" for i in range(25)]), min_size=1, max_size=5),
        min_size=1,
        max_size=15,
    ),
    target=st.integers(1, 10),
)
def test_shards_part_the_units_and_share_no_prompt(
    units: dict[str, list[str]], target: int
) -> None:
    tokenizer = tiny_models.ByteTokenizer()
    prompts = prompt_plan.unit_prompts(tokenizer, units, max_positions=9)
    plan = list(prompt_plan.shards(prompts, target))
    assert sorted(name for shard in plan for name in shard.names) == sorted(units)
    texts = [{text for name in shard.names for text in units[name]} for shard in plan]
    assert sum(map(len, texts)) == len(set().union(*texts))
    assert all(len(held) >= target for held in texts[:-1])
    backwards = dict(reversed(units.items()))
    again = prompt_plan.unit_prompts(tokenizer, backwards, max_positions=9)
    assert again.digest() == prompts.digest()
    assert [shard.names for shard in prompt_plan.shards(again, target)] == [s.names for s in plan]


def test_the_published_grid_falls_into_many_small_shards(shared: Path) -> None:
    import polars as pl

    frame = pl.read_parquet(shared / "golden" / "prompts" / "object_candidates.parquet")
    names = frame["ast_node"] + "__" + frame["builtin_obj"]
    units: dict[str, list[str]] = {}
    for name, text in zip(names, frame["prompt_text"], strict=True):
        units.setdefault(name, []).append(text)
    prompts = prompt_plan.unit_prompts(tiny_models.ByteTokenizer(), units, max_positions=9999)
    sizes = [
        len(shard.distinct) for shard in prompt_plan.shards(prompts, prompt_plan.SHARD_PROMPTS)
    ]
    assert sum(sizes) == len(prompts.table) == 45_887
    assert max(sizes) < 1.5 * prompt_plan.SHARD_PROMPTS


# ---------------------------------------------------------------- resuming


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_plan, "SHARD_PROMPTS", resumed_extraction.SHARD_PROMPTS)


def resume(model: Any, folder: Path | None, **options: Any) -> Activations:
    store = ShardStore(folder, resumed_extraction.FINGERPRINT)
    return run(model, resumed_extraction.UNITS, batch_tokens=64, shards=store, **options)


def stored(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


@pytest.mark.usefixtures("small_shards")
def test_after_a_kill_the_run_continues_and_yields_the_same_bytes(tmp_path: Path) -> None:
    script = [
        sys.executable,
        "-m",
        "atlas_assets_tests.extraction.resumed_extraction",
        str(tmp_path),
    ]
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run(script, cwd=root, check=False, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    finished = len(stored(tmp_path))
    assert 0 < finished < len(resumed_extraction.UNITS)

    undisturbed = tiny_models.toy()
    expected = resume(undisturbed, None)
    model = tiny_models.toy()
    found = resume(model, tmp_path)
    assert found.digest() == expected.digest()
    per_shard = len(undisturbed.base.batches) // len(resumed_extraction.UNITS)
    assert len(model.base.batches) == len(undisturbed.base.batches) - finished * per_shard


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("readout", ["last_token", "published"])
def test_a_finished_run_is_loaded_whole(tmp_path: Path, readout: str) -> None:
    expected = resume(tiny_models.toy(), tmp_path, readout=readout)
    model = tiny_models.toy()
    assert resume(model, tmp_path, readout=readout).digest() == expected.digest()
    assert model.base.batches == []


@pytest.mark.usefixtures("small_shards")
def test_a_truncated_shard_is_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = resume(tiny_models.toy(), tmp_path)
    shard = stored(tmp_path)[2]
    sound = shard.read_bytes()
    shard.write_bytes(sound[: len(sound) // 2])
    with caplog.at_level(logging.WARNING):
        assert resume(tiny_models.toy(), tmp_path).digest() == expected.digest()
    assert "is damaged and will be computed again" in caplog.text
    assert shard.read_bytes() == sound


@pytest.mark.usefixtures("small_shards")
def test_a_shard_of_other_units_is_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = resume(tiny_models.toy(), tmp_path)
    foreign = {"sums": np.zeros((9, 3, 16), np.float32), "counts": np.zeros((9, 3, 16), np.int32)}
    monkeypatch.setattr(ShardStore, "get", lambda _self, _key: foreign)
    with caplog.at_level(logging.WARNING):
        assert resume(tiny_models.toy(), tmp_path).digest() == expected.digest()
    assert "does not hold this plan's units" in caplog.text


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
    "change",
    [
        {"batch_tokens": 65},
        {"readout": "published"},
        {"units": {**resumed_extraction.UNITS, "unit 0": ["x"]}},
        {"units": {**resumed_extraction.UNITS, "unit 9": ["x"]}},
    ],
)
def test_shards_of_another_computation_are_not_used(tmp_path: Path, change: Any) -> None:
    resume(tiny_models.toy(), tmp_path)
    options = {"units": resumed_extraction.UNITS, "batch_tokens": 64, **change}
    model = tiny_models.toy()
    found = run(model, shards=ShardStore(tmp_path, resumed_extraction.FINGERPRINT), **options)
    assert found.digest() == run(tiny_models.toy(), **options).digest()
    assert sum(rows for rows, _ in model.base.batches) >= 41
    assert len({path.parent for path in stored(tmp_path)}) == 1
