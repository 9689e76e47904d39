"""The errors a user of an atlas can meet.

Every message says what failed, where (file, key or partition), what was expected, what was
found, and what to do. None of these conditions goes away by retrying, so Dagster is told not to.
"""

from __future__ import annotations


class AtlasError(Exception):
    """A failure that retrying does not mend.

    Args:
        what: what failed, as a clause (``"cannot read the masks"``).
        where: file, HDF5 key, column, partition or setting it is about.
        expected: what a sound state would look like.
        found: what was there instead.
        remedy: what the user can do.
    """

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
        labelled = [
            ("where", where),
            ("expected", expected),
            ("found", found),
            ("what to do", remedy),
        ]
        lines = [what, *(f"  {label}: {text}" for label, text in labelled if text)]
        super().__init__("\n".join(lines))


class SettingsError(AtlasError):
    """A setting is outside its range or contradicts another one."""


class StimulusError(AtlasError):
    """The stimulus tables or a prompt made from them break their own rules."""


class ModelError(AtlasError):
    """A checkpoint, its config or its tokenizer cannot be used."""


class ArtifactError(AtlasError):
    """A file of the atlas is missing, damaged or does not follow its schema."""


class MissingArtifactError(ArtifactError, FileNotFoundError):
    """A file of the atlas is not there."""


class ArtifactWriteError(ArtifactError):
    """A file of the atlas could not be written; the earlier one, if any, is intact."""


class ProvenanceError(ArtifactError):
    """A file was made under settings that contradict the ones in force."""


class HubError(AtlasError):
    """The Hub, or what lies there, cannot be used.

    Attributes:
        status: of the Hub's HTTP answer, where one came.
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


class HubConflictError(HubError):
    """Somebody else changed the repository in between: read its head again."""
