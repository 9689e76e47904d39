"""Publishing an atlas: one commit with what differs, or none, and a tag for its version.

The repository's head is read, compared and committed on; if somebody else committed in between,
the Hub refuses and everything is looked at anew. Whenever it is interrupted, the repository is at
the old commit or at the new one, and publishing again goes on from there: what lies there already
is not committed twice.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from atlas_assets.errors import (
    HubConflictError,
    HubError,
    HubPermanentError,
    HubUnavailableError,
    SettingsError,
)
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.head import Head, digests_of, is_tagged, read_head, read_manifest, same
from atlas_assets.hub.manifest import Manifest
from atlas_assets.hub.plan import Plan, plan
from atlas_assets.hub.staging import LeftOut, NotCompared, Stage, staged
from atlas_assets.hub.verify import DatasetsVerifier, Verifier
from atlas_assets.hub_client.client import HubClient
from atlas_assets.hub_client.repository import RemoteFile
from atlas_assets.settings import AtlasSettings
from atlas_assets.soundness.subject import Cell
from atlas_assets.storage.store import AtlasStore

#: how often others may get in before us
_CONFLICTS = 30
_UNKNOWN = (
    "whether a commit landed before that is not known: publishing again finds out, and commits "
    "nothing twice"
)


@dataclass(frozen=True)
class Published:
    """What was published, or would be.

    Attributes:
        plan: the commit; without changes where there was nothing to commit.
        sha: of the commit that holds the atlas; ``None`` for a dry run.
        committed: whether this publication made that commit.
        tagged: whether it made the tag.
        would_tag: of a dry run: whether the version's tag is still to be made.
        loaded: how many tables were loaded at that commit to check them.
        left_out: what is not published, and why.
        url: of the commit.
        not_compared: checks of published files that found nothing to compare them with.
    """

    plan: Plan
    sha: str | None
    committed: bool
    tagged: bool
    left_out: tuple[LeftOut, ...]
    url: str | None
    would_tag: bool = False
    loaded: int = 0
    not_compared: tuple[NotCompared, ...] = ()


@dataclass
class _Publication:
    """One publication under way."""

    client: HubClient
    stage: Stage
    repo_id: str
    private: bool
    replace: bool
    overwrite: bool
    verifier: Verifier
    checked: bool = field(default=False)

    def land(self) -> tuple[Plan, str, bool]:
        """The plan, the sha that holds it, and whether a commit was made for it.

        Raises:
            HubError: nothing was committed, or the error says that this is not known.
        """
        sent: Plan | None = None
        lost = False

        def attempt() -> tuple[Plan, str]:
            nonlocal sent, lost
            lost = sent is not None
            head = read_head(self.client, self.repo_id)
            if head is None:
                # what cannot be published makes no empty repository
                self._check()
                head = self._created()
            planned = plan(
                self.stage,
                self.repo_id,
                head,
                _earlier(self.client, self.repo_id, head, self.stage),
                replace=self.replace,
                overwrite=self.overwrite,
            )
            if not planned.changes:
                return planned, head.sha
            self._check()
            # a tag that marks something else would be in the way only after the commit
            is_tagged(self.client, self.repo_id, planned.manifest)
            sent = planned
            return planned, self._commit(planned)

        for conflicts in range(_CONFLICTS):
            try:
                planned, sha = self.client.call(
                    "cannot publish the atlas", attempt, where=self.repo_id
                )
            except HubConflictError:
                sent = None
                time.sleep(self.client.backoff * conflicts / 20)
            except HubError as error:
                if lost or (sent is not None and isinstance(error, HubUnavailableError)):
                    raise _told(error, f"{error.remedy}; {_UNKNOWN}") from None
                raise
            else:
                # an attempt whose answer was lost did commit, and the next one finds it there
                return sent or planned, sha, sent is not None
        raise HubUnavailableError(
            "cannot publish the atlas",
            where=self.repo_id,
            expected="a moment in which nobody else commits",
            found=f"{_CONFLICTS} commits of others, each just before ours",
            remedy="publish again when the other writers have finished",
        )

    def finish(self, planned: Plan, sha: str, *, committed: bool) -> tuple[bool, int]:
        """Whether the tag of the version is new, and how many tables were checked at the commit.

        Raises:
            HubPermanentError: the tag marks something else, or a table does not load.
            HubUnavailableError: the Hub does not answer.
        """
        try:
            there = is_tagged(self.client, self.repo_id, planned.manifest)
            if there and not committed:
                return False, 0
            # the tag says that the commit was found to be in order
            self.verifier.repository(self.client, self.repo_id, sha, planned.manifest, self.stage)
            return not there and self._tag(planned, sha), planned.n_tables
        except HubError as error:
            landed = f"the commit {sha} {'landed' if committed else 'is there'}"
            left = f"its tables' check and its tag {planned.version}, if not there, are left to do"
            raise _told(error, f"{landed}; {left}: {error.remedy}") from None

    def _tag(self, planned: Plan, sha: str) -> bool:
        """Marks the version; whether the tag is new."""

        def create() -> None:
            self.client.api().create_tag(
                self.repo_id, tag=planned.version, revision=sha, repo_type="dataset"
            )

        try:
            self.client.call("cannot tag the version", create, where=self.repo_id)
        except HubConflictError:
            if not is_tagged(self.client, self.repo_id, planned.manifest):
                raise
            return False
        if not is_tagged(self.client, self.repo_id, planned.manifest):
            raise HubUnavailableError(
                "the tag was made and is not there",
                where=f"{self.repo_id}@{planned.version}",
                expected=f"a tag of {sha}",
                found="none",
                remedy="publish again: nothing is committed twice",
            )
        return True

    def _created(self) -> Head:
        """The head of the repository, made just now."""

        def create() -> None:
            self.client.api().create_repo(
                self.repo_id, repo_type="dataset", private=self.private, exist_ok=True
            )

        self.client.call("cannot create the repository", create, where=self.repo_id)
        head = read_head(self.client, self.repo_id)
        if head is None:
            raise HubPermanentError(
                "cannot read the repository",
                where=self.repo_id,
                expected="a dataset repository that this token may read and write",
                found="one that exists and does not show itself to this token",
                remedy="give the token access to it, or publish to another repository",
            )
        return head

    def _check(self) -> None:
        """Once, and only if something is to be uploaded."""
        if not self.checked:
            self.verifier.folder(self.stage, self.repo_id)
            self.checked = True

    def _commit(self, planned: Plan) -> str:
        with _bars_for_people():
            info = self.client.api().create_commit(
                self.repo_id,
                planned.operations(),
                commit_message=planned.message,
                commit_description=planned.description,
                repo_type="dataset",
                parent_commit=planned.parent,
            )
        return str(info.oid)


def publish(
    store: AtlasStore,
    settings: AtlasSettings,
    repo_id: str,
    client: HubClient,
    *,
    cells: Collection[Cell] | None = None,
    replace: bool = False,
    overwrite: bool = False,
    verifier: Verifier | None = None,
) -> Published:
    """Publishes what is sound of an atlas to a dataset repository, which is made if need be.

    An unchanged atlas costs three requests and makes no commit.

    Args:
        store: of the atlas.
        settings: in force.
        repo_id: ``owner/name``.
        client: the Hub.
        cells: only these files; the others are left as they are in the repository.
        replace: remove what an earlier publication left there and this one has not.
        overwrite: publish although files of an atlas are there that no publication left: those at
            the paths of this one are replaced, the others stay.
        verifier: says whether the tables load; by default asks ``datasets``.

    Raises:
        SettingsError: there is no token.
        ArtifactError: nothing is fit to be published, a table does not load, ``datasets`` is not
            installed, or the card cannot be edited; ProvenanceError: files of another atlas would
            stay beside it, or files are there that no publication left.
        HubPermanentError: the Hub refuses, or the version's tag marks something else.
        HubUnavailableError: the Hub does not answer; publishing again goes on.
    """
    verifier = verifier or DatasetsVerifier()
    verifier.require()
    _require_token(client)
    with staged(store, settings, cells) as stage:
        private = settings.hub_private
        return publish_stage(
            stage,
            repo_id,
            client,
            verifier=verifier,
            private=private,
            replace=replace,
            overwrite=overwrite,
        )


def publish_stage(
    stage: Stage,
    repo_id: str,
    client: HubClient,
    *,
    verifier: Verifier,
    private: bool = False,
    replace: bool = False,
    overwrite: bool = False,
) -> Published:
    """Publishes what is staged; see `publish`.

    Args:
        stage: what is published.
        repo_id: ``owner/name``.
        client: the Hub.
        verifier: says whether the tables load.
        private: whether a repository that is not there is made private.
        replace: remove what an earlier publication left there and this one has not.
        overwrite: publish although files of an atlas are there that no publication left.

    Raises:
        ArtifactError, HubPermanentError, HubUnavailableError: as for `publish`; one that comes
            after the commit names it.
    """
    under_way = _Publication(client, stage, repo_id, private, replace, overwrite, verifier)
    planned, sha, committed = under_way.land()
    tagged, loaded = under_way.finish(planned, sha, committed=committed)
    url = _url(client, repo_id, sha)
    return Published(
        planned,
        sha,
        committed,
        tagged,
        stage.left_out,
        url,
        loaded=loaded,
        not_compared=stage.not_compared,
    )


def dry_run(
    store: AtlasStore,
    settings: AtlasSettings,
    repo_id: str,
    client: HubClient,
    *,
    cells: Collection[Cell] | None = None,
    replace: bool = False,
    overwrite: bool = False,
) -> Published:
    """What `publish` would do now. Reads the repository and writes nothing; needs no token.

    Raises:
        ArtifactError, HubPermanentError, HubUnavailableError: as for `publish`.
    """
    with staged(store, settings, cells) as stage:
        head = read_head(client, repo_id)
        earlier = _earlier(client, repo_id, head, stage) if head else None
        planned = plan(stage, repo_id, head, earlier, replace=replace, overwrite=overwrite)
        would_tag = head is None or not is_tagged(client, repo_id, planned.manifest)
        left_out, silent = stage.left_out, stage.not_compared
    return Published(planned, None, False, False, left_out, None, would_tag, not_compared=silent)


def _require_token(client: HubClient) -> None:
    if not client.has_token():
        raise SettingsError(
            "there is no token to publish with",
            where="HF_TOKEN",
            expected="a token of the Hub with write access",
            found="none",
            remedy="`hf auth login`, or set HF_TOKEN",
        )


@contextlib.contextmanager
def _bars_for_people() -> Iterator[None]:
    """Progress bars on a terminal; none in a log."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _earlier(client: HubClient, repo_id: str, head: Head, stage: Stage) -> Manifest | None:
    """The manifest at the head, downloaded only where it is not the staged one."""
    remote: RemoteFile | None = head.files.get(manifests.NAME)
    if same(remote, *_manifest_digests(stage.manifest)):
        return stage.manifest
    return read_manifest(client, repo_id, head)


def _manifest_digests(manifest: Manifest) -> tuple[str, str]:
    return digests_of(manifest.to_bytes())


def _told(error: HubError, remedy: str) -> HubError:
    """The same error with more to say about what to do."""
    return type(error)(
        error.what,
        status=error.status,
        where=error.where,
        expected=error.expected,
        found=error.found,
        remedy=remedy,
    )


def _url(client: HubClient, repo_id: str, sha: str) -> str:
    from huggingface_hub import constants

    return f"{client.endpoint or constants.ENDPOINT}/datasets/{repo_id}/commit/{sha}"
