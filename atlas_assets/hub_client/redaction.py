"""Secrets are kept out of messages, logs and events."""

from __future__ import annotations

import logging
import re

_HIDDEN = "[hidden]"
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+")
#: the name and password of an address, as of a proxy
_USER = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#\"'<>]+@")
#: the query of a storage's address is its signature
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
#: by their names, also that of a private module: a filter on their parent sees no record of theirs,
#: and one on the parent's handlers none of what is handled by others (as after the library's
#: `enable_propagation`)
_LOGGERS = ("huggingface_hub.file_download", "huggingface_hub.utils._http", "huggingface_hub.lfs")


def redact(text: str, *secrets: str | None) -> str:
    """Return ``text`` without tokens, credentials, query strings of addresses, and these secrets.

    Secrets that are empty or ``None`` are left out.
    """
    for secret in filter(None, secrets):
        text = text.replace(secret, _HIDDEN)
    text = _BEARER.sub(rf"\1 {_HIDDEN}", text)
    text = _USER.sub(rf"\1{_HIDDEN}@", text)
    return _QUERY.sub(r"\1", _TOKEN.sub(_HIDDEN, text))


def redact_client_logs() -> None:
    """Redact what the Hub's client logs about addresses; a second call changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_redact_record)


def _redact_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = redact(record.getMessage()), ()
    return True
