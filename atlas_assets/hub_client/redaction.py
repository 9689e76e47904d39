"""Keeping secrets out of messages, logs and events."""

from __future__ import annotations

import logging
import re

_HIDDEN = "[hidden]"
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',;]+")
#: of a storage's address, the query is its signature
_QUERY = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
_LOGGERS = ("huggingface_hub.file_download", "huggingface_hub.utils._http", "huggingface_hub.lfs")


def redact(text: str, *secrets: str | None) -> str:
    """``text`` without tokens, credentials and the query strings of addresses.

    Args:
        text: a message.
        secrets: strings to hide wherever they occur; empty ones and ``None`` are left out.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, _HIDDEN)
    text = _BEARER.sub(rf"\1 {_HIDDEN}", text)
    return _QUERY.sub(r"\1", _TOKEN.sub(_HIDDEN, text))


class RedactingFilter(logging.Filter):
    """Redacts what a library logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; the record's message is redacted."""
        record.msg, record.args = redact(record.getMessage()), ()
        return True


def redact_client_logs() -> None:
    """Redacts what the Hub's client logs about addresses; calling it again changes nothing."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(present, RedactingFilter) for present in logger.filters):
            logger.addFilter(RedactingFilter())
