"""The model that a file was computed with, identified by names and digests."""

from __future__ import annotations

from pydantic import BaseModel


class ModelIdentity(BaseModel, frozen=True, protected_namespaces=()):
    """The name of a model and the digests of the files that were loaded; ``None`` if unknown.

    Attributes:
        model_id: ``embedded``, a Hub id, or the name of the checkpoint's folder.
        revision: the commit sha of a Hub model; None for a folder.
        weights_sha256: SHA-256 over the safetensors files that hold the weights, one after the
            other in the order of their names (of one file: that file's own SHA-256).
        tokenizer_sha256: SHA-256 of ``tokenizer.json`` (or of the vocabulary and merges files).
    """

    model_id: str
    revision: str | None = None
    weights_sha256: str | None = None
    tokenizer_sha256: str | None = None
