"""The errors a user of an atlas can meet.

Every message says what failed, where (file, key or partition), what was expected, what was
found, and what to do::

    AtlasError
    ├── SettingsError              a setting or an argument cannot be used
    ├── StimulusError              the stimulus tables or a prompt break their own rules
    ├── ModelError                 a checkpoint, its config or its tokenizer cannot be used
    ├── EngineError                the workers of ATLAS_ENGINE, or their scheduler, cannot be used
    ├── ArtifactError              a file of the atlas cannot be used
    │   ├── MissingArtifactError   it is not there (also a FileNotFoundError)
    │   ├── BusyArtifactError      another program has it open to write to it (retryable)
    │   ├── UnreadableArtifactError  the system does not let it be read, as it is now
    │   ├── DamagedArtifactError   its content is not what it must be: it may be replaced
    │   ├── ForeignArtifactError   another program wrote it, and it cannot be taken as it is
    │   ├── ArtifactWriteError     it could not be written
    │   └── ProvenanceError        it was made under other settings
    └── HubError                   the Hub, or what it holds, cannot be used
        ├── HubPermanentError      the Hub refuses, or must not be asked
        │   └── HubNotFoundError   it has no such repository, or does not show it
        ├── HubUnavailableError    it did not answer as it should (retryable)
        └── HubConflictError       the repository changed in between

`AtlasError.retryable` says whether the same call may succeed later with nothing changed. It is
true of `HubUnavailableError` and `BusyArtifactError` alone.

Of the files that cannot be read, only a damaged one is replaced when its artifact is made again.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

#: how the few lines begin that git-lfs leaves in the place of a file it has not downloaded
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
#: how many first bytes of a file tell that it is such a pointer
HEAD = len(_LFS_POINTER)


class AtlasError(Exception):
    """A failure that this package can explain; the base class of all its errors.

    Attributes:
        what: what failed, as a clause (``"cannot read the masks"``).
        where: file, HDF5 key, column, partition or setting it is about.
        expected: what a sound state would look like.
        found: what was there instead.
        remedy: what the user can do.
        said: those of the last four that are given, by their labels in the message.
        retryable: whether the same call may succeed later although nobody changed anything.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = remedy
        said = {"where": where, "expected": expected, "found": found, "what to do": remedy}
        # what is found in a file may be text that no terminal takes
        self.said = {label: _printable(text) for label, text in said.items() if text}
        lines = [what, *(f"  {label}: {text}" for label, text in self.said.items())]
        super().__init__("\n".join(lines))


@contextmanager
def naming(names: Mapping[str, str], kind: str) -> Iterator[None]:
    """Let errors raised within name what was given, and not the variables of settings.

    Args:
        names: environment variable → the option or argument that stands for it here.
        kind: what those are: ``"option"`` or ``"argument"``.
    """

    def here(text: str | None) -> str | None:
        return text and re.sub(r"\bATLAS_[A-Z_]+", lambda name: names.get(name[0], name[0]), text)

    try:
        yield
    except AtlasError as error:
        where, remedy = here(error.where), here(error.remedy)
        if where != error.where and "the variable" in (remedy or ""):
            remedy = f"correct the {kind}, or leave it out"
        said = {"expected": here(error.expected), "found": here(error.found), "remedy": remedy}
        AtlasError.__init__(error, here(error.what) or "", where=where, **said)
        raise


def _printable(text: str) -> str:
    return str(text).encode("utf-8", "backslashreplace").decode()


def shortened(text: str, most: int = 200) -> str:
    """Return the first line of what another library says, at most ``most`` characters of it."""
    line = next(iter(text.strip().splitlines()), "")
    return line if len(line) <= most else f"{line[: most - 1]}…"


class SettingsError(AtlasError):
    """A setting is outside its range or contradicts another one."""


class StimulusError(AtlasError):
    """The stimulus tables or a prompt made from them break their own rules."""


class ModelError(AtlasError):
    """A checkpoint, its config or its tokenizer cannot be used."""


class EngineError(AtlasError):
    """The workers that ``ATLAS_ENGINE`` names, or their scheduler, cannot be used."""


class ArtifactError(AtlasError):
    """A file of the atlas is missing, damaged or does not follow its schema."""


