"""Files that users bring, as subjects of the fuzzer: checkpoints, own prompts, own circuits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.models import checkpoint_files as checkpoint
from atlas_assets.stages.circuits.own_circuits import read_own
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.prompts import own_prompts
from atlas_assets_tests.models import tiny
from reliability import mutations

Make = Callable[[Path], Path]
Read = Callable[[Path, bytes], Any]
_LIKE = Masks(("ast__For", "ast__If", "builtin__len"), np.zeros((3, 2, 5), np.bool_))
_CIRCUITS = {"concept": ["ast__If", "ast__For", "ast__If"], "layer": [1, 0, 0], "neuron": [4, 2, 0]}
_PROMPTS = {
    "prompt_text": ["select a from b join c", "select a from b", "select a, b", "select b"],
    "concept": ["JOIN", "JOIN", "LIST", "LIST"],
    "start": [16, 0, 7, 0],
    "end": [20, 6, 11, 6],
}


def brought() -> Mapping[str, tuple[int, mutations.Mutation, Make, Read]]:
    """Return what is tried: its share, how it is mutated, what writes it and what reads it."""
    text, spoken, columns = mutations.of_text, mutations.of_json, mutations.of_parquet
    return {
        "config of a model": (10000, spoken, make_model("config.json"), read_config),
        "index of a model": (10000, spoken, make_model(INDEX), read_index),
        "tokenizer": (2000, spoken, make_model(checkpoint.TOKENIZER), read_tokenizer),
        "tokenizer's config": (2000, spoken, make_model(NAMES), read_tokenizer),
        "own circuits": (3000, columns, _make_circuits, _read_circuits),
        "own prompts, parquet": (
            3000,
            columns,
            _make_prompts(".parquet"),
            _read_prompts(".parquet"),
        ),
        "own prompts, CSV": (3000, text, _make_prompts(".csv"), _read_prompts(".csv")),
        "own prompts, JSON lines": (3000, text, _make_prompts(".jsonl"), _read_prompts(".jsonl")),
    }


def _make_circuits(here: Path) -> Path:
    pl.DataFrame(_CIRCUITS).write_parquet(here / "own.parquet", metadata={"by": "a user"})
    return here / "own.parquet"


def _read_circuits(here: Path, data: bytes) -> Any:
    del data
    return read_own(str(here / "own.parquet"), _LIKE).digest()


def _make_prompts(ending: str) -> Make:
    def make(here: Path) -> Path:
        path, frame = here / f"own{ending}", pl.DataFrame(_PROMPTS)
        if ending == ".parquet":
            frame.write_parquet(path, metadata={"by": "a user"})
        elif ending == ".csv":
            frame.write_csv(path)
        else:
            frame.write_ndjson(path)
        return path

    return make


def _read_prompts(ending: str) -> Read:
    def read(here: Path, data: bytes) -> Any:
        del data
        return own_prompts.read(here / f"own{ending}").sha256

    return read


INDEX, NAMES = checkpoint.WEIGHTS_INDEX, "tokenizer_config.json"


def make_model(file: str) -> Make:
    """What writes a small checkpoint into a folder, and returns that file of it."""

    def make(here: Path) -> Path:
        tiny.write(here, weights={})
        if file == INDEX:
            (here / checkpoint.WEIGHTS).rename(here / "1.safetensors")
            index = {"metadata": {"total_size": 8}, "weight_map": {"a.b": "1.safetensors"}}
            (here / file).write_text(json.dumps(index))
        if file == NAMES:
            tiny.byte_tokenizer(end="</s>").save(str(here / checkpoint.TOKENIZER))
            told = {"eos_token": {"content": "</s>", "lstrip": False}, "model_max_length": 32}
            (here / file).write_text(json.dumps(told))
        return here / file

    return make


def read_config(here: Path, data: bytes) -> Any:
    """Read the configuration of a checkpoint."""
    del data
    from atlas_assets.models.circuitgpt_config import CircuitGPTConfig

    config = checkpoint.read_config(here)
    return CircuitGPTConfig.from_dict(config).to_json_string()


def read_index(here: Path, data: bytes) -> Any:
    """Read which files hold the weights of a checkpoint."""
    del data
    return checkpoint.weight_files(here)


def read_tokenizer(here: Path, data: bytes) -> Any:
    """Encode a text with the tokenizer of a checkpoint, and decode it."""
    del data
    tokenizer = checkpoint.CheckpointTokenizer(here, checkpoint.read_config(here))
    ids = tokenizer.encode("for i in range(3):\n    print(f'{i} is ü')\n")
    return ids, tokenizer.decode(ids), tokenizer.pad_id
