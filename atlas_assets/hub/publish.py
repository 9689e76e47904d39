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

from atlas_assets.checks.subject import Cell
from atlas_assets.errors import (
    HubConflictError,
    HubPermanentError,
    HubUnavailableError,
    SettingsError,
)
from atlas_assets.formats.store import AtlasStore
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.client import HubClient
from atlas_assets.hub.head import Head, digests_of, read_head, read_manifest, same, tagged_manifest
from atlas_assets.hub.manifest import Manifest
from atlas_assets.hub.plan import Plan, plan
from atlas_assets.hub.repository import RemoteFile
from atlas_assets.hub.staging import LeftOut, Stage, staged
from atlas_assets.hub.verify import DatasetsVerifier, Verifier
from atlas_assets.settings import AtlasSettings

#: how often others may get in before us
_CONFLICTS = 30


@dataclass(frozen=True)
class Published:
    """What was published, or would be.

    Attributes:
        plan: the commit; without changes where there was nothing to commit.
        sha: of the commit that holds the atlas; ``None`` for a dry run.
        committed: whether this publication made that commit.
        tagged: whether it made the tag.
        left_out: what is not published, and why.
        url: of the commit.
    """

    plan: Plan
    sha: str | None
    committed: bool
    tagged: bool
    left_out: tuple[LeftOut, ...]
    url: str | None


@dataclass
class _Publication:
    """One publication under way."""

    client: HubClient
    stage: Stage
    repo_id: str
    private: bool
    replace: bool
    verifier: Verifier
    checked: bool = field(default=False)

    def land(self) -> tuple[Plan, str, bool]:
        """The plan, the sha that holds it, and whether a commit was made for it."""
        sent: Plan | None = None

        def attempt() -> tuple[Plan, str]:
            nonlocal sent
            head = read_head(self.client, self.repo_id) or self._created()
            planned = plan(
                self.stage,
                self.repo_id,
                head,
                self._earlier(head),
                replace=self.replace,
            )
            if not planned.changes:
                return planned, head.sha
            self._check()
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

    def tag(self, planned: Plan, sha: str) -> bool:
        """Marks the version; whether the tag is new.

        Raises:
            HubPermanentError: the tag marks something else, or a table does not load.
        """
        if self._is_tagged(planned):
            return False
        # the tag says that the commit was found to be in order
        self.verifier.repository(self.client, self.repo_id, sha, planned.manifest, self.stage)

        def create() -> None:
            self.client.api().create_tag(
                self.repo_id, tag=planned.version, revision=sha, repo_type="dataset"
            )

        try:
            self.client.call("cannot tag the version", create, where=self.repo_id)
        except HubConflictError:
            if not self._is_tagged(planned):
                raise
            return False
        if not self._is_tagged(planned):
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

    def _earlier(self, head: Head) -> Manifest | None:
        return _earlier(self.client, self.repo_id, head, self.stage)

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

    def _is_tagged(self, planned: Plan) -> bool:
        found = tagged_manifest(self.client, self.repo_id, planned.version)
        if found is None:
            return False
        record = _manifest_digests(planned.manifest)
        if same(found, *record):
            return True
        raise HubPermanentError(
            "the tag of this version marks another one",
            where=f"{self.repo_id}@{planned.version}",
            expected=f"{manifests.NAME} of SHA-256 {record[0]}",
            found=f"{found.sha256 or found.blob_id}",
            remedy="delete the tag on the Hub, or rename it, and publish again; it is never moved",
        )


def publish(
    store: AtlasStore,
    settings: AtlasSettings,
    repo_id: str,
    client: HubClient,
    *,
    cells: Collection[Cell] | None = None,
    replace: bool = False,
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
        verifier: says whether the tables load; by default asks ``datasets``.

    Raises:
        SettingsError: there is no token.
        ArtifactError: nothing is fit to be published, a table does not load, ``datasets`` is not
            installed, or the card cannot be edited; ProvenanceError: files of another atlas would
            stay beside it.
        HubPermanentError: the Hub refuses, or the version's tag marks something else.
        HubUnavailableError: the Hub does not answer; publishing again goes on.
    """
    verifier = verifier or DatasetsVerifier()
    verifier.require()
    _require_token(client)
    with staged(store, settings, cells) as stage:
        private = settings.hub_private
        return publish_stage(
            stage, repo_id, client, verifier=verifier, private=private, replace=replace
        )


def publish_stage(
    stage: Stage,
    repo_id: str,
    client: HubClient,
    *,
    verifier: Verifier,
    private: bool = False,
    replace: bool = False,
) -> Published:
    """Publishes what is staged; see `publish`.

    Args:
        stage: what is published.
        repo_id: ``owner/name``.
        client: the Hub.
        verifier: says whether the tables load.
        private: whether a repository that is not there is made private.
        replace: remove what an earlier publication left there and this one has not.

    Raises:
        ArtifactError, HubPermanentError, HubUnavailableError: as for `publish`.
    """
    under_way = _Publication(client, stage, repo_id, private, replace, verifier)
    planned, sha, committed = under_way.land()
    tagged = under_way.tag(planned, sha)
    return Published(planned, sha, committed, tagged, stage.left_out, _url(client, repo_id, sha))


def dry_run(
    store: AtlasStore,
    settings: AtlasSettings,
    repo_id: str,
    client: HubClient,
    *,
    cells: Collection[Cell] | None = None,
    replace: bool = False,
) -> Published:
    """What `publish` would do now. Reads the repository and writes nothing; needs no token.

    Raises:
        ArtifactError, HubPermanentError, HubUnavailableError: as for `publish`.
    """
    with staged(store, settings, cells) as stage:
        head = read_head(client, repo_id)
        earlier = _earlier(client, repo_id, head, stage) if head else None
        planned = plan(stage, repo_id, head, earlier, replace=replace)
        left_out = stage.left_out
    return Published(planned, None, False, False, left_out, None)


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


def _url(client: HubClient, repo_id: str, sha: str) -> str:
    from huggingface_hub import constants

    return f"{client.endpoint or constants.ENDPOINT}/datasets/{repo_id}/commit/{sha}"
