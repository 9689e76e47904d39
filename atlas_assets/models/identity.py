"""Which model a file was computed with, as far as its bytes can tell."""

from __future__ import annotations

from pydantic import BaseModel


class ModelIdentity(BaseModel, frozen=True, protected_namespaces=()):
    """A model's name and the digests of what was loaded; ``None`` where it is not known.

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
