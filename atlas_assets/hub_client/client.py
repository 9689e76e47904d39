"""One Hub as this package talks to it: bounded in time, and without a secret in any message."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from atlas_assets.errors import HubError, HubPermanentError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from atlas_assets.hub_client.transport import Policy

T = TypeVar("T")


@dataclass(frozen=True)
class HubClient:
    """One Hub, with timeouts on every call, bounded retries of what is transient, and no secret
    in any message.

    Attributes:
        endpoint: address of the Hub; ``None``: HF_ENDPOINT, else the public Hub.
        token: of the user; ``None``: as huggingface_hub finds it (HF_TOKEN, ``hf auth login``).
        cache_dir: of downloads; ``None``: huggingface_hub's own (HF_HOME).
        timeout: seconds without an answer, or the next byte of one, that fail a request.
        attempts: of what fails transiently, the first included.
        backoff: seconds before the second attempt, doubled for each further one.
        longest_wait: seconds; the limit of every wait. A Hub that asks for more (Retry-After) is
            given up at once.
    """

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)
    cache_dir: Path | None = None
    timeout: float = 30.0
    attempts: int = 5
    backoff: float = 1.0
    longest_wait: float = 60.0

    def api(self) -> HfApi:
        """huggingface_hub's API for this Hub. Use it inside `call`, where the policy holds."""
        from huggingface_hub import HfApi

        from atlas_assets.hub_client.transport import install

        install()
        return HfApi(endpoint=self.endpoint, token=self.token, library_name="atlas-assets")

    def call(self, what: str, do: Callable[[], T], *, where: str) -> T:
        """Runs ``do``, again after a transient failure, until it succeeds or attempts run out.

        Requests that only read are retried one by one, wherever in ``do`` they are; after any other
        transient failure the whole of ``do`` runs again, so it must look anew at what it depends on
        and do nothing twice. Calls nest: an inner call's error passes through the outer one.

        Args:
            what: what fails if it fails, for the message (``"cannot read the head"``).
            do: makes requests through `api`, or any function of huggingface_hub.
            where: repository, file or address, for the message.

        Returns:
            What ``do`` returns.

        Raises:
            HubPermanentError: the Hub refuses (401, 403, 404, a request it finds invalid), offline
                mode is on, or the token is none that can be sent. Raised at the first such answer.
            HubConflictError: 409 or 412. Raised at the first such answer.
            HubUnavailableError: transient failures (408, 429, 5xx, no answer, an answer that is
                no Hub's) until the last attempt.
            AtlasError: as ``do`` raises it.
        """
        from atlas_assets.hub_client.failures import explain
        from atlas_assets.hub_client.transport import policy_in_force

        self._require_sendable_token(what, where)
        attempt, policy = 1, self._policy()
        while True:
            failure, wait = None, None
            try:
                with policy_in_force(policy):
                    return do()
            except Exception as error:  # what these libraries raise has no common base
                failure = explain(error, self, what=what, where=where)
                if failure is None:
                    raise
                if not failure.final:
                    wait = policy.wait(attempt, failure.retry_after)
            if wait is None:
                # outside of the handler: the original, which may quote a secret, is not chained
                raise failure.error
            time.sleep(wait)
            attempt += 1

    def interactive(self) -> HubClient:
        """The same Hub for someone who waits at a prompt: an answer or an error in seconds."""
        return replace(
            self,
            timeout=min(self.timeout, 5.0),
            attempts=min(self.attempts, 2),
            backoff=min(self.backoff, 0.5),
            longest_wait=min(self.longest_wait, 5.0),
        )

    def redact(self, text: str) -> str:
        """``text`` without this client's token, other tokens, and signed addresses."""
        from huggingface_hub import get_token

        from atlas_assets.hub_client.redaction import redact

        return redact(text, self.token, get_token())

    def is_offline(self) -> bool:
        """Whether HF_HUB_OFFLINE forbids every request."""
        from huggingface_hub import is_offline_mode

        return bool(is_offline_mode())

    def has_token(self) -> bool:
        """Whether there is a token to write with; it is not asked whether the Hub takes it."""
        from huggingface_hub import get_token

        return bool(self.token or get_token())

    def _require_sendable_token(self, what: str, where: str) -> None:
        """Refuses a token that no HTTP header can hold, without quoting it."""
        from huggingface_hub import get_token

        token = self.token or get_token() or ""
        if not (token.isascii() and token.isprintable()):
            raise HubPermanentError(
                what,
                where=self.redact(where),
                expected="a token of the Hub: ASCII letters, digits and underscores",
                found="a token with other characters, which cannot be sent",
                remedy="`hf auth login`, or correct HF_TOKEN",
            )

    def _policy(self) -> Policy:
        from atlas_assets.hub_client.transport import Policy

        return Policy(self.timeout, self.attempts, self.backoff, self.longest_wait)


def default_client() -> HubClient:
    """The Hub that huggingface_hub's own environment variables describe."""
    return HubClient()


__all__ = ["HubClient", "HubError", "default_client"]
