"""What the Hub's client raises, sorted into what asking again mends and what it does not."""

from __future__ import annotations

import errno
import json
import re
import traceback
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import httpx2
from huggingface_hub import constants
from huggingface_hub import errors as hf

from atlas_assets import errors
from atlas_assets.hub_client.client import HubClient, NotUnderstoodError
from atlas_assets.hub_client.transport import TRANSIENT_STATUSES, TransientError

_LOGIN = "`hf auth login`, or set HF_TOKEN"
_OF_THE_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO}
)
#: what comes of reading JSON that has another shape than expected, or none that ends
_STUMBLES = (TypeError, KeyError, AttributeError, IndexError, RecursionError)
#: how huggingface_hub says so itself, in a ValueError
_COMPLAINT = re.compile(r"improperly formatted|[Mm]alformed|parsing datetime")
#: hf_xet raises a ConnectionError whatever the answer was, and says which in words only
_XET_STATUS = re.compile(r"HTTP status \w+ error \((\d{3})\b")
#: what the Hub refuses with a name: error of huggingface_hub, what is said, what to do
_NAMED_REFUSALS = (
    (hf.GatedRepoError, "access is gated", f"accept its terms on the Hub, then {_LOGIN}"),
    (hf.RevisionNotFoundError, "no such revision", "correct the branch, tag or sha"),
    (hf.EntryNotFoundError, "no such file", "correct the file's name"),
    (
        hf.RepositoryNotFoundError,
        "no such repository, or a private one",
        f"correct its name; if it is private, {_LOGIN}",
    ),
)
_REMEDIES = {
    401: f"the token is not valid: {_LOGIN}",
    403: f"give the token access to it (write access, to publish): {_LOGIN}",
}


class _Cause(NamedTuple):
    """The parts of an error that do not depend on what was asked; by default of an outage."""

    found: str
    expected: str = "an answer of the Hub"
    remedy: str = (
        "try again later; if it stays so, check the network, HF_ENDPOINT and "
        "https://status.huggingface.co"
    )
    kind: type[errors.HubError] = errors.HubUnavailableError
    status: int | None = None
    comment: str = ""


_final = partial(_Cause, kind=errors.HubPermanentError)


def explain(
    error: Exception, client: HubClient, *, what: str, where: str
) -> tuple[errors.HubError, float | None] | None:
    """Return what ``error`` means; ``None``: it is not about the Hub, and is to be raised as it is.

    It was raised while ``what`` was tried at ``where``; ``client`` hides its secrets. Beside the
    error to be raised after the last attempt are the seconds that the Hub asks to wait before the
    next one; ``None``: there must be none.
    """
    if isinstance(error, errors.AtlasError):
        return None
    chain = _chain(error)
    named = ((link, cause) for link in chain if (cause := _cause(link, client)) is not None)
    link, cause = next(named, (error, _of_the_rest(chain)))
    if cause is None:
        return None
    said = cause.kind(
        what + cause.comment,
        status=cause.status,
        where=client.redact(where),
        expected=cause.expected,
        found=client.redact(cause.found),
        remedy=cause.remedy,
    )
    if isinstance(link, TransientError):
        return said, None if link.exhausted else link.retry_after or 0.0
    return said, 0.0 if said.retryable else None


