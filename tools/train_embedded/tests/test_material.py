from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atlas_assets.errors import ModelError
from atlas_assets.models.checkpoint_files import END_OF_TEXT
from tools.train_embedded import material, results
from tools.train_embedded.material import TokenStream, batch, token_stream, train_bpe
from tools.train_embedded.tests import samples


def test_the_tokenizer_has_the_size_asked_for() -> None:
    texts = [Path(path).read_text() for path in (__file__, material.__file__, results.__file__)]
    tokenizer = train_bpe(texts, 280)
    assert tokenizer.get_vocab_size() == 280
    assert tokenizer.token_to_id(END_OF_TEXT) == 279
    with pytest.raises(ModelError, match="280 ids"):
        train_bpe(["aa"], 280)


def test_a_stream_closes_every_module_and_knows_where_lines_start() -> None:
    tokenizer = samples.tokenizer()
    stream = token_stream(tokenizer, [source.text for source in samples.SOURCES[:3]])
    end = tokenizer.token_to_id("<|endoftext|>")
    assert (stream.ids == end).sum() == 3
    assert stream.ids[-1] == end
    texts = tokenizer.decode(stream.ids.tolist(), skip_special_tokens=False)
    assert texts == "".join(f"{s.text}<|endoftext|>" for s in samples.SOURCES[:3])
    lines = [tokenizer.decode(stream.ids[start:].tolist()) for start in stream.starts]
    assert lines[0].startswith("def work_0")
    following = [line.splitlines()[0] for line in lines if line.strip()]
    whole = {line for source in samples.SOURCES[:3] for line in source.text.splitlines()}
    assert {line.strip() for line in following} == {line.strip() for line in whole}


def test_windows_of_prompts_begin_with_a_prompt() -> None:
    tokenizer = samples.tokenizer()
    stream = token_stream(tokenizer, ["x = 1\ny = 2", "z = 3\n"], whole=True)
    assert stream.starts.tolist() == [0, len(tokenizer.encode("x = 1\ny = 2").ids) + 1]


def test_batches_are_functions_of_seed_and_step() -> None:
    streams, recipe = samples.material().train, samples.recipe()
    first, again, next_, other = (
        batch(streams, recipe, 1),
        batch(streams, recipe, 1),
        batch(streams, recipe, 2),
        batch(streams, samples.recipe(seed=1), 1),
    )
    assert [part.shape for part in first] == [(8, 16), (4, 32)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], next_[0])
    assert not np.array_equal(first[0], other[0])


def test_windows_are_drawn_by_the_shares_and_begin_where_they_may() -> None:
    streams = samples.material().train
    shares = {"library": 0.5, "packages": 0.3, "prompts": 0.2}
    (rows,) = batch(streams, samples.recipe(windows=[16], part_tokens=32768, shares=shares), 3)
    for name, stream in streams.items():
        begun = {tuple(stream.ids[start : start + 16]) for start in stream.starts}
        found = np.mean([tuple(row) in begun for row in rows])
        assert found == pytest.approx(shares[name], abs=0.05)


def test_the_last_window_ends_with_the_stream() -> None:
    stream = TokenStream(np.arange(16), np.array([0, 1, 5]))
    recipe = samples.recipe(windows=[16], part_tokens=64, shares={"all": 1.0})
    assert np.array_equal(batch({"all": stream}, recipe, 1)[0], np.tile(np.arange(16), (4, 1)))


def test_a_corpus_shorter_than_a_window_is_refused() -> None:
    stream = TokenStream(np.arange(15), np.array([0]))
    with pytest.raises(ModelError, match="all needs at least 16 tokens"):
        batch({"all": stream}, samples.recipe(windows=[16], shares={"all": 1.0}), 1)


def test_rows_cover_the_stream_once_or_are_spread() -> None:
    stream = TokenStream(np.arange(23), np.array([0]))
    assert np.array_equal(stream.rows(5, 100), np.arange(20).reshape(4, 5))
    assert np.array_equal(stream.rows(5, 2), np.arange(20).reshape(4, 5)[::2])
