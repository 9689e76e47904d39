"""JSON that anybody may have written or edited."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: the field of a document that holds the digest of all its others
SEAL = "sha256_of_the_rest"


def read_json(text: str | bytes) -> Any:
    """Return the value in a JSON document.

    Raises:
        ValueError: it is no JSON, is nested too deeply, or holds text that UTF-8 cannot encode
            (half a surrogate pair), which no file or terminal would take.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("the values are nested too deeply") from error
    return value


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document and, last, the digest of them, which tells of later edits."""
    return {**fields, SEAL: _digest(fields)}


def unsealed(value: Any, *, since: int) -> Any:
    """Return the value of a document, less the digest of its fields.

    Documents of an earlier format version than ``since`` may have none, as they were written then.
    The digest tells of edits and damage; who forges a document can compute it as well.

    Raises:
        ValueError: the fields are not those that were written, or the digest was removed.
    """
    if not isinstance(value, dict):
        return value
    if SEAL not in value:
        version = value.get("format_version")
        if type(version) is int and version < since:
            return value
        raise ValueError(f"it was edited after it was written: {SEAL} is missing")
    fields = {name: field for name, field in value.items() if name != SEAL}
    if value[SEAL] != _digest(fields):
        raise ValueError("it was edited after it was written: the digest in it does not fit")
    return fields


def _digest(fields: Mapping[str, Any]) -> str:
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