class MissingArtifactError(ArtifactError, FileNotFoundError):
    """A file of the atlas is not there."""


class BusyArtifactError(ArtifactError):
    """Another program has the file open and may be writing to it: it can be read later."""

    retryable = True


class UnreadableArtifactError(ArtifactError):
    """The file is there, and the system does not let this process read it.

    Its permissions, the disk or a folder in its place are the reason; what it holds is not known.
    """


class DamagedArtifactError(ArtifactError):
    """A file was read and its content is proven wrong, so it may be replaced."""


class ForeignArtifactError(ArtifactError):
    """Another program or version wrote the file in a way that this one does not take.

    The message says what the writer must write. Such a file is never replaced.
    """


class ArtifactWriteError(ArtifactError):
    """A file of the atlas could not be written; the earlier one, if any, is intact."""


class ProvenanceError(ArtifactError):
    """A file was made under settings that contradict the ones in force."""


class HubError(AtlasError):
    """The Hub, or what it holds, cannot be used.

    Attributes:
        status: the status of the Hub's HTTP answer, where one came.
    """

    def __init__(self, what: str, *, status: int | None = None, **said: str | None) -> None:
        self.status = status
        super().__init__(what, **said)


class HubPermanentError(HubError):
    """The Hub refuses, or must not be asked (offline mode): asking again gives the same."""


class HubNotFoundError(HubPermanentError):
    """The Hub has no such repository, or does not show it to this user."""


class HubUnavailableError(HubError):
    """The Hub did not answer as it should, and the attempts are used up: it may do so later."""

    retryable = True


class HubConflictError(HubError):
    """Somebody else changed the repository while it was written to; its head must be read again."""


def expect(
    condition: bool,
    error: type[AtlasError],
    what: str,
    *,
    where: str | None = None,
    expected: str | None = None,
    found: str | None = None,
    remedy: str | None = None,
) -> None:
    """Raise ``error``, with the texts of an `AtlasError`, unless ``condition`` holds.

    The texts are built even where the condition holds: in a loop over many values, or where a
    text is costly or cannot be built for a sound value, raise the error in an ``if`` instead.
    """
    if not condition:
        raise error(what, where=where, expected=expected, found=found, remedy=remedy)


def unsound(what: str, where: str, expected: str, found: str) -> DamagedArtifactError:
    """Return the error that a file's content is not what it must be.

    Its remedy is to make the file again; the arguments are those of `AtlasError`.
    """
    remedy = "materialise it again, or fetch the file again if it was downloaded"
    return DamagedArtifactError(what, where=where, expected=expected, found=found, remedy=remedy)


@contextmanager
def within(where: str) -> Iterator[None]:
    """Add to errors about content the file or asset ``where`` that the content belongs to."""
    try:
        yield
    except AtlasError as error:
        if where in (error.where or ""):
            raise
        # an error of a value that is none of a file says that the content is wrong
        known = isinstance(error, ArtifactError) and type(error) is not ArtifactError
        kind = type(error) if known else DamagedArtifactError
        raise kind(
            error.what,
            where=f"{where}, {error.where}" if error.where else where,
            expected=error.expected,
            found=error.found,
            remedy=error.remedy,
        ) from error


def require_regular(path: Path, error: type[AtlasError]) -> None:
    """Raise ``error`` where there is a pipe, a socket or a device: reading it might never end."""
    try:
        mode = path.stat().st_mode
    except OSError:  # who reads it says what is wrong
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise error(
            "what is there is no file",
            where=str(path),
            expected="a regular file",
            found="a pipe, a socket or a device",
            remedy="put the file itself in its place, or remove it",
        )


def require_downloaded(
    head: bytes, where: object, error: type[AtlasError] = ForeignArtifactError
) -> None:
    """Raise ``error`` where the first `HEAD` bytes of a file are those of a git-lfs pointer."""
    if head.startswith(_LFS_POINTER):
        raise error(
            "git-lfs has not downloaded the file: only its pointer is there",
            where=str(where),
            expected="the file itself",
            found="a few lines of text that say where git-lfs finds it",
            remedy="run `git lfs pull` in the repository that the file lies in (`git lfs install` "
            "before, where git-lfs is new), or download the file from the Hub",
        )
