"""What goes wrong on a `LocalHub`, and what it notes of every request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

ERROR_PAGE = "<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>"


class RefusedError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        self.status, self.message, self.code = status, message, code
        super().__init__(message)


class Call(NamedTuple):
    """One request as the server saw it; ``status`` 0: it was dropped without an answer."""

    method: str
    path: str
    status: int
    n_bytes: int
    authorization: str
    range: str = ""


@dataclass
class Fault:
    """What the next ``times`` requests of ``method`` with ``match`` in their path meet.

    Attributes:
        match: regular expression, searched in the path with its query.
        status: of the answer in place of the true one, like ``headers`` and ``body``.
        after: do the work first, then fail: "it landed, and the answer was lost".
        drop: close the socket without an answer.
        delay: seconds to stall before anything else; the end of the hub ends it.
        truncate: give the true answer, but close the socket after this share of its body.
        passes: after the delay, give the true answer.
    """

    method: str
    match: str
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"error":"injected"}'
    times: int = 1
    after: bool = False
    drop: bool = False
    delay: float = 0.0
    truncate: float | None = None
    passes: bool = False
