"""Sequence losses: the definition's, for any batching and slicing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atlas_assets.errors import ModelError
from atlas_assets.extraction import extraction, losses, plain_pass
from atlas_assets.extraction.extraction import Scores, score
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.progress import Progress
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.tiny_models import FINGERPRINT
from atlas_assets_tests.oracles import extraction_naive as naive

TEXTS = [
    "while x:\n    pass",
    "len",
    "ab",
    "for x in list(y):\n    print(x)",
    "len",
    "assert not None, 'nothing'",
    *(f"x = {'y' * i}" for i in range(20)),
]


def run(model: Any, texts: Sequence[str], **options: Any) -> Scores:
    options.setdefault("shards", ShardStore(None, FINGERPRINT))
    return score(model, texts, progress=Progress("scoring"), **options)


def assert_equals_naive(
    model: Any, texts: Sequence[str], found: Scores, atol: float = 1e-5
) -> None:
    expected = [naive.loss(model, text) for text in texts]
    np.testing.assert_allclose(found.losses, expected, rtol=0, atol=atol)
    assert found.lengths.tolist() == [len(model.tokenizer.encode(text)) for text in texts]


@pytest.mark.parametrize("name", sorted(tiny_models.ARCHITECTURES))
@pytest.mark.parametrize("path", ["plain", None])
def test_losses_in_batches_equal_single_prompts(name: str, path: Any) -> None:
    model = tiny_models.ARCHITECTURES[name]()
    for batch_tokens in (1, 50, 8192):
        assert_equals_naive(model, TEXTS, run(model, TEXTS, batch_tokens=batch_tokens, path=path))


def test_losses_of_the_embedded_model_equal_single_prompts() -> None:
    from atlas_assets.models.loading import load, resolve

    model = load(resolve("embedded", None), device="cpu", dtype="float32")
    assert_equals_naive(model, TEXTS, run(model, TEXTS, batch_tokens=64))


@pytest.mark.parametrize("path", ["plain", "tree"])
@pytest.mark.parametrize("texts", [[], ["", "x"], ["", "x", "xy"]], ids=str)
def test_a_prompt_of_fewer_than_two_tokens_scores_50(texts: list[str], path: Any) -> None:
    found = run(tiny_models.circuitgpt(), texts, path=path)
    assert found.losses[:2].tolist() == [50.0] * len(texts[:2])
    assert (found.losses[2:] < 50).all()
    assert found.lengths.tolist() == [len(text) for text in texts]


def test_only_the_first_512_tokens_are_scored_and_all_are_counted() -> None:
    model = tiny_models.toy(positions=512)
    texts = ["ab" * 256, "ab" * 256 + "cdefg", "ab" * 300]
    found = run(model, texts)
    assert_equals_naive(model, texts, found)
    assert found.losses[1] == found.losses[0]
    assert max(tokens for _, tokens in model.base.batches) == 512


def test_logits_are_bounded_and_cut_into_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(tiny_models.toy(), TEXTS)
    monkeypatch.setattr(plain_pass, "LOGITS_PER_CALL", 60 * tiny_models.VOCABULARY)
    monkeypatch.setattr(losses, "LOGITS_PER_SLICE", 45 * tiny_models.VOCABULARY)
    sizes: list[int] = []
    cross_entropy = losses.cross_entropy

    def watched(logits: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        sizes.append(logits.numel())
        assert logits.dtype == torch.float32
        return cross_entropy(logits, *args, **kwargs)

    monkeypatch.setattr(losses, "cross_entropy", watched)
    model = tiny_models.toy()
    sliced = run(model, TEXTS)
    np.testing.assert_allclose(sliced.losses, whole.losses, rtol=1e-6)
    assert max(rows * tokens for rows, tokens in model.base.batches) <= 60
    assert len(sizes) > len(model.base.batches)
    assert max(sizes) <= 45 * tiny_models.VOCABULARY


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_normalised_in_float32(dtype: torch.dtype) -> None:
    model = tiny_models.toy(dtype=dtype)
    # the network's own rounding (8 bits of mantissa in bfloat16), not the log-softmax's
    assert_equals_naive(model, TEXTS, run(model, TEXTS, batch_tokens=32), atol=5e-3)


def test_what_is_not_finite_is_named_by_its_place_among_all_prompts() -> None:
    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.transformer.wte.weight[ord("~")] = float("nan")
    with pytest.raises(ModelError, match="prompt 5"):
        run(model, ["a", "b", "b", "c", "xx", "b~"])


def test_a_prompt_longer_than_the_network_takes() -> None:
    with pytest.raises(ModelError, match=r"prompt 1\n.*at most 5 tokens\n.*6 tokens"):
        run(tiny_models.toy(positions=5), ["xx", "xxxxxx"])


def test_what_is_scored_is_kept_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "UNIT_PROMPTS", 8)
    monkeypatch.setattr(plain_pass, "SHARD_PROMPTS", 8)
    store, model = ShardStore(tmp_path, FINGERPRINT), tiny_models.toy()
    expected = run(tiny_models.toy(), TEXTS, shards=store).losses.tobytes()
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) == 4
    files[1].write_bytes(files[1].read_bytes()[:-5])
    assert run(model, TEXTS, shards=store).losses.tobytes() == expected
    assert sum(rows for rows, _ in model.base.batches) == 8
