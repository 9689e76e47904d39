"""One Hub as this package talks to it: bounded in time, and without a secret in any message."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from atlas_assets.errors import HubPermanentError, expect
from atlas_assets.hub_client.redaction import redact

if TYPE_CHECKING:
    from huggingface_hub import HfApi

T = TypeVar("T")
#: seconds from which a wait is told of, lest it be taken for a hang
_SAID_FROM = 1.0

_log = logging.getLogger(__name__)


class NotUnderstoodError(Exception):
    """An answer has status 200, but is not what a Hub answers: its JSON has another shape."""


@dataclass(frozen=True)
class HubClient:
    """One Hub, with timeouts on every request and bounded retries of what is transient.

    Attributes:
        endpoint: the Hub's address; ``None``: HF_ENDPOINT, else the public Hub.
        token: the user's token; ``None``: as huggingface_hub finds it (HF_TOKEN, ``hf auth
            login``).
        cache_dir: the folder of downloads; ``None``: huggingface_hub's own (HF_HOME).
        timeout: seconds without an answer, or the next byte of one, that fail a request.
        attempts: how often one request or one call is tried, the first time included.
        backoff: seconds before the second attempt, doubled for each further one.
        longest_wait: the limit of every wait, in seconds. A Hub that asks for more (Retry-After)
            is given up at once.
    """

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    cache_dir: Path | None = None
    timeout: float = 30.0
    attempts: int = 5
    backoff: float = 1.0
    longest_wait: float = 60.0

    def api(self) -> HfApi:
        """Return huggingface_hub's API for this Hub, to be used inside `call`."""
        from huggingface_hub import HfApi

        from atlas_assets.hub_client.transport import install

        install()
        return HfApi(endpoint=self.endpoint, token=self.token, library_name="atlas-assets")

    def call(self, what: str, do: Callable[[], T], *, where: str) -> T:
        """Run ``do``, again after a transient failure, until it succeeds or attempts run out.

        Requests that only read are retried one by one, wherever in ``do`` they are; after any other
        transient failure the whole of ``do`` runs again, so it must look anew at what it depends on
        and do nothing twice. Calls nest: an inner call's error passes through the outer one.

        Args:
            what: what fails if it fails, for the message (``"cannot read the head"``).
            do: makes requests through `api`, or any function of huggingface_hub.
            where: repository, file or address, for the message.

        Raises:
            HubPermanentError: at once, if the Hub refuses (401, 403, 404, a request it finds
                invalid), offline mode is on, or the token is none that can be sent.
            HubConflictError: at once, at 409 or 412.
            HubUnavailableError: after the last attempt, at 408, 429, 5xx, no answer, or an answer
                that is no Hub's.
        """
        from atlas_assets.hub_client.failures import explain
        from atlas_assets.hub_client.transport import policy_of

        self._require_sendable_token(what, where)
        attempt = 1
        while True:
            try:
                with policy_of(self):
                    return do()
            except Exception as error:  # what these libraries raise has no common base
                explained = explain(error, self, what=what, where=where)
                if explained is None:
                    raise
            failure, asked = explained
            wait = None if asked is None else self.wait(attempt, asked)
            if wait is None:
                # outside of the handler: the original, which may quote a secret, is not chained
                raise failure
            self.pause(wait, failure.found or failure.what)
            attempt += 1

    def pause(self, seconds: float, why: str) -> None:
        """Wait before another attempt; from a second on the log says so, and why."""
        if seconds >= _SAID_FROM:
            told = redact(why, self.token)
            _log.warning("the Hub: %s; trying again in %.0f s", told, seconds)
        time.sleep(seconds)

    def wait(self, attempt: int, retry_after: float | None) -> float | None:
        """Return the seconds to wait after attempt 1, 2, … ; ``None``: give up.

        The Hub itself may ask for a wait, of ``retry_after`` seconds.
        """
        asked = retry_after or 0.0
        if attempt >= self.attempts or asked > self.longest_wait:
            return None
        return min(self.longest_wait, max(self.backoff * 2.0 ** (attempt - 1), asked))

    def interactive(self) -> HubClient:
        """Return a client of the same Hub for someone at a prompt, who waits for seconds only."""
        return replace(
            self,
            timeout=min(self.timeout, 5.0),
            attempts=min(self.attempts, 2),
            backoff=min(self.backoff, 0.5),
            longest_wait=min(self.longest_wait, 5.0),
        )

    def redact(self, text: str) -> str:
        """Return ``text`` without this client's token, other tokens, and signed addresses."""
        from huggingface_hub import get_token

        return redact(text, self.token, get_token())

    def is_offline(self) -> bool:
        """Return whether HF_HUB_OFFLINE forbids every request."""
        from huggingface_hub import is_offline_mode

        return bool(is_offline_mode())

    def user_token(self) -> str:
        """Return the token that requests are sent with; empty where there is none."""
        from huggingface_hub import get_token

        return self.token or get_token() or ""

    def _require_sendable_token(self, what: str, where: str) -> None:
        """Refuse a token that no HTTP header can hold, without quoting it."""
        token = self.user_token()
        expect(
            token.isascii() and token.isprintable(),
            HubPermanentError,
            what,
            where=self.redact(where),
            expected="a token of the Hub: ASCII letters, digits and underscores",
            found="a token with other characters, which cannot be sent",
            remedy="`hf auth login`, or correct HF_TOKEN",
        )
