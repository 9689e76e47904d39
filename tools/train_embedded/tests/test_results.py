"""From sources to a checkpoint that loads, its record and its card."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from atlas_assets.models.loading import default_loss_threshold, load, resolve
from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from tools.corpus import digest, divide
from tools.train_embedded.__main__ import main
from tools.train_embedded.results import card, make
from tools.train_embedded.tests import samples


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    prompts = object_prompts.generate(load_stimuli(), variations=1)
    make(folder / "a", folder / "states_a", samples.recipe(), samples.material(), prompts)
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
    assert corpus["sha256"] == samples.material().manifest["sha256"]
    split = divide(samples.SOURCES, [], 4)
    assert corpus["library"]["sha256"] == digest(split.train["library"])
    held_out = {source.name: source.sha256 for source in split.held_out["library"]}
    assert corpus["library"]["held_out"] == held_out
    assert [each["package"] for each in corpus["held_out_packages"]] == ["click"]
    (other,) = corpus["packages"]
    assert (other["package"], other["licence"], other["files"]) == ("other", "MIT", 1)
    assert set(record["losses"]["held_out"]) == {"library", "packages", "prompts"}


def test_the_weights_of_steps_kept_are_checkpoints(made: Path) -> None:
    steps = sorted(path.name for path in (made.parent / "states_a").glob("step-*"))
    assert steps == ["step-000024"]
    kept = made.parent / "states_a" / steps[0]
    assert (kept / "model.safetensors").read_bytes() == (made / "model.safetensors").read_bytes()
    assert load(resolve(str(kept), None)).n_layers == 2


def test_the_record_tells_the_run(made: Path, record: dict[str, Any]) -> None:
    assert record["recipe"] == dataclasses.asdict(samples.recipe())
    assert record["run"]["steps"] == 24
    assert record["run"]["tokens"] == 24 * (8 * 15 + 4 * 31)
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
    losses = record["losses"]
    assert f"**{losses['held_out']['library']:.3f}** | {losses['trained']['library']:.3f}" in text
    assert f"a bigram model has {losses['bigram']['loss']:.3f}" in text
    assert record["sha256"]["model.safetensors"] in text
    assert record["corpus"]["sha256"] in text


def test_twice_the_same_checkpoint(made: Path, tmp_path: Path) -> None:
    prompts = object_prompts.generate(load_stimuli(), variations=1)
    make(tmp_path / "b", tmp_path / "states", samples.recipe(), samples.material(), prompts)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "b" / name).read_bytes() == (made / name).read_bytes(), name


def test_the_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "--states" in capsys.readouterr().out
