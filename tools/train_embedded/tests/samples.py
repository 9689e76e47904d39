"""A tiny corpus and recipe that train in a second or two."""

from __future__ import annotations

from typing import Any

import polars as pl
from tokenizers import Tokenizer

from tools.corpus import Source, divide
from tools.train_embedded.material import Material, TokenStream, gather, token_stream, train_bpe
from tools.train_embedded.recipe import Recipe, embedded_recipe

VOCABULARY = 300
SOURCES = [
    Source(
        f"module_{n}.py",
        f"def work_{n}(values):\n"
        + "".join(f"    total_{k} = sum(values[{k}:])\n" for k in range(n % 5 + 1))
        + "    for value in values:\n        print(value)\n    return len(values)\n",
    )
    for n in range(60)
]
SIZES = {"vocab_size": VOCABULARY, "n_layer": 2, "n_head": 2, "d_head": 6, "d_model": 16}


def recipe(**changes: Any) -> Recipe:
    usual: dict[str, Any] = {
        "options": {**embedded_recipe().options, **SIZES, "d_mlp": 24, "d_pos_emb": 4},
        "steps": 24,
        "warmup_steps": 4,
        "density": 0.25,
        "dense_steps": 4,
        "annealed_step": 12,
        "row_floor": 1,
        "windows": [16, 32],
        "part_tokens": 128,
        "held_out_one_in": 4,
        "evaluate_every": 6,
        "checkpoints": 2,
    }
    return embedded_recipe(**{**usual, **changes})


def package(name: str) -> list[Source]:
    """A package whose long lines are its own."""
    text = "".join(f"{name}_{n} = transform_of_{name}({n}, {n + 1})\n" for n in range(40))
    return [Source(f"{name}/{file}.py", text, (name, "1.0", "MIT")) for file in ("a", "copy")]


def prompts() -> pl.DataFrame:
    rows = [
        {"ast_node": "For", "builtin_obj": "len", "variation_id": n, "prompt_text": f"x = len({n})"}
        for n in range(100)
    ]
    return pl.DataFrame(rows)


def material() -> Material:
    packages = [*package("click"), *package("other")]
    return gather(recipe(), divide(SOURCES, packages, 4), prompts())


def tokenizer() -> Tokenizer:
    return train_bpe((source.text for source in SOURCES), VOCABULARY)


def stream() -> TokenStream:
    return token_stream(tokenizer(), [source.text for source in SOURCES])
