"""Several positions in one pass: equal to one prompt at a time, on every path."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atlas_assets.errors import ModelError
from atlas_assets.extraction import positions, tree_pass
from atlas_assets.extraction.positions import (
    by_pair,
    occurrences_at,
    occurrences_in,
    samples_of,
    scale_of,
    tokens_read,
)
from atlas_assets.extraction.shards import ShardStore
from atlas_assets.extraction.spots import Occurrences
from atlas_assets.stages.activations.positions import LEVELS
from atlas_assets.stages.prompts.positions import Position
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.extraction.test_extraction import OF_EMBEDDED, PATHS, TOLERANCE
from atlas_assets_tests.extraction.tiny_models import FINGERPRINT, UNITS, read
from atlas_assets_tests.oracles import extraction_naive as naive

#: unit, prompt, token: equal ones, several of a prompt, several units of a spot, one without any
READ = [
    ("a", UNITS["While__len"][0], 3),
    ("a", UNITS["While__len"][0], 3),
    ("a", UNITS["While__len"][2], 0),
    ("b", UNITS["While__len"][2], 7),
    ("b", UNITS["For__list"][2], 5),
    ("c", UNITS["For__list"][2], 5),
    ("c", UNITS["Assert___isolated_"][1], 13),
    ("c", UNITS["While__len"][1], 2),
]
NAMES = ("a", "b", "c", "d")


def as_occurrences(rows: list[tuple[str, str, int]]) -> Occurrences:
    units = np.asarray([NAMES.index(unit) for unit, _, _ in rows], dtype=np.int64)
    tokens = np.asarray([token for _, _, token in rows], dtype=np.int64)
    return Occurrences([text for _, text, _ in rows], tokens, units, len(NAMES))


def assert_reads(found: Any, model: Any, rows: Any, names: Any = NAMES, **tolerance: float) -> None:
    scale, expected = naive.at_places(model, rows, LEVELS)
    np.testing.assert_allclose(found.scale.values, scale, rtol=1e-5)
    for unit, name in enumerate(names):
        sums, counts = expected.get(name, (0, 0))
        np.testing.assert_allclose(found.sums[unit], sums, **(tolerance or TOLERANCE))
        np.testing.assert_array_equal(found.counts[:, unit], counts)
        assert found.n_prompts[unit] == sum(row[0] == name for row in rows)


@pytest.mark.parametrize(("name", "path"), PATHS.values(), ids=PATHS.keys())
def test_one_pass_gives_what_prompts_alone_give(name: str, path: Any) -> None:
    model = {**tiny_models.ARCHITECTURES, "toy": tiny_models.toy}[name]()
    wanted = {"first": READ, "second": READ[:3], "nowhere": []}
    places = {position: as_occurrences(rows) for position, rows in wanted.items()}
    alone = read(model, UNITS, path=path)
    for batch_tokens in (1, 50, 8192):
        found = read(model, UNITS, positions=places, batch_tokens=batch_tokens, path=path)
        for position, rows in wanted.items():
            if rows:
                assert_reads(found.positions[position], model, rows)
        assert not found.positions["nowhere"].sums.any()
        np.testing.assert_array_equal(found.activations.counts, alone.activations.counts)
        np.testing.assert_allclose(found.activations.sums, alone.activations.sums, **TOLERANCE)
        assert found.losses.keys() == alone.losses.keys()


def test_real_prompts_are_read_at_their_concepts_and_names() -> None:
    from atlas_assets.models.loading import load, resolve
    from atlas_assets.stages.activations.activations import units_of_object_prompts
    from atlas_assets.stages.activations.positions import HALVES, placed
    from atlas_assets.stages.prompts.object_prompts import generate
    from atlas_assets.stages.prompts.stimuli import load_stimuli

    cut = {"ast_nodes": ["For", "IfExp"], "builtins": ["list", "len"]}
    model = load(resolve("embedded", None), device="cpu", dtype="float32")
    prompts = generate(load_stimuli(), **cut, variations=7)
    pairs, occurrences = occurrences_in(model.tokenizer, prompts)
    found = read(model, units_of_object_prompts(prompts), positions=occurrences, scored=False)
    assert found.losses == {}
    units = [f"{half} {pair}" for half in HALVES for pair in pairs]
    places = placed(prompts)
    counted: dict[tuple[int, int], int] = {}
    for position, ends in places.ends.items():
        rows = []
        for text, unit, end in zip(places.texts, places.units, ends, strict=True):
            ids = model.tokenizer.encode(text)
            shown = [len(model.tokenizer.decode(ids[: n + 1])) for n in range(len(ids))]
            if end is not None:
                token = next(n for n, length in enumerate(shown) if length >= end)
                rows.append((units[unit], text, token))
                if position == "concept":
                    counted[unit, ids[token]] = counted.get((unit, ids[token]), 0) + 1
        assert_reads(found.positions[position], model, rows, units, **OF_EMBEDDED)
    at_concepts = tokens_read(*occurrences_in(model.tokenizer, prompts)).filter(position="concept")
    numbers = {(half, pair): n for n, (half, pair) in enumerate(product(HALVES, pairs))}
    assert {
        (numbers[half, pair], token): n for _, half, pair, token, n in at_concepts.rows()
    } == counted
    concept, name = by_pair(pairs, found.positions)
    assert concept.n_prompts.tolist() == [[4] * len(pairs), [3] * len(pairs)]
    np.testing.assert_array_equal(
        concept.counts.reshape(len(LEVELS), -1), found.positions["concept"].counts.reshape(4, -1)
    )
    assert 0 < name.n_prompts.sum() < concept.n_prompts.sum()


def test_a_killed_pass_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_pass, "CHUNKS_PER_LEG", 1)
    monkeypatch.setattr(tree_pass, "NOTE_SECONDS", 0.0)
    model, places = tiny_models.sparse_circuitgpt(), {"here": as_occurrences(READ)}
    options: dict[str, Any] = {"positions": places, "batch_tokens": 30}
    expected = read(model, UNITS, **options).positions["here"]
    store, run, runs = ShardStore(tmp_path, FINGERPRINT), tree_pass.TreeNetwork.run, []

    def dies(*args: Any, **kwargs: Any) -> Any:
        runs.append(kwargs["losses"])
        if runs.count(True) == 3:
            raise KeyboardInterrupt
        return run(*args, **kwargs)

    monkeypatch.setattr(tree_pass.TreeNetwork, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        read(model, UNITS, shards=store, **options)
    before = len(runs)
    found = read(model, UNITS, shards=store, **options).positions["here"]
    assert runs[before:].count(False) == 0  # the scales are kept
    assert found.sums.tobytes() == expected.sums.tobytes()
    assert found.counts.tobytes() == expected.counts.tobytes()


def test_the_token_is_the_one_that_holds_the_last_character() -> None:
    ends: dict[Position, list[int | None]] = {"concept": [2, None, 3], "name": [None, 1, None]}
    both = occurrences_at(tiny_models.ByteTokenizer(), ["aéb", "xy", "aéb"], ends, [1, 0, 0], 3)
    assert (both["name"].texts, both["name"].tokens.tolist()) == (["xy"], [0])
    found = both["concept"]
    assert found.texts == ["aéb", "aéb"]
    assert found.tokens.tolist() == [2, 3]  # é is two tokens
    assert found.n_prompts.tolist() == [1, 1, 0]


def test_the_sample_is_every_nth_prompt_by_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "SAMPLE_PROMPTS", 4)
    texts = [f"{letter}x" for letter in "gfedcba"] * 2
    many = Occurrences(texts, np.arange(14) // 7, np.zeros(14, np.int64), 1)
    few = Occurrences(["bx", "dx"], np.zeros(2, np.int64), np.zeros(2, np.int64), 1)
    none = Occurrences([], np.zeros(0, np.int64), np.zeros(0, np.int64), 1)
    samples = samples_of({"many": many, "few": few, "none": none})
    read_ = {
        name: sorted(zip(of.texts, of.tokens.tolist(), strict=True)) for name, of in samples.items()
    }
    assert read_["many"] == sorted((f"{letter}x", token) for letter in "aceg" for token in (0, 1))
    assert read_["few"] == [("bx", 0), ("dx", 0)]  # none of them is in the sample of all
    assert read_["none"] == []
    scale = scale_of(samples["few"], np.array([[[3.0, 0]], [[0, 1]]], np.float32))
    assert (scale.prompts, len(scale.sample)) == (2, 64)
    np.testing.assert_allclose(scale.values, [np.sqrt(10 / 4)])


@pytest.mark.parametrize("path", ["plain", "tree"])
def test_a_readout_that_is_not_finite_is_named(path: Any) -> None:
    import torch

    model = tiny_models.circuitgpt()
    with torch.no_grad():
        model.base.transformer.wpe.weight[2] = float("nan")
    with pytest.raises(ModelError, match=r"the network's readout"):
        places = {"here": as_occurrences([("a", "abc", 2)])}
        read(model, {"u": ["abc", "xy"]}, positions=places, path=path)
