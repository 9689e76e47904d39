"""Finds the checkpoint that a user names in ``ATLAS_MODEL``, downloading it if needed."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from atlas_assets.errors import HubError, HubNotFoundError, HubPermanentError, ModelError, expect
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import Repository, is_full_sha
from atlas_assets.models import checkpoint_files as checkpoint
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.models.kinds import GGUF, require_readable_kind

EMBEDDED = "embedded"
_EMBEDDED_FOLDER = Path(__file__).parent / EMBEDDED
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
    "added_tokens.json",
)
_CONFIG = "config.json"
#: number of ids of the tokenizer of the paper's model
PAPER_VOCABULARY = 2048

_HUB_ID = re.compile(r"(?:[A-Za-z0-9][\w.-]*/)?[A-Za-z0-9][\w.-]*")

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


def resolve(
    model: str, revision: str | None, *, ask_hub: bool = True, client: HubClient | None = None
) -> ModelSource:
    """Find the checkpoint, downloading a Hub model that is not in the cache.

    Args:
        model: ``embedded``, a folder, or a Hub id; an existing folder wins over a Hub id.
        revision: branch, tag or sha of a Hub model; None: its main branch.
        ask_hub: whether the network may be used; otherwise only the local cache is searched.
        client: the Hub; None: the one that huggingface_hub's environment variables describe.

    Raises:
        ModelError: there is no such model, the Hub does not answer and the model is not in the
            cache, or a revision is asked of something that is not on the Hub.
    """
    folder = local_folder(model)
    if folder is not None:
        expect(
            revision is None,
            ModelError,
            "a revision is asked of a model that is not on the Hub",
            where=model,
            expected="no revision",
            found=f"revision {revision!r}",
            remedy="unset ATLAS_MODEL_REVISION, or name a Hub model",
        )
        return ModelSource(EMBEDDED if model == EMBEDDED else folder.resolve().name, folder)
    client = client or HubClient()
    found = _from_hub if ask_hub and not client.is_offline() else _from_cache
    return found(client, model, revision)


def local_folder(model: str) -> Path | None:
    """Return the folder of a model on this machine; ``None`` for a Hub id that is none.

    Nothing is read and nobody asked. Raises ModelError where the name can be neither, or is of a
    kind that is not read.
    """
    model = model if model.strip() else ""
    folder = _EMBEDDED_FOLDER if model == EMBEDDED else Path(model).expanduser()
    # an empty name is the current folder to the system, and nobody means it so
    if model and folder.is_dir():
        return folder
    if model.lower().endswith(GGUF):
        require_readable_kind([Path(model).name], model)
    found = "a file" if model and folder.exists() else "no folder of this name, and no Hub id"
    expect(
        _HUB_ID.fullmatch(model) is not None,
        ModelError,
        "there is no such model" if model else "no model is named",
        where=model or "ATLAS_MODEL",
        expected=f"{EMBEDDED!r}, an existing folder, or a Hub id (owner/name)",
        found=found if model else "an empty name",
        remedy="correct ATLAS_MODEL",
    )
    return None


def identify(source: ModelSource) -> ModelIdentity:
    """Return the names and digests of a checkpoint, without building the network.

    Raises ModelError where there are no weights in safetensors, or no tokenizer.
    """
    return ModelIdentity(
        model_id=source.model_id,
        revision=source.revision,
        weights_sha256=checkpoint.digest(checkpoint.weight_files(source.folder)),
        tokenizer_sha256=checkpoint.digest(checkpoint.tokenizer_files(source.folder)),
    )


def default_loss_threshold(source: ModelSource) -> float | None:
    """Return the ``loss_threshold`` (nats) that a checkpoint's config names, or None.

    Raises ModelError where it is not a positive number.
    """
    threshold = checkpoint.read_config(source.folder).get("loss_threshold")
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    expect(
        threshold is None or (is_number and threshold > 0),
        ModelError,
        "the model's own loss threshold is out of range",
        where=f"{source.folder / 'config.json'}: loss_threshold",
        expected="a number > 0 (nats), or null",
        found=repr(threshold),
        remedy="correct config.json",
    )
    return None if threshold is None else float(threshold)


def has_bos(source: ModelSource) -> bool:
    """Tell whether a checkpoint is of a family that may have a beginning-of-sequence token."""
    return bool(checkpoint.read_config(source.folder)["model_type"] != "circuitgpt")


def has_paper_vocabulary(source: ModelSource) -> bool:
    """Tell whether a checkpoint's losses are over the vocabulary of the paper's model."""
    config = checkpoint.read_config(source.folder)
    return (config["model_type"], config.get("vocab_size")) == ("circuitgpt", PAPER_VOCABULARY)


def _from_hub(client: HubClient, model: str, revision: str | None) -> ModelSource:
    if is_full_sha(revision):
        cached = _cached(client, model, revision)
        if cached is not None:
            return cached
    sha: str | None = None
    try:
        sha = Repository(client.interactive(), model, "model").head(revision)
        return _download(client, model, revision, sha)
    except HubPermanentError as error:
        wrong = "ATLAS_MODEL" if isinstance(error, HubNotFoundError) else "ATLAS_MODEL_REVISION"
        raise ModelError(
            "the Hub does not give this model",
            where=_named(model, revision),
            expected="a public model, or one you have access to",
            found=error.found,
            remedy=f"{error.remedy} ({wrong})" if error.status == 404 else error.remedy,
        ) from error
    except HubError as error:
        cached = _cached(client, model, revision or "main")
        if cached is None:
            raise ModelError(
                "the model is not on this machine and the Hub does not answer",
                where=_named(model, revision),
                expected="a cached copy, or an answer from the Hub",
                found=error.found,
                remedy=f"go online, or run `hf download {model}` where there is a network, or set "
                "ATLAS_MODEL to embedded or to a folder",
            ) from error
        _log.warning(
            "the Hub does not answer (%s): using the cached %s at %s, %s",
            error.found,
            model,
            cached.revision,
            "which may be stale" if sha is None else f"which is stale: the Hub has {sha}",
        )
        return cached


def _from_cache(client: HubClient, model: str, revision: str | None) -> ModelSource:
    cached = _cached(client, model, revision or "main")
    if cached is None:
        offline = "; offline mode is on (HF_HUB_OFFLINE)" if client.is_offline() else ""
        raise ModelError(
            "the model is not on this machine",
            where=_named(model, revision),
            expected="a copy in the Hub's local cache",
            found=f"none{offline}",
            remedy=f"run `hf download {model}` where there is a network",
        )
    if client.is_offline() and revision != cached.revision:
        _log.warning(
            "offline mode (HF_HUB_OFFLINE): using the cached %s at %s, which may be stale",
            model,
            cached.revision,
        )
    return cached


def _download(client: HubClient, model: str, revision: str | None, sha: str) -> ModelSource:
    """Return the snapshot at ``sha``, each file compared with the Hub's digest as it arrives."""
    repository = Repository(client, model, "model")
    if (cached := _cached(client, model, sha)) is None:
        files = repository.look_up(sha).files
        wanted = [p for p in files if any(fnmatch(p, pattern) for pattern in HUB_PATTERNS)]
        names = [path for path in files if "/" not in path]
        require_readable_kind(names, f"{model}@{sha[:12]}", "the repository holds no model")
        # the config is the last to come: where it is, all the others are (`_cached`)
        for path in sorted(wanted, key=lambda path: (path == _CONFIG, path)):
            folder = repository.download(sha, files[path]).parent
        cached = ModelSource(model, folder, sha)
    # for days without a network
    repository.note(revision or "main", sha)
    return cached


def _cached(client: HubClient, model: str, revision: str) -> ModelSource | None:
    """Return the complete snapshot in the local cache, or None."""
    folder = Repository(client, model, "model").snapshot(revision)
    if folder is None or not (folder / _CONFIG).is_file():
        return None
    return ModelSource(model, folder, folder.name)


def _named(model: str, revision: str | None) -> str:
    return model if revision is None else f"{model} at {revision}"
