"""What the Hub's client raises, sorted into what asking again mends and what it does not."""

from __future__ import annotations

import errno
import json
import re
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HfUriError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from atlas_assets.errors import (
    AtlasError,
    HubConflictError,
    HubError,
    HubNotFoundError,
    HubPermanentError,
    HubUnavailableError,
)
from atlas_assets.hub_client.transport import TRANSIENT_STATUSES, NotUnderstoodError, TransientError

if TYPE_CHECKING:
    from atlas_assets.hub_client.client import HubClient

_CONFLICTS = (409, 412)
_LOGIN = "`hf auth login`, or set HF_TOKEN"
_INCONSISTENT = "Consistency check failed"
_OF_THE_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EIO}
)
#: what comes of reading JSON that has another shape than expected, or none that ends
_STUMBLES = (TypeError, KeyError, AttributeError, IndexError, RecursionError)
#: how huggingface_hub says so itself, in a ValueError
_COMPLAINT = re.compile(r"improperly formatted|[Mm]alformed|parsing datetime")
#: hf_xet raises a ConnectionError whatever the answer was, and says which in words only
_XET_STATUS = re.compile(r"HTTP status \w+ error \((\d{3})\b")


@dataclass(frozen=True)
class Failure:
    """A failed attempt.

    Attributes:
        error: to raise when it was the last.
        final: whether another attempt is pointless.
        retry_after: seconds that the Hub asks to wait.
    """

    error: HubError
    final: bool
    retry_after: float | None = None


