"""From what a user writes in ``ATLAS_MODEL`` to a folder with a checkpoint."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from atlas_assets.checkpoints import files as checkpoint
from atlas_assets.errors import ModelError
from atlas_assets.formats.identity import ModelIdentity

EMBEDDED = "embedded"
_EMBEDDED_FOLDER = Path(__file__).parents[1] / "models" / EMBEDDED
#: everything a checkpoint needs and nothing that could run
HUB_PATTERNS = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
HUB_TIMEOUT_SECONDS = 10.0

_HUB_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")
_FULL_SHA = re.compile(r"[0-9a-f]{40}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSource:
    """A checkpoint on this machine.

    Attributes:
        model_id: ``embedded``, a Hub id, or the folder's name.
        folder: where its files lie.
        revision: the commit sha of a Hub model, else None.
    """

    model_id: str
    folder: Path
    revision: str | None = None


def resolve(model: str, revision: str | None, *, ask_hub: bool = True) -> ModelSource:
    """Find the checkpoint, downloading a Hub model that is not in the cache.

    Args:
        model: ``embedded``, a folder, or a Hub id; an existing folder wins over a Hub id.
        revision: branch, tag or sha of a Hub model; None: its main branch.
        ask_hub: whether to ask the network; otherwise only the cache is looked at.

    Raises:
        ModelError: there is no such model, the Hub does not answer and the model is not in the
            cache, or a revision is asked of something that is not on the Hub.
    """
    folder = _EMBEDDED_FOLDER if model == EMBEDDED else Path(model).expanduser()
    if not folder.is_dir():
        return _from_hub(model, revision) if ask_hub else _from_cache(model, revision)
    if revision is not None:
        raise ModelError(
            "a revision is asked of a model that is not on the Hub",
            where=model,
            expected="no revision",
            found=f"revision {revision!r}",
            remedy="unset ATLAS_MODEL_REVISION, or name a Hub model",
        )
    return ModelSource(EMBEDDED if model == EMBEDDED else folder.resolve().name, folder)


def identify(source: ModelSource) -> ModelIdentity:
    """Names and digests of a checkpoint, without building the network.

    Raises:
        ModelError: it has no weights in safetensors, or no tokenizer.
    """
    return ModelIdentity(
        model_id=source.model_id,
        revision=source.revision,
        weights_sha256=checkpoint.digest(checkpoint.weight_files(source.folder)),
        tokenizer_sha256=checkpoint.digest(checkpoint.tokenizer_files(source.folder)),
    )


def default_loss_threshold(source: ModelSource) -> float | None:
    """The checkpoint's own ``loss_threshold`` (nats), or None.

    Raises:
        ModelError: it is no positive number.
    """
    threshold = checkpoint.read_config(source.folder).get("loss_threshold")
    if threshold is None:
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or threshold <= 0:
        raise ModelError(
            "the model's own loss threshold is out of range",
            where=f"{source.folder / 'config.json'}: loss_threshold",
            expected="a number > 0 (nats), or null",
            found=repr(threshold),
            remedy="correct config.json",
        )
    return float(threshold)


def _from_hub(model: str, revision: str | None) -> ModelSource:
    _check_hub_id(model)
    if revision is not None and _FULL_SHA.fullmatch(revision):
        cached = _cached(model, revision)
        if cached is not None:
            return cached
    try:
        return _download(model, revision)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise _not_on_hub(model, revision, error) from error
    except Exception as error:
        # What a client raises when the Hub cannot be reached has no common base: HTTP and transport
        # errors, ConnectionError, RuntimeError, JSONDecodeError.
        cached = _cached(model, revision or "main")
        if cached is None:
            raise _unreachable(model, revision, error) from error
        _log.warning(
            "the Hub does not answer (%s); using the cached %s at %s",
            type(error).__name__,
            model,
            cached.revision,
        )
        return cached


def _from_cache(model: str, revision: str | None) -> ModelSource:
    _check_hub_id(model)
    cached = _cached(model, revision or "main")
    if cached is None:
        raise ModelError(
            "the model is not on this machine",
            where=model if revision is None else f"{model} at {revision}",
            expected="a copy in the Hub's local cache",
            found="none",
            remedy=f"run `hf download {model}` where there is a network",
        )
    return cached


def _download(model: str, revision: str | None) -> ModelSource:
    """The snapshot that ``revision`` means now.

    The first request has a timeout, which the client's download has not, and tells which commit it
    must be: the download by name, which notes the name in the cache for days without a network,
    gives an older copy without a word when the Hub stumbles.
    """
    info = huggingface_hub.HfApi().model_info(
        model, revision=revision, timeout=HUB_TIMEOUT_SECONDS, expand=["sha"]
    )
    for wanted in (revision or "main", info.sha):
        folder = huggingface_hub.snapshot_download(
            model,
            revision=wanted,
            allow_patterns=list(HUB_PATTERNS),
            etag_timeout=HUB_TIMEOUT_SECONDS,
        )
        if Path(folder).name == info.sha:
            break
    return ModelSource(model, Path(folder), info.sha)


def _cached(model: str, revision: str) -> ModelSource | None:
    """The complete snapshot in the local cache, or None."""
    try:
        folder = huggingface_hub.snapshot_download(
            model, revision=revision, allow_patterns=list(HUB_PATTERNS), local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    return ModelSource(model, Path(folder), Path(folder).name)


def _check_hub_id(model: str) -> None:
    """Refuse, before the network is asked, what is a path or cannot be an id."""
    if not _HUB_ID.fullmatch(model):
        raise ModelError(
            "there is no such model",
            where=model,
            expected=f"{EMBEDDED!r}, an existing folder, or a Hub id (owner/name)",
            found="no folder of this name, and no Hub id",
            remedy="correct ATLAS_MODEL",
        )


def _not_on_hub(model: str, revision: str | None, error: Exception) -> ModelError:
    if isinstance(error, GatedRepoError):
        found, remedy = "access is gated", "accept its terms on the Hub, then `hf auth login`"
    elif isinstance(error, RevisionNotFoundError):
        found, remedy = f"no revision {revision!r}", "correct ATLAS_MODEL_REVISION"
    else:
        found = "no such repository, or a private one"
        remedy = "correct ATLAS_MODEL, or `hf auth login` if it is private"
    return ModelError(
        "the Hub does not give this model",
        where=model,
        expected="a public model, or one you have access to",
        found=found,
        remedy=remedy,
    )


def _unreachable(model: str, revision: str | None, error: Exception) -> ModelError:
    named = model if revision is None else f"{model} at {revision}"
    return ModelError(
        "the model is not on this machine and the Hub does not answer",
        where=named,
        expected="a cached copy, or an answer from the Hub",
        found=f"{type(error).__name__}: {error}",
        remedy=f"go online (and unset HF_HUB_OFFLINE), or run `hf download {model}` where "
        "there is a network, or set ATLAS_MODEL to embedded or to a folder",
    )
