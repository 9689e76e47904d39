"""What the two files of a tokenizer say differently: read as transformers does, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as TokenizerFile
from tokenizers import models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from atlas_assets.errors import ModelError
from atlas_assets.models.checkpoint_files import END_OF_TEXT, CheckpointTokenizer, read_config
from atlas_assets_tests.models import tiny

TEXTS = (
    "for i in range(10):",
    " x",
    "É e\u0301 \u212b",
    f"a{END_OF_TEXT}b",
    "it's 12 345 \n\n  y",
    "",
)
#: model_type of config.json
TYPES = ("gpt2", "qwen2", "gpt_neox", "llama", "codegen", "unheard_of")
#: keys of tokenizer_config.json
TOLD: tuple[dict[str, Any], ...] = (
    {},
    {"add_prefix_space": True},
    {"add_prefix_space": False},
    {"do_lower_case": True, "clean_up_tokenization_spaces": True},
    {"legacy": True},
    {"split_special_tokens": True},
    {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True},
    {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True},
    {"tokenizer_class": "Unheard"},
    {"add_bos_token": True, "bos_token": END_OF_TEXT},
    {"add_bos_token": False, "bos_token": END_OF_TEXT},
    {"add_eos_token": False, "bos_token": END_OF_TEXT},
    {"auto_map": {"AutoTokenizer": ["own.Own", None]}},
)


def folder_of(folder: Path, model_type: str, told: dict[str, Any], **parts: Any) -> Path:
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    tokenizer = tiny.byte_tokenizer()
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("told", TOLD, ids=lambda told: "-".join(map(str, told)) or "none")
@pytest.mark.parametrize("lowered", [False, True], ids=["as it is", "lowered"])
def test_ids_are_those_of_transformers_or_refused(
    tmp_path: Path, model_type: str, told: dict[str, Any], lowered: bool
) -> None:
    parts: dict[str, Any] = {
        "post_processor": processors.TemplateProcessing(
            single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 256)]
        )
    }
    if lowered:
        parts["normalizer"] = normalizers.Lowercase()
    folder = folder_of(tmp_path, model_type, told, **parts)
    found = CheckpointTokenizer(folder, read_config(folder))
    written = TokenizerFile.from_file(str(folder / "tokenizer.json"))
    try:
        known = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except ValueError:  # code that is not run: tokenizer.json is all there is
        assert "auto_map" in told
        for text in TEXTS:
            assert found.encode(text) == written.encode(text, add_special_tokens=False).ids
        return
    assert [*found.prefix, *known("a", add_special_tokens=False).input_ids] == known("a").input_ids
    for text in TEXTS:
        wanted = known(text, add_special_tokens=False).input_ids
        if written.encode(text, add_special_tokens=False).ids == wanted:
            assert found.encode(text) == wanted
            continue
        with pytest.raises(ModelError, match="different ids") as caught:
            found.encode(text)
        assert len(str(caught.value)) < 600


def test_a_difference_is_named_with_its_cause_and_remedy(tmp_path: Path) -> None:
    told = {"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True}
    folder = folder_of(tmp_path, "gpt2", told)
    with pytest.raises(ModelError, match="different ids") as caught:
        CheckpointTokenizer(folder, read_config(folder)).encode("x" * 9_000)
    for named in ("add_prefix_space=True", "pre_tokenizer", "GPT2Tokenizer", "tokenizer.json"):
        assert named in str(caught.value)
    assert len(str(caught.value)) < 600
    # what the message says to do is done, either way
    folder_of(tmp_path, "gpt2", {**told, "tokenizer_class": "PreTrainedTokenizerFast"})
    assert CheckpointTokenizer(folder, read_config(folder)).encode("x") == [87]
    folder_of(tmp_path, "gpt2", told)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)
    assert CheckpointTokenizer(folder, read_config(folder)).encode("x") == [220, 87]


@pytest.mark.parametrize("told", [None, {"tokenizer_class": "PreTrainedTokenizerFast"}])
@pytest.mark.parametrize("kind", [models.BPE, models.WordLevel])
def test_a_vocabulary_without_letters_begins_prompts_as_transformers_does(
    tmp_path: Path, told: dict[str, Any] | None, kind: Any
) -> None:
    """Neither can encode an ``a``: the one drops it, the other fails."""
    ids = {"<s>": 0, **{digit: 1 + number for number, digit in enumerate("0123456789+")}}
    tokenizer = TokenizerFile(kind(ids, []) if kind is models.BPE else kind(ids))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    if told is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({**told, "bos_token": "<s>"}))
    found = CheckpointTokenizer(tmp_path, read_config(tmp_path))
    assert (
        [*found.prefix, *found.encode("12+3")] == tokenizer.encode("12+3").ids == [0, 2, 3, 11, 4]
    )
    if kind is models.WordLevel:
        with pytest.raises(ModelError, match="cannot encode a text"):
            found.encode("1-2")


def test_ids_are_shown_from_the_first_that_differs(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "qwen2", {"tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(ModelError, match="different ids") as caught:
        CheckpointTokenizer(folder, read_config(folder)).encode("abcdefgh e\u0301")
    assert "ids … 68 136 223, by tokenizer.json" in str(caught.value)  # an e and its accent
    assert "set tokenizer_class" not in str(caught.value)  # it is set, and this class ignores it


@pytest.mark.parametrize("model_type", ["gpt2", "qwen2", "qwen3", "qwen3_5", "gpt_neox", "gemma2"])
def test_what_a_refusal_says_to_do_is_followed_by_transformers(
    tmp_path: Path, model_type: str
) -> None:
    """The class of Qwen 2 is taken whatever tokenizer_class says; a tokenizer in memory is not."""
    text = "For E\u0301 x"
    folder = folder_of(tmp_path, model_type, {}, normalizer=normalizers.Lowercase())
    tokenizer = CheckpointTokenizer(folder, read_config(folder))
    with pytest.raises(ModelError, match="different ids") as caught:
        tokenizer.encode(text)
    assert len(str(caught.value)) < 600
    wanted = TokenizerFile.from_file(str(folder / "tokenizer.json")).encode(text).ids
    if "set tokenizer_class to PreTrainedTokenizerFast in" in caught.value.remedy:
        folder_of(
            tmp_path,
            model_type,
            {"tokenizer_class": "PreTrainedTokenizerFast"},
            normalizer=normalizers.Lowercase(),
        )
        assert CheckpointTokenizer(folder, read_config(folder)).encode(text) == wanted
        return
    assert model_type in ("qwen2", "qwen3_5")
    assert "atlas_assets.read the model in memory" in caught.value.remedy
    held = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    assert held(text, add_special_tokens=False).input_ids == wanted


def test_texts_of_which_both_say_the_same_are_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "qwen2", {})  # Qwen2Tokenizer composes characters
    found = CheckpointTokenizer(folder, read_config(folder))
    assert len(found.encode("\u00e9")) == 2
    with pytest.raises(ModelError, match="normalizer"):
        found.encode("e\u0301")
