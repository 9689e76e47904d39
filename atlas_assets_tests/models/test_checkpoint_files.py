"""The files of a checkpoint's folder: what is missing or damaged is named, tokenizers are exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import processors
from transformers import AutoTokenizer

from atlas_assets.errors import ModelError
from atlas_assets.models.checkpoint_files import (
    END_OF_TEXT,
    CheckpointTokenizer,
    read_config,
    tokenizer_files,
    weight_files,
)
from atlas_assets.models.special_tokens import Bos
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


def two_files(folder: Path, model_type: str, **more: object) -> Path:
    (folder / "tokenizer.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **more}))
    tiny.byte_tokenizer(end=None).model.save(str(folder))
    return folder


def test_vocabulary_and_merges_do_as_a_tokenizer(folder: Path) -> None:
    found = tokenizer_of(two_files(folder, "gpt2"))
    assert found.encode(TEXT) == tiny.byte_tokenizer().encode(TEXT).ids
    assert found.decode(found.encode(TEXT)) == TEXT


@pytest.mark.parametrize("model_type", ["gpt2", "qwen2"])
def test_two_files_are_used_as_transformers_uses_them(folder: Path, model_type: str) -> None:
    two_files(folder, model_type)
    (folder / "vocab.json").write_text(
        json.dumps({**json.loads((folder / "vocab.json").read_text()), "12": 256, "'ß": 257})
    )
    (folder / "merges.txt").write_text("#version: 0.2\n1 2\n")
    (folder / "added_tokens.json").write_text('{"<here>": 258}')
    known = AutoTokenizer.from_pretrained(folder)
    found = tokenizer_of(folder)
    for text in (TEXT, "x = 1212 <here>y", "e\u0301 é"):
        assert found.encode(text) == known(text, add_special_tokens=False).input_ids
    assert 258 in found.encode("<here>")
    # Qwen's pattern splits numbers into digits, GPT-2's does not
    assert (256 in found.encode("1212")) == (model_type == "gpt2")
    names = [path.name for path in tokenizer_files(folder)]
    assert names == ["vocab.json", "merges.txt", "added_tokens.json"]


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("added_tokens.json", {"<here>": 257, "": 3, END_OF_TEXT: 256}),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"257": {"content": "<here>"}, "256": END_OF_TEXT}},
        ),
        ("tokenizer_config.json", {"added_tokens_decoder": {"9": "<here>", "x": 3}}),
    ],
)
def test_texts_with_tokens_that_tokenizer_json_lacks_are_refused(
    folder: Path, file: str, named: Any
) -> None:
    (folder / file).write_text(json.dumps(named))
    found = tokenizer_of(folder)
    assert found.encode(TEXT + END_OF_TEXT)[-1] == 256
    for encode in (found.encode, lambda text: found.encode_all([text])):
        with pytest.raises(ModelError, match="<here>") as caught:
            encode("it is <here>")
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize("model_type", ["bert", "circuitgpt", "unheard_of"])
def test_two_files_that_transformers_cannot_use_are_refused(folder: Path, model_type: str) -> None:
    two_files(folder, model_type, **(tiny.OPTIONS if model_type == "circuitgpt" else {}))
    with pytest.raises(ModelError, match="tokenizer cannot be read") as caught:
        tokenizer_of(folder)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("end", [-1, 999, True, "7", None, []])
def test_what_is_no_id_of_the_tokenizer_does_not_pad(folder: Path, end: object) -> None:
    tiny.byte_tokenizer(end=None).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "x", "eos_token_id": end}))
    assert tokenizer_of(folder).pad_id is None
    (folder / "config.json").write_text(json.dumps({"model_type": "x", "eos_token_id": [7, 8]}))
    found = tokenizer_of(folder)
    assert found.pad_id == 7
    found.fit(7)
    assert found.pad_id is None


@pytest.mark.parametrize("named", ["</s>", {"content": "</s>", "lstrip": False}])
def test_without_end_of_text_the_end_of_sequence_pads(folder: Path, named: Any) -> None:
    tiny.byte_tokenizer(end="</s>").save(str(folder / "tokenizer.json"))
    assert tokenizer_of(folder).pad_id is None
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": named}))
    assert tokenizer_of(folder).pad_id == 256


def begun(folder: Path, bos: Bos, **told: object) -> tuple[int, ...]:
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return CheckpointTokenizer(folder, read_config(folder), bos).prefix


def test_prompts_begin_as_the_post_processor_says_or_as_asked(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama", "bos_token_id": 7}')
    assert [begun(folder, bos) for bos in ("auto", "never", "always")] == [(), (), (7,)]
    assert begun(folder, "always", bos_token="<|endoftext|>") == (256,)
    # beside a tokenizer.json, transformers looks at its post-processor alone
    assert begun(folder, "auto", add_bos_token=True) == ()
    tokenizer = tiny.byte_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A {END_OF_TEXT}", special_tokens=[(END_OF_TEXT, 256)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    found = [begun(folder, bos) for bos in ("auto", "never", "always")]
    assert found == [(256,), (), (256,)]
    assert begun(folder, "auto", add_bos_token=False) == (256,)
    assert CheckpointTokenizer(folder, read_config(folder)).encode("a") == [64]
    # of a tokenizer that needs code of its own, its files say
    code = {"auto_map": {"AutoTokenizer": ["own.Own", None]}}
    assert [begun(folder, "auto", add_bos_token=added, **code) for added in (True, False)] == [
        (256,),
        (),
    ]
    (folder / "config.json").write_text('{"model_type": "circuitgpt", "bos_token_id": 7}')
    assert [begun(folder, bos, add_bos_token=True) for bos in ("auto", "never")] == [(), ()]
    with pytest.raises(ModelError, match="no beginning-of-sequence token") as caught:
        begun(folder, "always")
    assert "ATLAS_BOS" in str(caught.value.remedy)


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
