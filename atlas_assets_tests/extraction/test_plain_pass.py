"""Padded batches: what is run in which, and how a pass goes on from its finished shards."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.errors import ModelError
from atlas_assets.extraction import plain_pass
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.stages.activations.activations import Activations
from atlas_assets_tests.extraction import resumed_extraction, tiny_models
from atlas_assets_tests.extraction.tiny_models import FINGERPRINT, extracted

UNITS = resumed_extraction.UNITS


def test_identical_prompts_run_once_and_count_as_often_as_they_occur() -> None:
    model = tiny_models.toy()
    found = extracted(model, {"a": ["x = 1"] * 3, "b": ["x = 1", "y"]})
    assert sum(rows for rows, _ in model.base.batches) == 2
    once = extracted(model, {"a": ["x = 1"]})
    np.testing.assert_allclose(found.sums[0], 3 * once.sums[0], rtol=1e-6)
    np.testing.assert_array_equal(found.counts[0], 3 * once.counts[0])
    assert found.n_prompts.tolist() == [3, 2]


def test_published_runs_one_unit_per_batch_of_at_most_64() -> None:
    model = tiny_models.toy()
    units = {"b": [f"x = {i}" for i in range(70)], "a": ["if x:\n    y", "z", "z", "del w"]}
    extracted(model, units, readout="published")
    assert [rows for rows, _ in model.base.batches] == [4, 64, 6]


def test_batches_stay_within_the_budget_and_waste_little() -> None:
    model = tiny_models.toy()
    texts = ["x" * (1 + i % 90) + str(i % 7) for i in range(400)]
    extracted(model, {"a": texts}, batch_tokens=500)
    assert max(rows * tokens for rows, tokens in model.base.batches) <= 500
    run_tokens = sum(rows * tokens for rows, tokens in model.base.batches)
    assert run_tokens < 1.1 * sum(map(len, set(texts)))


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_mask_goes_with_right_padding_and_none_with_published(name: str) -> None:
    model = tiny_models.ARCHITECTURES[name]()
    seen: list[Any] = []
    model.base.register_forward_pre_hook(
        lambda _m, args, kwargs: seen.append((args[0], kwargs.get("attention_mask"), kwargs)),
        with_kwargs=True,
    )
    model.network.lm_head.register_forward_pre_hook(lambda _m, _i: pytest.fail("logits computed"))
    units = {"a": ["xyz", "x"]}
    extracted(model, units)
    extracted(model, units, readout="published")
    (ids, mask, options), (left_ids, no_mask, _) = seen
    pad = tiny_models.PAD_ID
    assert ids.tolist() == [[120, 121, 122], [120, pad, pad]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert options["use_cache"] is False
    assert left_ids.tolist() == [[120, 121, 122], [pad, pad, 120]]
    assert no_mask is None


@pytest.mark.parametrize("readout", ["last_token", "published"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_readouts_that_are_not_finite_are_never_stored(
    tmp_path: Path, readout: str, value: float
) -> None:
    model = tiny_models.toy()
    batch: list[torch.Tensor] = []

    def break_layer_1(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        broken = (batch[-1] == ord("!")).any(dim=1)
        return torch.where(broken[:, None, None], torch.tensor(value), output)

    model.base.register_forward_pre_hook(lambda _m, inputs: batch.append(inputs[0]))
    model.mlps[1].register_forward_hook(break_layer_1)
    units = {"a": ["x", "y", "zz"], "b": ["x", "u!", "v"], "c": ["wide"]}
    with pytest.raises(ModelError, match="unit b, prompt 1, layer 1"):
        extracted(model, units, readout=readout, shards=ShardStore(tmp_path, FINGERPRINT))
    assert list(tmp_path.rglob("*.safetensors")) == []


# ---------------------------------------------------------------- resuming


@pytest.fixture
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_pass, "SHARD_PROMPTS", resumed_extraction.SHARD_PROMPTS)


pytestmark = pytest.mark.usefixtures("_small_shards")


def resume(model: Any, folder: Path | None, **options: Any) -> Activations:
    options = {"units": UNITS, "batch_tokens": 64, **options}
    return extracted(model, shards=ShardStore(folder, FINGERPRINT), **options)


def stored(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


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
    assert 0 < finished < len(UNITS)

    undisturbed = tiny_models.toy()
    expected = resume(undisturbed, None)
    model = tiny_models.toy()
    found = resume(model, tmp_path)
    assert found.digest() == expected.digest()
    per_shard = len(undisturbed.base.batches) // len(UNITS)
    assert len(model.base.batches) == len(undisturbed.base.batches) - finished * per_shard


@pytest.mark.parametrize("readout", ["last_token", "published"])
def test_a_finished_run_is_loaded_whole(tmp_path: Path, readout: str) -> None:
    expected = resume(tiny_models.toy(), tmp_path, readout=readout)
    model = tiny_models.toy()
    assert resume(model, tmp_path, readout=readout).digest() == expected.digest()
    assert model.base.batches == []


@pytest.mark.parametrize(
    "change",
    [
        {"batch_tokens": 65},
        {"readout": "published"},
        {"units": {**UNITS, "unit 0": ["x"]}},
        {"units": {**UNITS, "unit 9": ["x"]}},
    ],
)
def test_shards_of_another_computation_are_not_used(tmp_path: Path, change: Any) -> None:
    resume(tiny_models.toy(), tmp_path)
    model = tiny_models.toy()
    found = resume(model, tmp_path, **change)
    assert found.digest() == resume(tiny_models.toy(), None, **change).digest()
    assert sum(rows for rows, _ in model.base.batches) >= 41
    assert len({path.parent for path in stored(tmp_path)}) == 1
