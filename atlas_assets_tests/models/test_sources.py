"""Checkpoints in folders; those on the Hub are in ``atlas_assets_tests/hub/test_model.py``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from atlas_assets.errors import ModelError
from atlas_assets.models.loading import default_loss_threshold, identify, load, resolve
from atlas_assets.models.sources import ModelSource
from atlas_assets_tests.models import tiny


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


def test_the_digest_of_shards_is_that_of_their_concatenation(tmp_path: Path) -> None:
    tiny.network().save_pretrained(tmp_path, max_shard_size="20KB")
    tiny.byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1
    expected = hashlib.sha256(b"".join(path.read_bytes() for path in shards)).hexdigest()
    assert identify(resolve(str(tmp_path), None)).weights_sha256 == expected


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
