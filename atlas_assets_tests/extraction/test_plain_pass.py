"""Padded batches: what is run in which, what is read of them, and how it is added up."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.extraction.readouts import ReadoutTap, tapped
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import extracted


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
    extracted(model, units, path="plain")
    extracted(model, units, readout="published")
    (ids, mask, options), (left_ids, no_mask, _) = seen
    pad = tiny_models.PAD_ID
    assert ids.tolist() == [[120, 121, 122], [120, pad, pad]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert options["use_cache"] is False
    assert left_ids.tolist() == [[120, 121, 122], [pad, pad, 120]]
    assert no_mask is None


def test_hooks_are_gone_afterwards() -> None:
    model = tiny_models.toy()
    extracted(model, tiny_models.UNITS)
    with pytest.raises(RuntimeError, match="stop"), tapped(model):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks for module in model.points)


def test_one_batch_of_readouts_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read = ReadoutTap.read
    alive: list[weakref.ref[torch.Tensor]] = []

    def watched(self: ReadoutTap, *args: Any) -> Any:
        assert not any(ref() is not None for ref in alive)
        readouts, output = read(self, *args)
        alive.append(weakref.ref(readouts))
        return readouts, output

    monkeypatch.setattr(ReadoutTap, "read", watched)
    extracted(tiny_models.toy(), {"a": [f"x{i}" for i in range(40)]}, batch_tokens=12)
    assert len(alive) > 5


def test_many_small_readouts_are_not_lost_beside_a_large_one() -> None:
    model = tiny_models.toy()
    with torch.no_grad():
        model.base.embed.weight.fill_(1.0)
        model.base.embed.weight[ord("a")] = 3.0e7
        model.points[0][0].weight.copy_(torch.eye(tiny_models.WIDTH))
        model.points[0][0].bias.zero_()
    found = extracted(model, {"u": ["a", *("b" * i for i in range(1, 91))]}, batch_tokens=100)
    # added one by one in float32 the ones would vanish: 3e7 + 1 == 3e7
    assert found.sums[0, 0, 0] == np.float32(3.0e7 + 90)
