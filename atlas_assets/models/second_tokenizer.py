"""The tokenizer that transformers makes of a checkpoint's folder, beside ``tokenizer.json``.

Several classes of transformers build a tokenizer anew from the vocabulary in ``tokenizer.json`` and
the keys of ``tokenizer_config.json``; what ``tokenizer.json`` says of splitting and normalising
then has no effect there.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tokenizers import Tokenizer as TokenizerFile

from atlas_assets.errors import ModelError, shortened

#: what decides which ids a text has
_PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "model")
#: keys of tokenizer_config.json that classes of transformers follow
_KEYS = (
    "tokenizer_class",
    "add_prefix_space",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "legacy",
    "split_special_tokens",
)
_SHOWN_IDS = 6
#: the class of transformers that does what tokenizer.json says
FOLLOWS = "PreTrainedTokenizerFast"


def made_by_transformers(folder: Path) -> Any | None:
    """Return the tokenizer that transformers makes of a folder, without code of its own.

    None where it makes none, or one that encodes nothing or is not of the tokenizers library.
    """
    from transformers import AutoTokenizer  # takes a second to import

    try:
        with _silent():
            known: Any = AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
            known("a")  # one of another kind than the file is of may encode nothing
    except Exception:  # transformers raises OSError, ValueError, ImportError and more
        return None
    if not isinstance(getattr(known, "backend_tokenizer", None), TokenizerFile):
        return None
    known.backend_tokenizer.no_padding()
    known.backend_tokenizer.no_truncation()
    return known


def _made_as_told(folder: Path) -> Any | None:
    """As `made_by_transformers`, with ``tokenizer_class`` set to the class that follows a file.

    It is tried in a folder of its own: some models' classes are chosen whatever the files say.
    """
    with TemporaryDirectory() as name:
        trial = Path(name)
        for file in ("config.json", "tokenizer.json"):
            if (folder / file).is_file():
                shutil.copyfile(folder / file, trial / file)
        told = folder / "tokenizer_config.json"
        keys = json.loads(told.read_text(encoding="utf-8")) if told.is_file() else {}
        keys["tokenizer_class"] = FOLLOWS
        (trial / told.name).write_text(json.dumps(keys), encoding="utf-8")
        return made_by_transformers(trial)


class SecondTokenizer:
    """What transformers' tokenizer says of the texts that ``tokenizer.json`` encodes.

    Args:
        first: the tokenizer of ``tokenizer.json``.
        known: transformers' tokenizer of the same folder.
        told: ``tokenizer_config.json``, for the message.
        folder: the folder, to try what the message says to do.
    """

    def __init__(
        self, first: TokenizerFile, known: Any, told: Mapping[str, Any], folder: Path
    ) -> None:
        second = known.backend_tokenizer
        ours, theirs = (json.loads(each.to_str()) for each in (first, second))
        self._parts = [part for part in _PARTS if ours[part] != theirs[part]]
        splits = first.encode_special_tokens != second.encode_special_tokens
        self._backend = second if self._parts or splits else None
        self._name = type(known).__name__
        self._folder = folder
        self._keys = [f"{key}={told[key]!r}"[:50] for key in _KEYS if key in told]

    def require_same(self, texts: Sequence[str], ids: Sequence[Sequence[int]]) -> None:
        """Raise ModelError where transformers gives a text other ids than ``ids``, one per text."""
        if self._backend is None:
            return
        try:
            found = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        except Exception as error:  # the library raises nothing more specific
            raise self._differs(texts[0], shortened(str(error), 60), ids[0]) from error
        for text, ours, theirs in zip(texts, ids, found, strict=True):
            if list(ours) != theirs.ids:
                pairs = enumerate(zip(ours, theirs.ids, strict=False))
                start = next((at for at, (one, other) in pairs if one != other), len(ours))
                raise self._differs(text, _some(theirs.ids, start), ours, start)

    def _differs(self, text: str, theirs: str, ours: Sequence[int], start: int = 0) -> ModelError:
        keys = ", ".join(self._keys) or "no key of it"
        return ModelError(
            "tokenizer.json and transformers' own tokenizer give a text different ids",
            where=f"the text {shortened(repr(text), 40)}; {', '.join(self._parts)} differ "
            f"(tokenizer_config.json: {shortened(keys, 110)})",
            expected=f"{theirs}, by transformers' {self._name}",
            found=f"{_some(ours, start)}, by tokenizer.json",
            remedy="for transformers' ids save AutoTokenizer's in a folder of the model; for "
            f"tokenizer.json's {self._to_follow(text, ours)}",
        )

    def _to_follow(self, text: str, ours: Sequence[int]) -> str:
        """What makes the ids of ``tokenizer.json`` those that are read."""
        with suppress(OSError):  # no room for a trial
            told = _made_as_told(self._folder)
            if told is not None and told.backend_tokenizer.encode(
                text, add_special_tokens=False
            ).ids == list(ours):
                return f"set tokenizer_class to {FOLLOWS} in tokenizer_config.json"
        return (
            f"give atlas_assets.read the model in memory with a {FOLLOWS} of that file "
            "(tokenizer_class changes nothing here)"
        )


def _some(ids: Sequence[int], start: int) -> str:
    """Some of the ids, from the first one that differs."""
    shown = ids[start : start + _SHOWN_IDS]
    before, more = "… " if start else "", " …" if len(ids) > start + _SHOWN_IDS else ""
    return f"ids {before}{' '.join(map(str, shown)) or '(no more)'}{more}"


@contextmanager
def _silent() -> Iterator[None]:
    """Hide what transformers says of a tokenizer for a while: the difference is looked at here."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