def _cause(link: BaseException, client: HubClient) -> _Cause | None:
    """Return what one error of a chain says of the cause, if it does."""
    match link:
        case hf.OfflineModeIsEnabled():
            return _final(
                "offline mode (HF_HUB_OFFLINE), and no copy of it",
                "a copy on this machine, as the Hub must not be asked",
                "unset HF_HUB_OFFLINE, or fetch it first where there is a network",
            )
        case TransientError():
            asked = f"; it asks to wait {link.retry_after:g} s" if link.retry_after else ""
            return _Cause(f"{link}{asked}", status=link.status)
        case hf.HfHubHTTPError():
            return _of_status(link, client)
        case NotUnderstoodError():
            return _not_understood(str(link))
        case httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return _final(
                f"{client.endpoint or constants.ENDPOINT!r}: {link}",
                "the address of a Hub: https://…",
                "correct HF_ENDPOINT, or unset it for the public Hub",
            )
        case hf.HFValidationError() | hf.HfUriError():
            return _final(str(link), "a name as the Hub takes it: owner/name", "correct the name")
        case ConnectionError() if (status := _refused_by_xet(link)) is not None:
            leave = "leave to transfer files through xet"
            return _final(f"HTTP {status}", leave, _REMEDIES[403], status=status)
        case OSError() if link.errno in _OF_THE_DISK:
            at = f" ({link.filename})" if link.filename else ""
            return _final(
                f"{link.strerror or type(link).__name__}{at}",
                "a disk of this machine to keep it on",
                "free some space, or set HF_HOME to a folder that can be written to",
            )
        case json.JSONDecodeError():
            return _Cause("an answer that is no JSON, as of a proxy or an error page")
        case hf.FileMetadataError():
            return _Cause("an answer without the headers of a Hub, as of a proxy or an error page")
        case httpx2.HTTPError() | ConnectionError() | TimeoutError() | hf.XetDownloadError():
            return _Cause(f"{type(link).__name__}: {_quoted(str(link)) or 'no answer'}")
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
            return _Cause(str(link))
        case OSError() if "Consistency check failed" in str(link):
            return _Cause("a download that ended too early")
    return None


def _of_status(error: hf.HfHubHTTPError, client: HubClient) -> _Cause:
    status = error.response.status_code
    said = _quoted(client.redact(error.server_message or ""))
    found = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if status in TRANSIENT_STATUSES:
        return _Cause(found, status=status)
    if status in (409, 412):
        return _Cause(
            found,
            "a repository as it was last read",
            "read its head again and try once more",
            errors.HubConflictError,
            status,
        )
    remedy = _REMEDIES.get(status, "correct what is asked of the Hub")
    named = (told for kind, *told in _NAMED_REFUSALS if isinstance(error, kind))
    found, remedy = next(named, (found, remedy))
    # a gated repository is an error of a kind derived from this one, and is there
    is_absent = type(error) is hf.RepositoryNotFoundError
    kind = errors.HubNotFoundError if is_absent else errors.HubPermanentError
    return _Cause(found, "what the Hub gives to this user", remedy, kind, status)


def _refused_by_xet(link: BaseException) -> int | None:
    found = _XET_STATUS.search(str(link))
    return int(found[1]) if found and int(found[1]) not in TRANSIENT_STATUSES else None


def _of_the_rest(chain: Sequence[BaseException]) -> _Cause | None:
    """Return the cause of an error that is known by where it comes from, not by what it is."""
    said = _quoted(str(chain[0]))
    if _is_not_understood(chain[0]):
        return _not_understood(f"{type(chain[0]).__name__}: {said}")
    # hf_xet has no other type for what goes wrong in its storage
    is_of_xet = any(type(link) is RuntimeError for link in chain)
    return _Cause(f"a failed transfer: {said}") if is_of_xet else None


def _not_understood(found: str) -> _Cause:
    return _Cause(
        _quoted(found),
        "JSON as a Hub sends it",
        "try again later; if it stays so, check HF_ENDPOINT (a proxy?), and whether there is a "
        "newer atlas-assets",
        comment=": the Hub's answer is not understood",
    )


def _is_not_understood(error: BaseException) -> bool:
    """Return whether huggingface_hub stumbled over an answer; it does not look before."""
    said = isinstance(error, ValueError) and _COMPLAINT.search(str(error))
    if not said and not isinstance(error, _STUMBLES):
        return False
    modules = [
        str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    inside = any(name.startswith("huggingface_hub.") for name in modules)
    return inside and not modules[-1].startswith("atlas_assets.")


def _quoted(said: str) -> str:
    return " ".join(said.split())[:300]


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error, then what it was raised from, outermost first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain
