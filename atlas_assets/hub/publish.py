"""Publishing an atlas: one commit with what differs, or none, and a tag for its version.

The repository's head is read, compared and committed on; if somebody else committed in between,
the Hub refuses and everything is looked at anew. Whenever it is interrupted, the repository is at
the old commit or at the new one, and publishing again goes on from there: what is there already
is not committed twice.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import Any

from atlas_assets.errors import (
    HubConflictError,
    HubError,
    HubPermanentError,
    HubUnavailableError,
    SettingsError,
    expect,
)
from atlas_assets.hub import viewer
from atlas_assets.hub.plan import Options, Plan, is_tagged, plan
from atlas_assets.hub.staging import LeftOut, NotCompared, Stage, staged
from atlas_assets.hub.verify import DatasetsVerifier
from atlas_assets.hub_client.client import HubClient
from atlas_assets.settings import AtlasSettings
from atlas_assets.storage.store import AtlasStore

#: how many times somebody else may commit just before us
_CONFLICTS = 30
_UNKNOWN = (
    "whether a commit landed before that is not known: publishing again finds out, and commits "
    "nothing twice"
)


@dataclass(frozen=True)
class Published:
    """What was published, or would be.

    Attributes:
        plan: The commit; without changes where there was nothing to commit.
        not_compared: The checks of published files that compared nothing.
        sha: The commit that holds the atlas, at the address ``url``; ``None`` for a dry run.
        committed: Whether this publication made that commit.
        tagged: Whether it made the tag.
        would_tag: Whether the version's tag is still to be made, for a dry run.
        loaded: How many tables were loaded at that commit to check them.
    """

    plan: Plan
    left_out: tuple[LeftOut, ...]
    not_compared: tuple[NotCompared, ...]
    sha: str | None = None
    url: str | None = None
    committed: bool = False
    tagged: bool = False
    would_tag: bool = False
    loaded: int = 0


def publish(
    store: AtlasStore,
    settings: AtlasSettings,
    repo_id: str,
    client: HubClient,
    options: Options,
    verifier: DatasetsVerifier | None = None,
) -> Published:
    """Publish the sound files of an atlas to a dataset repository, which is created if needed.

    An unchanged atlas costs three requests and makes no commit. The settings in force say whether a
    new repository is made private; the verifier checks that the tables load.

    Raises:
        SettingsError: there is no token.
        ArtifactError: nothing is fit to be published, a table does not load, ``datasets`` is not
            installed, or the card cannot be edited; ProvenanceError: files of another atlas would
            stay beside it, or files are there that no publication left.
        HubPermanentError: the Hub refuses, or the version's tag marks something else.
        HubUnavailableError: the Hub does not answer; publishing again goes on.
    """
    verifier = verifier or DatasetsVerifier()
    if not options.dry_run:
        verifier.require()
        expect(
            client.user_token() != "",
            SettingsError,
            "there is no token to publish with",
            where="HF_TOKEN",
            expected="a token of the Hub with write access",
            found="none",
            remedy="`hf auth login`, or set HF_TOKEN",
        )
    with staged(store, settings, options.cells) as stage:
        return Publication(stage, repo_id, client, options, verifier, settings.hub_private).run()


@dataclass
class Publication:
    """One publication of a stage.

    Attributes:
        private: Whether a repository that does not exist yet is created as private.
        checked: Whether the staged tables were found to load.
        sent: The plan of the last commit that was requested, or ``None``.
        lost: Whether an earlier attempt requested a commit and got no answer.
    """

    stage: Stage
    repo_id: str
    client: HubClient
    options: Options
    verifier: DatasetsVerifier
    private: bool = False
    checked: bool = False
    sent: Plan | None = None
    lost: bool = False

    def run(self) -> Published:
        """Publish it, or only plan it; see `publish`. An error after the commit names its sha."""
        from huggingface_hub import constants

        if self.options.dry_run:
            planned = self._planned()
            would_tag = planned.parent is None or not self._is_tagged(planned)
            return self._published(planned, would_tag=would_tag)
        planned, sha = self._land()
        committed = self.sent is not None
        try:
            tagged, loaded = self._finish(planned, sha, committed=committed)
        except HubError as error:
            landed = f"the commit {sha} {'landed' if committed else 'is there'}"
            left = f"its tables' check and its tag {planned.version}, if not there, are left to do"
            raise _told(error, f"{landed}; {left}: {error.remedy}") from None
        endpoint = self.client.endpoint or constants.ENDPOINT
        url = f"{endpoint}/datasets/{self.repo_id}/commit/{sha}"
        return self._published(
            planned, sha=sha, url=url, committed=committed, tagged=tagged, loaded=loaded
        )

    def _published(self, planned: Plan, **found: Any) -> Published:
        return Published(planned, self.stage.left_out, self.stage.not_compared, **found)

    def _land(self) -> tuple[Plan, str]:
        """Return the plan and the sha of the commit that holds it; `sent` is set if we made it."""
        for conflicts in range(_CONFLICTS):
            try:
                planned, sha = self.client.call(
                    "cannot publish the atlas", self._attempt, where=self.repo_id
                )
            except HubConflictError:
                self.sent = None
                time.sleep(self.client.backoff * conflicts / 20)
            except HubError as error:
                if self.lost or (self.sent and isinstance(error, HubUnavailableError)):
                    raise _told(error, f"{error.remedy}; {_UNKNOWN}") from None
                raise
            else:
                # an attempt whose answer was lost did commit, and the next one finds it there
                return self.sent or planned, sha
        raise HubUnavailableError(
            "cannot publish the atlas",
            where=self.repo_id,
            expected="a moment in which nobody else commits",
            found=f"{_CONFLICTS} commits of others, each just before ours",
            remedy="publish again when the other writers have finished",
        )

    def _attempt(self) -> tuple[Plan, str]:
        self.lost = self.sent is not None
        planned = self._planned()
        if planned.parent is None:
            # checked first, so that a failure leaves no empty repository behind
            self._check()
            planned = self._planned_in_new_repository()
        if not planned.changes:
            return planned, str(planned.parent)
        self._check()
        # a tag that marks something else would be in the way only after the commit
        self._is_tagged(planned)
        self.sent = planned
        return planned, self._commit(planned)

    def _planned(self) -> Plan:
        return plan(self.client, self.repo_id, self.stage, self.options)

    def _check(self) -> None:
        """Check the tables once, and only if something is to be uploaded."""
        if not self.checked:
            self.verifier.folder(self.stage, self.repo_id)
            self.checked = True

    def _planned_in_new_repository(self) -> Plan:
        self.client.call(
            "cannot create the repository",
            lambda: self.client.api().create_repo(
                self.repo_id, repo_type="dataset", private=self.private, exist_ok=True
            ),
            where=self.repo_id,
        )
        planned = self._planned()
        expect(
            planned.parent is not None,
            HubPermanentError,
            "cannot read the repository",
            where=self.repo_id,
            expected="a dataset repository that this token may read and write",
            found="one that exists and does not show itself to this token",
            remedy="give the token access to it, or publish to another repository",
        )
        return planned

    def _commit(self, planned: Plan) -> str:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        # progress bars on a terminal, none in a log
        with contextlib.nullcontext() if sys.stderr.isatty() else disable_progress_bars():
            info = self.client.api().create_commit(
                self.repo_id,
                planned.operations(),
                commit_message=f"Publish {planned.version}",
                commit_description=planned.description,
                repo_type="dataset",
                parent_commit=planned.parent,
            )
        return str(info.oid)

    def _finish(self, planned: Plan, sha: str, *, committed: bool) -> tuple[bool, int]:
        """Return whether the tag is new, and how many tables were checked at the commit."""
        there = self._is_tagged(planned)
        if there and not committed:
            return False, 0
        # the tag says that the commit was found to be in order
        self.verifier.repository(self.client, self.repo_id, sha, planned.manifest, self.stage)
        return not there and self._tag(planned, sha), len(viewer.tables(planned.manifest))

    def _is_tagged(self, planned: Plan) -> bool:
        return is_tagged(self.client, self.repo_id, planned.manifest)

    def _tag(self, planned: Plan, sha: str) -> bool:
        """Mark the version, and return whether the tag is new."""
        is_new = True
        try:
            self.client.call(
                "cannot tag the version",
                lambda: self.client.api().create_tag(
                    self.repo_id, tag=planned.version, revision=sha, repo_type="dataset"
                ),
                where=self.repo_id,
            )
        except HubConflictError:
            is_new = False
        if self._is_tagged(planned):
            return is_new
        raise HubUnavailableError(
            "the tag was made and is not there",
            where=f"{self.repo_id}@{planned.version}",
            expected=f"a tag of {sha}",
            found="none",
            remedy="publish again: nothing is committed twice",
        )


def require_target(repo_id: str | None, remedy: str) -> str:
    """Return the repository to publish to.

    Raises:
        SettingsError: no repository is configured; ``remedy`` says how to do it.
    """
    if repo_id is None:
        raise SettingsError(
            "it is not said where to publish",
            where="ATLAS_HUB_TARGET",
            expected="a dataset repository of the Hub: owner/name",
            found="nothing",
            remedy=remedy,
        )
    return repo_id


def _told(error: HubError, remedy: str) -> HubError:
    """Return the same error with another remedy."""
    said = {name: getattr(error, name) for name in ("where", "expected", "found")}
    return type(error)(error.what, status=error.status, **said, remedy=remedy)
