from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
)

from atlas_assets.errors import ModelError, SettingsError
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.models.loading import default_loss_threshold, identify, load, resolve
from atlas_assets.models.sources import ModelSource
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.models import tiny

TEXT = "for i in range(3):\n    print(f'{i} is ü')\n"
SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "vocab_size": 300}


def standard(folder: Path, model: Any) -> Path:
    """A standard architecture's checkpoint with a tokenizer of bytes."""
    model.save_pretrained(folder)
    tiny.byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


def loaded(folder: Path, **options: Any) -> LoadedModel:
    return load(resolve(str(folder), None), **options)


def refused(folder: Path, **options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        loaded(folder, **options)
    return caught.value


def test_circuitgpt(tmp_path: Path) -> None:
    written = tiny.network()
    model = loaded(tiny.write(tmp_path / "small", weights=tiny.tensors(written)))
    assert (model.n_layers, model.width, model.max_positions) == (2, 16, 32)
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.identity.model_id == "small"
    assert not model.network.training
    assert not any(p.requires_grad for p in model.network.parameters())
    ids = tiny.ids(1, 5)
    found, expected = tiny.readouts(model.network, ids), tiny.readouts(written, ids)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def neox() -> Any:
    return GPTNeoXForCausalLM(GPTNeoXConfig(**SIZES, intermediate_size=20))


@pytest.mark.parametrize(
    ("model", "positions"),
    [(tiny_models.gpt2().network, 96), (tiny_models.llama().network, 96), (neox(), 2048)],
    ids=["gpt2", "llama", "gpt_neox"],
)
def test_any_causal_lm(tmp_path: Path, model: Any, positions: int) -> None:
    found = loaded(standard(tmp_path, model))
    assert (found.n_layers, found.width, found.max_positions) == (3, 16, positions)
    assert found.tokenizer.decode(found.tokenizer.encode(TEXT)) == TEXT
    ids = torch.tensor([found.tokenizer.encode(TEXT[:30])])
    seen: list[torch.Tensor] = []
    hooks = [
        mlp.register_forward_hook(lambda _m, _i, out: seen.append(out)) for mlp in found.points
    ]
    with torch.inference_mode():
        logits = found.network(input_ids=ids).logits
        torch.testing.assert_close(logits, model.eval()(ids).logits)
    assert [tuple(out.shape) for out in seen] == [(1, ids.shape[1], 16)] * len(hooks)


def test_device_and_dtype(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    model = loaded(folder, device="auto", dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert model.network.dtype == torch.bfloat16
    assert model.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    for setting, bad in (("dtype", "int8"), ("device", "abacus"), ("device", "cuda:99")):
        with pytest.raises(SettingsError, match=bad):
            loaded(folder, **{setting: bad})


def test_a_tokenizer_of_another_model_and_truncated_weights(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    assert "cut off" in refused(folder).what
    tiny.write(tmp_path)
    tokenizer = tiny.byte_tokenizer()
    tokenizer.add_tokens(["another"])
    tokenizer.save(str(folder / "tokenizer.json"))
    encoder = loaded(folder).tokenizer
    assert encoder.encode(TEXT) == tiny.byte_tokenizer().encode(TEXT).ids
    with pytest.raises(ModelError, match="does not belong to the model") as caught:
        encoder.encode_all([TEXT, f"{TEXT}another"])
    assert "257" in str(caught.value.expected)


def test_shards_load(tmp_path: Path) -> None:
    written = tiny.network()
    written.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny.byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    ids = tiny.ids(1, 5)
    with torch.no_grad():
        assert torch.equal(loaded(tmp_path).network(ids).logits, written(ids).logits)
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1
    expected = hashlib.sha256(b"".join(path.read_bytes() for path in shards)).hexdigest()
    assert identify(resolve(str(tmp_path), None)).weights_sha256 == expected


def test_what_does_not_fit_another_model_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = standard(tmp_path, tiny_models.llama().network)
    weights = load_file(folder / "model.safetensors")

    def rewrite(changed: dict[str, torch.Tensor]) -> None:
        save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})

    name = "model.layers.1.mlp.up_proj.weight"
    rewrite({key: value for key, value in weights.items() if key != name})
    assert name in str(refused(folder).found)
    rewrite({**weights, name: torch.zeros(2, 2)})
    assert name in refused(folder).what
    with caplog.at_level(logging.WARNING):
        rewrite({**weights, "another.head": torch.zeros(2)})
    assert loaded(folder).n_layers == 3  # of no use to the model, and transformers reports it


@pytest.mark.parametrize("known", [True, False])
def test_remote_code_is_never_run(tmp_path: Path, known: bool) -> None:
    options = {
        "model_type": "circuitgpt" if known else "unheard_of",
        "auto_map": {"AutoConfig": "remote.Config", "AutoModelForCausalLM": "remote.Model"},
    }
    folder = tiny.write(tmp_path, {**tiny.OPTIONS, **options})
    (folder / "remote.py").write_text("raise SystemExit('this must never run')\n")
    if known:
        assert loaded(folder).n_layers == 2
        return
    error = refused(folder)
    assert "unheard_of" in str(error.found)
    assert "remote code" in str(error.remedy)


def test_a_folder_is_known_by_its_name_and_digests(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "my-model")
    source = resolve(str(folder), None)
    assert source == ModelSource("my-model", folder)
    identity = identify(source)
    assert (identity.model_id, identity.revision) == ("my-model", None)
    for found, name in (
        (identity.weights_sha256, "model.safetensors"),
        (identity.tokenizer_sha256, "tokenizer.json"),
    ):
        assert found == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    assert load(source).identity == identity
    weights = folder / "model.safetensors"
    about = weights.stat()
    time.sleep(0.05)  # the clock of a disk is coarse
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    os.utime(weights, ns=(about.st_atime_ns, about.st_mtime_ns))  # as a copy that keeps times
    assert identify(source).weights_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_a_folder_has_no_revision(tmp_path: Path) -> None:
    for model in (str(tmp_path), "embedded"):
        with pytest.raises(ModelError, match="revision 'v1'"):
            resolve(model, "v1")


def test_the_loss_threshold_is_read_without_the_network(tmp_path: Path) -> None:
    config = tmp_path / "config.json"

    def threshold(**named: object) -> float | None:
        config.write_text(json.dumps({"model_type": "llama", **named}))
        return default_loss_threshold(resolve(str(tmp_path), None))

    assert threshold() is None
    assert threshold(loss_threshold=7) == 7.0
    for unsound in (0, -1, "high", True):
        with pytest.raises(ModelError, match="loss_threshold") as caught:
            threshold(loss_threshold=unsound)
        assert caught.value.found == repr(unsound)


@pytest.mark.parametrize("model", ["./nowhere", "/nowhere/at/all", "a/b/c", "~/nowhere", "a b"])
def test_what_is_neither_a_folder_nor_a_hub_id(model: str) -> None:
    with pytest.raises(ModelError, match="there is no such model") as caught:
        resolve(model, None)
    assert caught.value.where == model
