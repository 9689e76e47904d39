"""What is no checkpoint in the Hub's format is named, with what to do, in a few lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from atlas_assets.errors import ModelError
from atlas_assets.models.loading import load, resolve
from atlas_assets_tests.models import tiny

#: what a folder holds → what is said of it, and what is to be done
REFUSED: dict[str, tuple[dict[str, str], str, str]] = {
    "adapter": ({"adapter_config.json": "{}"}, "an adapter (LoRA), and", "merge_and_unload"),
    "both": (
        {"adapter_config.json": "{}", "config.json": "{}"},
        "an adapter (LoRA) beside a model",
        "merge_and_unload",
    ),
    "authors": (
        {"beeg_config.json": "{}", "final_model.pt": ""},
        "as the authors of circuit-sparsity store it",
        "weights_only=True",
    ),
    "gguf": ({"model-q4.gguf": ""}, "a GGUF file", "gguf_file"),
    "nothing": ({}, "no config.json", "ATLAS_MODEL"),
    "encoder-decoder": ({"config.json": '{"model_type": "t5"}'}, "an encoder-decoder", "another"),
    "bart": ({"config.json": '{"model_type": "bart"}'}, "an encoder-decoder", "another"),
    "no text": ({"config.json": '{"model_type": "vit"}'}, "no causal language model", "another"),
    "quantised": (
        {
            "config.json": json.dumps(
                {"model_type": "llama", "quantization_config": {"quant_method": "gptq"}}
            )
        },
        "quantised model cannot be loaded",
        "install what is missing",
    ),
}


@pytest.mark.parametrize(("files", "said", "remedy"), REFUSED.values(), ids=REFUSED.keys())
def test_other_kinds_are_refused_in_words(
    tmp_path: Path, files: dict[str, str], said: str, remedy: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if "config.json" in files:
        save_file({"a": torch.zeros(2)}, tmp_path / "model.safetensors", {"format": "pt"})
        tiny.byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError) as caught:
        load(resolve(str(tmp_path), None))
    assert said in caught.value.what
    assert remedy in str(caught.value.remedy)
    assert len(str(caught.value)) < 600


def test_a_gguf_file_is_no_unknown_model() -> None:
    with pytest.raises(ModelError, match="GGUF"):
        resolve("models/some-Q4_K_M.gguf", None)


def test_the_authors_checkpoint_is_converted_as_the_page_says(tmp_path: Path) -> None:
    written = tiny.network()
    torch.save(tiny.tensors(written, prefix=False), tmp_path / "final_model.pt")
    (tmp_path / "beeg_config.json").write_text(json.dumps(tiny.OPTIONS))
    page = Path(__file__).parents[2] / "docs" / "families.md"
    (lines,) = (part for part in page.read_text().split("```") if part.startswith("python\n"))
    names: dict[str, Any] = {"folder": tmp_path}
    exec(lines.removeprefix("python\n").replace('Path("path/to/checkpoint")', "folder"), names)
    tiny.byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    ids = tiny.ids(1, 5)
    found = load(resolve(str(tmp_path), None)).network
    torch.testing.assert_close(found(ids).logits, written(ids).logits.detach())