def explain(error: Exception, client: HubClient, *, what: str, where: str) -> Failure | None:
    """What ``error``, raised while talking to the Hub, means.

    Returns:
        ``None`` for an error that is not about the Hub (this package's own, or a programming
        error): it is to be raised as it is.
    """
    chain = list(_chain(error))
    if isinstance(error, AtlasError):
        return None
    for link in chain:
        failure = _of_link(link, client, what, client.redact(where))
        if failure is not None:
            return failure
    if _is_not_understood(error):
        said = client.redact(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return Failure(_strange(what, client.redact(where), said), final=False)
    if any(type(link) is RuntimeError for link in chain):
        # hf_xet's own: it has no other type for what goes wrong in its storage
        said = client.redact(" ".join(str(error).split())[:300])
        unavailable = _unavailable(what, client.redact(where), f"a failed transfer: {said}")
        return Failure(unavailable, final=False)
    return None


def _of_link(link: BaseException, client: HubClient, what: str, where: str) -> Failure | None:
    if isinstance(link, OfflineModeIsEnabled):
        return Failure(_offline(what, where), final=True)
    if isinstance(link, TransientError):
        asked = f"; it asks to wait {link.retry_after:g} s" if link.retry_after else ""
        unavailable = _unavailable(what, where, client.redact(str(link)) + asked, link.status)
        return Failure(unavailable, final=link.exhausted, retry_after=link.retry_after)
    if isinstance(link, HfHubHTTPError):
        return _of_status(link, client, what, where)
    if isinstance(link, NotUnderstoodError):
        return Failure(_strange(what, where, client.redact(str(link)[:300])), final=False)
    if isinstance(link, httpx2.UnsupportedProtocol | httpx2.InvalidURL):
        return Failure(_no_address(client, what, where, client.redact(str(link))), final=True)
    if isinstance(link, HFValidationError | HfUriError):
        return Failure(_invalid(what, where, client.redact(str(link))), final=True)
    xet = _XET_STATUS.search(str(link)) if isinstance(link, ConnectionError) else None
    if xet is not None and int(xet[1]) not in TRANSIENT_STATUSES:
        return Failure(_transfer_refused(what, where, int(xet[1])), final=True)
    found = _transient(link)
    if found is not None:
        return Failure(_unavailable(what, where, client.redact(found)), final=False)
    if isinstance(link, OSError) and link.errno in _OF_THE_DISK:
        return Failure(_not_stored(what, where, link), final=True)
    return None


def _of_status(error: HfHubHTTPError, client: HubClient, what: str, where: str) -> Failure:
    status = error.response.status_code
    said = client.redact(error.server_message or "").strip()
    found = f"HTTP {status}" + (f": {' '.join(said.split())[:300]}" if said else "")
    if status in TRANSIENT_STATUSES:
        return Failure(_unavailable(what, where, found, status), final=False)
    if status in _CONFLICTS:
        conflict = HubConflictError(
            what,
            status=status,
            where=where,
            expected="a repository as it was last read",
            found=found,
            remedy="read its head again and try once more",
        )
        return Failure(conflict, final=True)
    return Failure(_refused(error, what, where, found), final=True)


def _refused(error: HfHubHTTPError, what: str, where: str, found: str) -> HubPermanentError:
    status, kind = error.response.status_code, HubPermanentError
    if isinstance(error, GatedRepoError):
        found, remedy = "access is gated", f"accept its terms on the Hub, then {_LOGIN}"
    elif isinstance(error, RevisionNotFoundError):
        found, remedy = "no such revision", "correct the branch, tag or sha"
    elif isinstance(error, EntryNotFoundError):
        found, remedy = "no such file", "correct the file's name"
    elif isinstance(error, RepositoryNotFoundError):
        kind = HubNotFoundError
        found = "no such repository, or a private one"
        remedy = f"correct its name; if it is private, {_LOGIN}"
    elif status == 401:
        remedy = f"the token is not valid: {_LOGIN}"
    elif status == 403:
        remedy = f"give the token access to it (write access, to publish): {_LOGIN}"
    else:
        remedy = "correct what is asked of the Hub"
    return kind(
        what,
        status=status,
        where=where,
        expected="what the Hub gives to this user",
        found=found,
        remedy=remedy,
    )


def _transfer_refused(what: str, where: str, status: int) -> HubPermanentError:
    return HubPermanentError(
        what,
        status=status,
        where=where,
        expected="leave to transfer files through xet",
        found=f"HTTP {status}",
        remedy=f"give the token access to it (write access, to publish): {_LOGIN}",
    )


def _offline(what: str, where: str) -> HubPermanentError:
    return HubPermanentError(
        what,
        where=where,
        expected="a copy on this machine, as the Hub must not be asked",
        found="offline mode (HF_HUB_OFFLINE), and no copy of it",
        remedy="unset HF_HUB_OFFLINE, or fetch it first where there is a network",
    )


def _not_stored(what: str, where: str, error: OSError) -> HubPermanentError:
    at = f" ({error.filename})" if error.filename else ""
    return HubPermanentError(
        what,
        where=where,
        expected="a disk of this machine to keep it on",
        found=f"{error.strerror or type(error).__name__}{at}",
        remedy="free some space, or set HF_HOME to a folder that can be written to",
    )


def _invalid(what: str, where: str, found: str) -> HubPermanentError:
    return HubPermanentError(
        what,
        where=where,
        expected="a name as the Hub takes it: owner/name",
        found=found,
        remedy="correct the name",
    )


def _no_address(client: HubClient, what: str, where: str, found: str) -> HubPermanentError:
    from huggingface_hub import constants

    return HubPermanentError(
        what,
        where=where,
        expected="the address of a Hub: https://…",
        found=f"{client.redact(client.endpoint or constants.ENDPOINT)!r}: {found}",
        remedy="correct HF_ENDPOINT, or unset it for the public Hub",
    )


def _strange(what: str, where: str, found: str) -> HubUnavailableError:
    return HubUnavailableError(
        f"{what}: the Hub's answer is not understood",
        where=where,
        expected="JSON as a Hub sends it",
        found=found,
        remedy="try again later; if it stays so, check HF_ENDPOINT (a proxy?), and whether there "
        "is a newer atlas-assets",
    )


def _unavailable(
    what: str, where: str, found: str, status: int | None = None
) -> HubUnavailableError:
    return HubUnavailableError(
        what,
        status=status,
        where=where,
        expected="an answer of the Hub",
        found=found,
        remedy="try again later; if it stays so, check the network, HF_ENDPOINT and "
        "https://status.huggingface.co",
    )


def _transient(link: BaseException) -> str | None:
    """What went wrong on the way, if asking again may mend it."""
    if isinstance(link, json.JSONDecodeError):
        return "an answer that is no JSON, as of a proxy or an error page"
    if isinstance(link, FileMetadataError):
        return "an answer without the headers of a Hub, as of a proxy or an error page"
    if isinstance(link, httpx2.HTTPError | ConnectionError | TimeoutError | XetDownloadError):
        return f"{type(link).__name__}: {' '.join(str(link).split())[:300] or 'no answer'}"
    if isinstance(link, OSError) and _INCONSISTENT in str(link):
        return "a download that ended too early"
    if isinstance(link, OSError) and link.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return str(link)
    return None


def _is_not_understood(error: BaseException) -> bool:
    """Whether huggingface_hub stumbled over what it was answered; it does not look before."""
    said = isinstance(error, ValueError) and _COMPLAINT.search(str(error))
    if not said and not isinstance(error, _STUMBLES):
        return False
    modules = [
        str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    inside = any(name.startswith("huggingface_hub.") for name in modules)
    return inside and not modules[-1].startswith("atlas_assets.")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, then what it was raised from, outermost first."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
