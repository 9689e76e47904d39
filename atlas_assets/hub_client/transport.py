"""The HTTP client that huggingface_hub is given: timeouts on every request, bounded retries.

Left alone, huggingface_hub sends most requests without a timeout, retries some of them for as long
as it sees fit and others not at all. Here, one policy holds for every request that is made while a
`HubClient` is at work: requests that only read are sent again after a transient failure, so that a
download goes on from the byte where it stopped; any other ends its call, and whoever made the call
decides what to look at before the next attempt.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
import huggingface_hub
from huggingface_hub.errors import OfflineModeIsEnabled

from atlas_assets.hub_client.redaction import redact_client_logs

#: HTTP answers after which the same request may succeed
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_READING = frozenset({"GET", "HEAD"})
#: huggingface_hub asks for this of its own accord, once a day; nothing waits for the answer
_BESIDES = "/api/agent-harnesses"
#: where a list of files is asked for
_LISTING = re.compile(r"/api/.+/(tree|paths-info)/")
_TRANSIENT_ERRORS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)


@dataclass(frozen=True)
class Policy:
    """How long to wait and how often to ask.

    Attributes:
        timeout: seconds without an answer (or the next byte of one) before a request has failed.
        attempts: of one request or one call, the first included.
        backoff: seconds before the second attempt; doubled for each further one.
        longest_wait: seconds; no wait is longer, and a Hub that asks for a longer one (Retry-After)
            is given up at once.
    """

    timeout: float = 30.0
    attempts: int = 5
    backoff: float = 1.0
    longest_wait: float = 60.0

    def wait(self, attempt: int, retry_after: float | None) -> float | None:
        """Seconds before the attempt after number ``attempt`` (1, 2, …); ``None``: give up."""
        if attempt >= self.attempts or (retry_after or 0.0) > self.longest_wait:
            return None
        backoff = self.backoff * 2.0 ** (attempt - 1)
        return float(min(self.longest_wait, max(backoff, retry_after or 0.0)))


class TransientError(Exception):
    """A request that may succeed later.

    Deliberately none of the types that huggingface_hub retries by itself.

    Attributes:
        status: of the answer, where there was one.
        retry_after: seconds that the Hub asks to wait.
        exhausted: whether the attempts of the policy in force are used up.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        exhausted: bool = False,
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        self.exhausted = exhausted
        super().__init__(message)


class NotUnderstoodError(Exception):
    """An answer that says 200 and is none of a Hub's: JSON of another shape."""


_own: ContextVar[Policy | None] = ContextVar("_own", default=None)
#: for the threads that huggingface_hub starts itself, which do not inherit the context
_at_work: list[Policy] = []
_lock = threading.Lock()


@contextmanager
def policy_in_force(policy: Policy) -> Iterator[None]:
    """Requests made inside, in this thread and in those started by it, follow ``policy``."""
    install()
    token = _own.set(policy)
    with _lock:
        _at_work.append(policy)
    try:
        yield
    finally:
        _own.reset(token)
        with _lock:
            _at_work.remove(policy)


@cache
def install() -> None:
    """Gives huggingface_hub this module's client, once per process.

    Outside of `policy_in_force`, that client differs from the usual one only by its timeout.
    """
    # hf_xet has a client of its own, which by default tries for minutes; it reads this when first
    # used
    os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "2")
    huggingface_hub.set_client_factory(_client)
    redact_client_logs()


def _client() -> httpx2.Client:
    return _HubHttpClient(
        event_hooks={"request": [_refuse_offline]},
        follow_redirects=True,
        timeout=Policy.timeout,
    )


def _refuse_offline(request: httpx2.Request) -> None:
    if huggingface_hub.is_offline_mode():
        raise OfflineModeIsEnabled(f"offline mode: {request.method} {request.url} is not sent")


class _HubHttpClient(httpx2.Client):
    """A client that follows the policy in force."""

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As the base class, with the policy's timeout and its retries of reading requests."""
        policy = _policy()
        if policy is None:
            return super().send(request, **options)
        _cap_timeouts(request, policy.timeout)
        attempt = 1
        while True:
            try:
                return self._send_once(request, **options)
            except TransientError as error:
                reading = request.method in _READING and request.url.path != _BESIDES
                wait = policy.wait(attempt, error.retry_after) if reading else None
                if wait is None:
                    error.exhausted = reading
                    raise
            time.sleep(wait)
            attempt += 1

    def _send_once(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        try:
            response = super().send(request, **options)
        except _TRANSIENT_ERRORS as error:
            raise TransientError(f"{type(error).__name__}: {error or 'no answer'}") from error
        if response.status_code not in TRANSIENT_STATUSES:
            _require_listing(request, response)
            return response
        response.close()
        raise TransientError(
            f"HTTP {response.status_code} {response.reason_phrase}",
            status=response.status_code,
            retry_after=_retry_after(response),
        )


def _require_listing(request: httpx2.Request, response: httpx2.Response) -> None:
    """Refuses what is no list where one was asked for: huggingface_hub takes ``{}`` for no files.

    Raises:
        NotUnderstoodError: it is JSON, and none.
    """
    if response.status_code != 200 or not _LISTING.search(request.url.path):
        return
    try:
        found = json.loads(response.read())
    except ValueError:
        return  # no JSON at all: huggingface_hub says so
    if not isinstance(found, list):
        raise NotUnderstoodError(f"a list of files that is {type(found).__name__}")


def _policy() -> Policy | None:
    own = _own.get()
    if own is not None:
        return own
    with _lock:
        return _at_work[-1] if _at_work else None


def _cap_timeouts(request: httpx2.Request, limit: float) -> None:
    given = request.extensions.get("timeout") or {}
    request.extensions["timeout"] = {
        phase: limit if given.get(phase) is None else min(given[phase], limit)
        for phase in ("connect", "read", "write", "pool")
    }


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds of Retry-After, or of the Hub's ``RateLimit: "api";r=0;t=55``."""
    stated = response.headers.get("Retry-After", "").strip()
    if stated.isdigit():
        return float(stated)
    limits = dict(
        part.strip().partition("=")[::2]
        for part in response.headers.get("RateLimit", "").split(";")
    )
    reset = limits.get("t", "")
    return float(reset) if response.status_code == 429 and reset.isdigit() else None
