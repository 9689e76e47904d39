"""The files of a checkpoint's folder: their digests, its tokenizer, and whether they fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Encoding
from tokenizers import Tokenizer as TokenizerFile

from atlas_assets.errors import (
    HEAD,
    ModelError,
    expect,
    require_downloaded,
    require_regular,
    shortened,
)
from atlas_assets.models.kinds import require_readable_kind
from atlas_assets.models.second_tokenizer import SecondTokenizer, made_by_transformers
from atlas_assets.models.special_tokens import Bos, prefix_of

END_OF_TEXT = "<|endoftext|>"

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
VOCABULARY = ("vocab.json", "merges.txt")
#: what else decides how a tokenizer in two files splits a text, where it is there
BESIDE_VOCABULARY = ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json")

_BLOCK_BYTES = 1 << 20


def read_config(folder: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a checkpoint's folder.

    Raises ModelError where it is missing, is not JSON or names no model type, or a file of the
    folder is a pipe or a device.
    """
    path = folder / "config.json"
    for file in folder.iterdir():
        require_regular(file, ModelError)
    require_readable_kind([file.name for file in folder.iterdir()], str(folder))
    config = _read_json(path)
    expect(
        isinstance(config.get("model_type"), str),
        ModelError,
        "the model's config.json names no model type",
        where=str(path),
        expected="a model_type, as circuitgpt or gpt2",
        found=f"model_type {config.get('model_type')!r}",
        remedy="complete config.json from the checkpoint's source",
    )
    return config


def weight_files(folder: Path) -> list[Path]:
    """List the safetensors files that hold a checkpoint's weights, sorted by name.

    Raises ModelError where there are none (pickled weights are not read), or a shard is missing.
    """
    if (folder / WEIGHTS).is_file():
        return _downloaded([folder / WEIGHTS])
    pickled = ", ".join(sorted(path.name for path in folder.glob("*.bin")))
    expect(
        (folder / WEIGHTS_INDEX).is_file(),
        ModelError,
        "the model's folder has no safetensors weights"
        + ("; pickled weights are not read" if pickled else ""),
        where=str(folder),
        expected=f"{WEIGHTS}, or {WEIGHTS_INDEX} and its shards",
        found=pickled or _listing(folder),
        remedy="convert them with transformers' save_pretrained, or choose another model",
    )
    index = _read_json(folder / WEIGHTS_INDEX)
    shards = index.get("weight_map")
    names = sorted(set(map(str, shards.values()))) if isinstance(shards, dict) else []
    files = [folder / Path(name).name for name in names]
    missing = [name for name, file in zip(names, files, strict=True) if not _is_file(file)]
    expect(
        bool(names) and not missing,
        ModelError,
        "the model's weights are incomplete",
        where=str(folder / WEIGHTS_INDEX),
        expected="every shard that the index names",
        found=f"no {listed(missing) or 'name'}" if missing else "an index of no shards",
        remedy="download the model again",
    )
    return _downloaded(files)


def tokenizer_files(folder: Path) -> list[Path]:
    """List a checkpoint's tokenizer files: ``tokenizer.json``, else vocabulary and merges.

    With the latter go the files that say how they are used.

    Raises ModelError where neither is there.
    """
    for names in ((TOKENIZER,), VOCABULARY):
        files = [folder / name for name in names]
        if all(path.is_file() for path in files):
            beside = [folder / name for name in BESIDE_VOCABULARY] if len(files) > 1 else []
            return _downloaded(files + [path for path in beside if path.is_file()])
    raise ModelError(
        "the model's folder has no tokenizer",
        where=str(folder),
        expected=f"{TOKENIZER}, or {' and '.join(VOCABULARY)}",
        found=_listing(folder),
        remedy="put the model's tokenizer beside its weights",
    )


def _downloaded(files: list[Path]) -> list[Path]:
    """The files, none of which is a pointer of git-lfs."""
    for path in files:
        with path.open("rb") as file:
            require_downloaded(file.read(HEAD), path, ModelError)
    return files


def digest(files: list[Path]) -> str:
    """Return the SHA-256 over the bytes of all files, in the order given."""
    return _digest(tuple(map(_stamp, files)))


def _stamp(path: Path) -> tuple[str, int, int, int, int]:
    """What shows that a file is another; a copy may keep when it was written, not its change."""
    about = path.stat()
    return str(path), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


