"""From sources to a checkpoint that loads, its record and its card."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atlas_assets.models.loading import default_loss_threshold, load, resolve
from tools.train_embedded.__main__ import make
from tools.train_embedded.card import card
from tools.train_embedded.corpus import manifest_digest
from tools.train_embedded.data import split
from tools.train_embedded.tests import samples


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder / "a", folder / "states_a", samples.recipe(), samples.SOURCES, variations=1)
    return folder / "a"


@pytest.fixture(scope="module")
def record(made: Path) -> dict[str, Any]:
    text: dict[str, Any] = json.loads((made / "training.json").read_text())
    return text


def test_the_folder_is_a_checkpoint_that_loads(made: Path, record: dict[str, Any]) -> None:
    model = load(resolve(str(made), None))
    assert (model.n_layers, model.width) == (2, 16)
    assert model.tokenizer.pad_id == samples.VOCABULARY - 1
    threshold = default_loss_threshold(resolve(str(made), None))
    assert threshold == record["object_prompts"]["threshold"]
    assert threshold > record["object_prompts"]["highest_pair"]
    assert sorted(path.name for path in made.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training.json",
    ]


def test_the_record_tells_the_corpus(record: dict[str, Any]) -> None:
    corpus = record["corpus"]
    assert corpus["sha256"] == manifest_digest(samples.SOURCES)
    assert corpus["files"] == {source.name: source.sha256 for source in samples.SOURCES}
    _, held_out = split(samples.SOURCES, 4)
    assert corpus["held_out"] == sorted(source.name for source in held_out)
    assert corpus["train_files"] + corpus["held_out_files"] == len(samples.SOURCES)


def test_the_record_tells_the_run(made: Path, record: dict[str, Any]) -> None:
    assert record["recipe"] == samples.recipe().as_json()
    assert record["run"]["steps"] == 24
    assert record["run"]["tokens"] == 24 * 256
    assert record["run"]["cpu_seconds"] > 0
    assert record["sha256"] == {
        name: hashlib.sha256((made / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", "tokenizer.json")
    }
    assert record["object_prompts"]["prompts"] == 1297
    tensors = load(resolve(str(made), None)).network.state_dict().values()
    matrices = [tensor for tensor in tensors if tensor.ndim == 2]
    assert record["matrices"]["all"] == {
        "entries": sum(matrix.numel() for matrix in matrices),
        "nonzero": sum(int(matrix.count_nonzero()) for matrix in matrices),
    }
    assert record["matrices"]["attn.c_attn"]["entries"] == 2 * 36 * 20


def test_the_card_says_what_the_record_says(made: Path, record: dict[str, Any]) -> None:
    text = (made / "README.md").read_text()
    assert text == card(record)
    held_out = record["held_out"]
    assert f"**{held_out['loss']:.3f}**" in text
    assert f"| a bigram model on the same tokens | {held_out['bigram']['loss']:.3f} |" in text
    assert record["sha256"]["model.safetensors"] in text
    assert record["corpus"]["sha256"] in text


def test_twice_the_same_checkpoint(made: Path, tmp_path: Path) -> None:
    make(tmp_path / "b", tmp_path / "states", samples.recipe(), samples.SOURCES, variations=1)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "b" / name).read_bytes() == (made / name).read_bytes(), name


def test_the_command_explains_itself() -> None:
    command = [sys.executable, "-m", "tools.train_embedded", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--states" in done.stdout
