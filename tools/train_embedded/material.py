"""Everything a model is trained and judged on, as tokens, with the manifest that the record has."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from tokenizers import Tokenizer

from tools.train_embedded.bpe import train_bpe
from tools.train_embedded.corpus import (
    HELD_OUT_PACKAGES,
    Package,
    Source,
    is_table,
    manifest_digest,
    without_copies,
)
from tools.train_embedded.data import TokenStream, discovers, split, token_stream
from tools.train_embedded.recipe import Recipe

#: the streams trained on, and those held out
LIBRARY, PACKAGES, PROMPTS = "library", "packages", "prompts"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Material:
    """Tokens to train on and to judge by.

    Attributes:
        tokenizer: trained on the standard library, held-out files included.
        train: per stream of the recipe's shares.
        held_out: files of the standard library, whole packages, and the prompts of the domains that
            test, by the same names.
        manifest: what they are from, as plain data.
    """

    tokenizer: Tokenizer
    train: Mapping[str, TokenStream]
    held_out: Mapping[str, TokenStream]
    manifest: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()


def gather(
    recipe: Recipe, library: Sequence[Source], packages: Sequence[Package], prompts: pl.DataFrame
) -> Material:
    """Split, deduplicate and encode the corpus.

    Args:
        recipe: how many files are held out, and the size of the vocabulary.
        library: the standard library's files.
        packages: all that may be trained on; `HELD_OUT_PACKAGES` among them are held out.
        prompts: object prompts, columns ``domain`` and ``prompt_text``; those of domains that
            discover are trained on, those of domains that test are held out.
    """
    learnt, held_out = split(library, recipe.held_out_one_in)
    whole = [_without_tables(each) for each in packages]
    apart = [each for each in whole if each.name in HELD_OUT_PACKAGES]
    first = [*held_out, *(source for each in apart for source in each.sources), *learnt]
    trained = without_copies((each for each in whole if each not in apart), first)
    tokenizer = train_bpe((source.text for source in library), recipe.options["vocab_size"])
    texts: dict[str, dict[str, list[str]]] = {
        "train": {
            LIBRARY: [source.text for source in learnt],
            PACKAGES: [source.text for each in trained for source in each.sources],
            PROMPTS: prompts.filter(discovers())["prompt_text"].to_list(),
        },
        "held_out": {
            LIBRARY: [source.text for source in held_out],
            PACKAGES: [source.text for each in apart for source in each.sources],
            PROMPTS: prompts.filter(~discovers())["prompt_text"].to_list(),
        },
    }
    streams = {
        side: {
            name: token_stream(tokenizer, those, whole=name == PROMPTS)
            for name, those in parts.items()
        }
        for side, parts in texts.items()
    }
    tokens = {
        side: {name: len(stream.ids) for name, stream in parts.items()}
        for side, parts in streams.items()
    }
    _log.info("tokens: %s", tokens)
    manifest = {
        "tokens": tokens,
        "library": {
            "python": platform.python_version(),
            "files": len(learnt),
            "sha256": manifest_digest(learnt),
            "held_out": {source.name: source.sha256 for source in held_out},
        },
        "packages": [each.as_json() for each in trained],
        "held_out_packages": [each.as_json() for each in apart],
        "prompts": {"sha256": _digest(texts["train"][PROMPTS] + texts["held_out"][PROMPTS])},
    }
    return Material(tokenizer, streams["train"], streams["held_out"], manifest)


def _without_tables(package: Package) -> Package:
    sources = [source for source in package.sources if not is_table(source)]
    return Package(package.name, package.version, package.licence, sources)


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