@lru_cache(maxsize=16)
def _digest(stamps: tuple[tuple[str, int, int, int, int], ...]) -> str:
    """Hashing gigabytes takes seconds, so a file is hashed again only when it has changed."""
    total = hashlib.sha256()
    for name, *_ in stamps:
        with Path(name).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                total.update(block)
    return total.hexdigest()


class CheckpointTokenizer:
    """The tokenizer of a checkpoint's folder, exactly as its files say, no special tokens added.

    Args:
        folder: the checkpoint.
        config: its ``config.json``, for the ids of special tokens.
        bos: whether prompts begin with a beginning-of-sequence token; see `prefix`.

    Attributes:
        prefix: the ids that come before those of every prompt.
        pad_id: the id of the token to pad with, or None where none is named.

    Raises:
        ModelError: no tokenizer, or an unreadable one; from the methods that encode: the text has
            an id that the model has no embedding of, or other ids by transformers' own tokenizer.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], bos: Bos = "auto") -> None:
        files = tokenizer_files(folder)
        try:
            self._tokenizer = _read_tokenizer(folder, files)
        except Exception as error:  # neither library raises anything more specific
            raise ModelError(
                "the model's tokenizer cannot be read",
                where=", ".join(map(str, files[:2])),
                expected="a file of the tokenizers library, or two that transformers can read",
                found=shortened(str(error)),
                remedy="put the model's tokenizer.json beside its weights, or fetch it again",
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        told = _told_of_tokenizer(folder)
        self.vocab_size: int = self._tokenizer.get_vocab_size(with_added_tokens=True)
        self.largest_id: int = max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        self._lacking = _lacking(self._tokenizer, folder, told)
        self._n_embedded: int | None = None
        self.pad_id: int | None = self._find_pad_id(told, config)
        known = made_by_transformers(folder)
        self._second = (
            None if known is None else SecondTokenizer(self._tokenizer, known, told, folder)
        )
        self.prefix: tuple[int, ...] = prefix_of(
            self._tokenizer, bos, config=config, told=told, where=str(folder), known=known
        )

    def encode(self, text: str, /) -> list[int]:
        """Return the token ids of ``text``, without special tokens."""
        return self.encode_all([text])[0]

    def encode_all(self, texts: Sequence[str], /) -> list[list[int]]:
        """Return the token ids of every text, encoded on all cores at once."""
        return [ids for ids, _ in self._encoded(texts)]

    def encode_with_spans(
        self, texts: Sequence[str], /
    ) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Return ids as `encode_all` does, and the characters of each token, first to one past."""
        return [(ids, list(encoding.offsets)) for ids, encoding in self._encoded(texts)]

    def _encoded(self, texts: Sequence[str]) -> list[tuple[list[int], Encoding]]:
        try:
            # encode_batch_fast, which gives no spans, took a quarter longer on the object prompts
            found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        except Exception as error:  # the library raises nothing more specific
            raise ModelError(
                "the model's tokenizer cannot encode a text",
                where=f"one of {len(texts)} texts, the first is {shortened(repr(texts[0]), 60)}",
                expected="texts of what its vocabulary has, where it has no token for the unknown",
                found=shortened(str(error)),
                remedy="take such texts out of the prompts, or choose another model",
            ) from error
        ids = [self._embedded(text, each.ids) for text, each in zip(texts, found, strict=True)]
        if self._second is not None:
            self._second.require_same(texts, ids)
        return list(zip(ids, found, strict=True))

    def fit(self, n_embedded: int) -> None:
        """Refuse, from now on, texts with ids from ``n_embedded`` on, and pad with none of them."""
        self._n_embedded = n_embedded
        if self.pad_id is not None and self.pad_id >= n_embedded:
            self.pad_id = None

    def decode(self, ids: list[int], /) -> str:
        """Return the text that ``ids`` spell, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _embedded(self, text: str, ids: Sequence[int]) -> list[int]:
        for token in self._lacking:
            if token in text:
                raise ModelError(
                    "the model's tokenizer files contradict each other",
                    where=f"the text {shortened(repr(text), 60)}",
                    expected=f"text without {token!r:.60}, of which the files say different ids",
                    found=repr(token)[:60],
                    remedy="save the tokenizer anew with transformers' save_pretrained, or leave "
                    "the token out of the prompts",
                )
        if self._n_embedded is not None and ids and max(ids) >= self._n_embedded:
            raise ModelError(
                "the tokenizer does not belong to the model",
                where=f"the text {shortened(repr(text), 60)}",
                expected=f"token ids below {self._n_embedded}, the rows of the embedding",
                found=f"the id {max(ids)}, {self._tokenizer.id_to_token(max(ids))!r:.60}",
                remedy="put the model's own tokenizer beside its weights",
            )
        return list(ids)

    def _find_pad_id(self, told: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
        end = told.get("eos_token")
        for token in (END_OF_TEXT, end.get("content") if isinstance(end, dict) else end):
            found = self._tokenizer.token_to_id(token) if isinstance(token, str) else None
            if found is not None:
                return int(found)
        ends = config.get("eos_token_id")
        first: Any = ends[0] if isinstance(ends, list) and ends else ends
        is_number = isinstance(first, int) and not isinstance(first, bool)
        return int(first) if is_number and first in range(self.largest_id + 1) else None


def _told_of_tokenizer(folder: Path) -> dict[str, Any]:
    """What ``tokenizer_config.json`` says, and what ``special_tokens_map.json`` adds to it."""
    told: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        told |= _read_json(folder / name) if (folder / name).is_file() else {}
    return told


def _lacking(tokenizer: TokenizerFile, folder: Path, told: Mapping[str, Any]) -> list[str]:
    """The added tokens that other files name and the tokenizer does not know by the same id."""
    beside, added = folder / "added_tokens.json", told.get("added_tokens_decoder")
    named = _read_json(beside) if beside.is_file() else {}
    for number, token in (added if isinstance(added, dict) else {}).items():
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            named[text] = number
    return [
        token
        for token, number in named.items()
        if token and str(tokenizer.token_to_id(token)) != str(number)
    ]


def check_loaded(info: Mapping[str, Any], *, where: str, extra_allowed: bool = False) -> None:
    """Refuse a checkpoint that does not fit its model, with a ModelError that names the tensors.

    Args:
        info: ``missing_keys``, ``unexpected_keys``, ``mismatched_keys`` (name, shape in the file,
            shape in the model) and ``error_msgs``, as ``from_pretrained`` gives them.
        where: the checkpoint.
        extra_allowed: whether tensors that the model has no use for may be there.
    """
    missing, extra = sorted(info["missing_keys"]), sorted(info["unexpected_keys"])
    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        (name, found, wanted), *others = mismatched
        names = listed([name for name, *_ in others])
        more = f" (and {len(others)} more tensors: {names})" if others else ""
        what, seen = f"a tensor of another shape: {name}", f"shape {list(found)}"
        expected = f"shape {list(wanted)}{more}"
    elif missing:
        what, seen = "tensors are missing", f"missing: {listed(missing)}"
        expected = "every tensor of the model"
    elif extra and not extra_allowed:
        what, seen = "tensors are extra", f"extra: {listed(extra)}"
        expected = "only tensors of the model"
    elif info.get("error_msgs"):
        what, seen = "tensors cannot be read", str(info["error_msgs"][0])
        expected = "sound tensors"
    else:
        return
    raise ModelError(
        f"the checkpoint does not fit its config.json: {what}",
        where=where,
        expected=expected,
        found=seen,
        remedy="check config.json against the weights, or fetch the checkpoint again",
    )


def _read_tokenizer(folder: Path, files: list[Path]) -> TokenizerFile:
    if len(files) == 1:
        return TokenizerFile.from_file(str(files[0]))
    from transformers import AutoTokenizer  # takes a second to import

    # which split and which added tokens go with a vocabulary and merges, transformers knows
    known: Any = AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    backend = getattr(known, "backend_tokenizer", None)
    if not isinstance(backend, TokenizerFile):
        raise TypeError(f"{type(known).__name__} is not of the tokenizers library")
    ids, given = backend.get_vocab(with_added_tokens=True), _read_json(files[0])
    lost = [token for token, number in given.items() if ids.get(token) != number]
    if lost:
        raise ValueError(f"{type(known).__name__} does not know {len(lost)} of its tokens")
    return TokenizerFile.from_str(backend.to_str())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        _downloaded([path])
        value = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # refuses half a surrogate pair
        found = type(value).__name__
    except (ValueError, OSError, RecursionError) as error:
        value, found = None, str(error)
    if not isinstance(value, dict):
        raise ModelError(
            f"the model's {path.name} cannot be read",
            where=str(path),
            expected="a JSON object",
            found=found,
            remedy="fetch the file again",
        )
    return value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file has so long a name
        return False


def _listing(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())[:20]) or "an empty folder"


def listed(names: Sequence[str], shown: int = 5) -> str:
    """Name the first few of several things, and say how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
