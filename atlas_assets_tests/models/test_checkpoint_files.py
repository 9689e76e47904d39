"""The files of a checkpoint's folder: what is missing or damaged is named, tokenizers are exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atlas_assets.errors import ModelError
from atlas_assets.models.checkpoint_files import (
    END_OF_TEXT,
    CheckpointTokenizer,
    read_config,
    tokenizer_files,
    weight_files,
)
from atlas_assets_tests.models import tiny

TEXT = "for i in range(3):\n    print(f'{i} is ü')\n"


def tokenizer_of(folder: Path) -> CheckpointTokenizer:
    return CheckpointTokenizer(folder, read_config(folder))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a config and the tokenizer of bytes."""
    (tmp_path / "config.json").write_text('{"model_type": "circuitgpt"}')
    tiny.byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_the_tokenizer_adds_nothing_and_cuts_nothing(folder: Path) -> None:
    tokenizer = tiny.byte_tokenizer()
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    tokenizer.save(str(folder / "tokenizer.json"))
    found = tokenizer_of(folder)
    ids = found.encode(TEXT + END_OF_TEXT)
    assert len(ids) == len(TEXT.encode()) + 1
    assert ids[-1] == found.pad_id == 256
    assert found.vocab_size == 257
    assert found.decode(ids) == TEXT + END_OF_TEXT
    assert found.encode("") == []


def test_many_texts_at_once_are_encoded_as_one_by_one(folder: Path) -> None:
    tokenizer = tokenizer_of(folder)
    texts = [TEXT[start:stop] for start in range(20) for stop in range(start, 40, 3)]
    texts += ["", END_OF_TEXT, "é → 𝛆\r\n\t", "\x00", *texts[:3]]
    assert tokenizer.encode_all(texts) == [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_all([]) == []


def test_vocabulary_and_merges_do_as_a_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "config.json").write_text('{"model_type": "gpt2", "eos_token_id": 7}')
    tiny.byte_tokenizer(end=None).model.save(str(folder))
    found = tokenizer_of(folder)
    assert found.encode(TEXT) == tiny.byte_tokenizer().encode(TEXT).ids
    assert found.decode(found.encode(TEXT)) == TEXT
    assert found.pad_id == 7


@pytest.mark.parametrize("end", [-1, 999, True, "7", None, []])
def test_what_is_no_id_of_the_tokenizer_does_not_pad(folder: Path, end: object) -> None:
    tiny.byte_tokenizer(end=None).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "x", "eos_token_id": end}))
    with pytest.raises(ModelError, match="no token to pad with"):
        tokenizer_of(folder)


@pytest.mark.parametrize("named", ["</s>", {"content": "</s>", "lstrip": False}])
def test_without_end_of_text_the_end_of_sequence_pads(folder: Path, named: Any) -> None:
    tiny.byte_tokenizer(end="</s>").save(str(folder / "tokenizer.json"))
    with pytest.raises(ModelError, match="no token to pad with"):
        tokenizer_of(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": named}))
    assert tokenizer_of(folder).pad_id == 256


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
READ: dict[str, tuple[Callable[[Path], object], dict[str, str], str]] = {
    "no config": (read_config, {}, "no config.json"),
    "no JSON": (read_config, {"config.json": "{"}, "config.json cannot be read"),
    "no object": (read_config, {"config.json": "[]"}, "config.json cannot be read"),
    "no type": (read_config, {"config.json": "{}"}, "names no model type"),
    "no tokenizer": (tokenizer_files, {"x": ""}, "expected: tokenizer.json, or vocab.json and"),
    "half a tokenizer": (tokenizer_files, {"vocab.json": ""}, "found: vocab.json"),
    "no weights": (weight_files, {"x": ""}, "no safetensors weights"),
    "pickled": (weight_files, {"pytorch_model.bin": ""}, "pickled weights are not read"),
    "no shards": (weight_files, {"model.safetensors.index.json": "{}"}, "an index of no shards"),
    "a shard missing": (
        weight_files,
        {"model.safetensors.index.json": '{"weight_map": {"a": "1.safetensors"}}'},
        "no 1.safetensors",
    ),
    "no map of shards": (
        weight_files,
        {"model.safetensors.index.json": '{"weight_map": ["x"]}'},
        "an index of no shards",
    ),
    "no name": (
        weight_files,
        {"model.safetensors.index.json": '{"weight_map": {"a": "/", "b": {}}}'},
        "no /, {}",
    ),
    "a name of no file": (
        weight_files,
        {"model.safetensors.index.json": f'{{"weight_map": {{"a": "{"x" * 5000}"}}}}'},
        "weights are incomplete",
    ),
    "text of no encoding": (
        weight_files,
        {"model.safetensors.index.json": '{"weight_map": {"a": "\\ud800"}}'},
        "index.json cannot be read",
    ),
    "nested deeply": (
        read_config,
        {"config.json": "[" * 10_000 + "]" * 10_000},
        "config.json cannot be read",
    ),
    "damaged tokenizer": (
        tokenizer_of,
        {"config.json": '{"model_type": "gpt2"}', "tokenizer.json": "{"},
        "tokenizer cannot be read",
    ),
    "pointed config": (read_config, {"config.json": POINTER}, "git lfs pull"),
    "pointed weights": (weight_files, {"model.safetensors": POINTER}, "git lfs pull"),
    "pointed index": (weight_files, {"model.safetensors.index.json": POINTER}, "git lfs pull"),
    "pointed tokenizer": (tokenizer_files, {"tokenizer.json": POINTER}, "git lfs pull"),
}


@pytest.mark.parametrize(("reading", "files", "message"), READ.values(), ids=READ.keys())
def test_what_is_missing_or_damaged_is_named(
    tmp_path: Path, reading: Callable[[Path], object], files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ModelError, match=message):
        reading(tmp_path)
