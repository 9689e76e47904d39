"""The HTTP client that huggingface_hub is given: timeouts on every request, bounded retries.

Left alone, huggingface_hub sends most requests without a timeout, retries some of them for as long
as it sees fit and others not at all. Here, one policy holds for every request that is made while a
`HubClient` is at work: requests that only read are sent again after a transient failure, so that a
download goes on from the byte where it stopped; any other ends its call, and whoever made the call
decides what to look at before the next attempt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx2
import huggingface_hub
from huggingface_hub.errors import OfflineModeIsEnabled

from atlas_assets.hub_client.redaction import redact_client_logs

if TYPE_CHECKING:
    from atlas_assets.hub_client.client import HubClient

#: HTTP answers after which the same request may succeed
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
#: seconds without an answer that end a request of other users of huggingface_hub
_TIMEOUT_OF_OTHERS = 30.0
_READING = frozenset({"GET", "HEAD"})
#: huggingface_hub asks for this of its own accord, once a day; nothing waits for the answer
_BESIDES = "/api/agent-harnesses"
#: of a header of the Hub, the seconds until it answers again
_RESET = re.compile(r"\bt=(\d+)")
_TRANSIENT_ERRORS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)


class TransientError(Exception):
    """A request failed that may succeed later.

    It is deliberately none of the types that huggingface_hub retries by itself.

    Attributes:
        status: the answer's HTTP status, where there was an answer.
        retry_after: the seconds that the Hub asks to wait.
        exhausted: whether the request was sent as often as the policy allows.
    """

    def __init__(
        self, found: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.status = status
        self.retry_after = retry_after
        self.exhausted = False
        super().__init__(found)


_own: ContextVar[HubClient | None] = ContextVar("_own", default=None)
#: for the threads that huggingface_hub starts itself, which do not inherit the context
_at_work: list[HubClient] = []


@contextmanager
def policy_of(client: HubClient) -> Iterator[None]:
    """Let requests made inside, in this thread and in those started by it, follow a client."""
    install()
    token = _own.set(client)
    _at_work.append(client)
    try:
        yield
    finally:
        _own.reset(token)
        _at_work.remove(client)


@cache
def install() -> None:
    """Give huggingface_hub this module's HTTP client, once per process.

    Outside of `policy_of`, it differs from the usual one only by its timeout.
    """
    # hf_xet has a client of its own, which by default tries for minutes; it reads this when first
    # used
    os.environ.setdefault("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "2")
    huggingface_hub.set_client_factory(_http_client)
    redact_client_logs()


def _http_client() -> httpx2.Client:
    return _HubHttpClient(
        event_hooks={"request": [_refuse_offline]},
        follow_redirects=True,
        timeout=_TIMEOUT_OF_OTHERS,
    )


def _refuse_offline(request: httpx2.Request) -> None:
    if huggingface_hub.is_offline_mode():
        raise OfflineModeIsEnabled(f"offline mode: {request.method} {request.url} is not sent")


class _HubHttpClient(httpx2.Client):
    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        client = _own.get() or next(reversed(tuple(_at_work)), None)
        if client is None:
            return super().send(request, **options)
        request.extensions["timeout"] = httpx2.Timeout(client.timeout).as_dict()
        attempt = 1
        while True:
            try:
                return self._send_once(request, **options)
            except TransientError as error:
                reading = request.method in _READING and request.url.path != _BESIDES
                wait = client.wait(attempt, error.retry_after) if reading else None
                if wait is None:
                    error.exhausted = reading
                    raise
                why = str(error)
            client.pause(wait, why)
            attempt += 1

    def _send_once(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        try:
            response = super().send(request, **options)
        except _TRANSIENT_ERRORS as error:
            raise TransientError(f"{type(error).__name__}: {error or 'no answer'}") from error
        if response.status_code not in TRANSIENT_STATUSES:
            return response
        response.close()
        found = f"HTTP {response.status_code} {response.reason_phrase}"
        raise TransientError(found, response.status_code, _retry_after(response))


def _retry_after(response: httpx2.Response) -> float | None:
    """Return the seconds of Retry-After, or of the Hub's ``RateLimit: "api";r=0;t=55``."""
    stated = response.headers.get("Retry-After", "").strip()
    if stated.isdigit():
        return float(stated)
    reset = _RESET.search(response.headers.get("RateLimit", ""))
    return float(reset[1]) if reset and response.status_code == 429 else None
