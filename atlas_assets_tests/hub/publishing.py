"""Small atlases to publish, and what stands in for the check that tables load."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from atlas_assets.atlas.open import open_with_model
from atlas_assets.hub.manifest import Manifest
from atlas_assets.hub.plan import Options
from atlas_assets.hub.publish import Publication, Published, publish
from atlas_assets.hub.staging import Stage
from atlas_assets.hub.verify import DatasetsVerifier
from atlas_assets.hub_client.client import HubClient
from atlas_assets.models.identity import ModelIdentity
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.setting import REFERENCE
from atlas_assets.storage.store import AtlasStore
from atlas_assets_tests.hub.local_hub import LocalHub
from atlas_assets_tests.soundness import sound_atlas

REPO = "someone/atlas"
FRONT = "---\nlicense: mit\n---\n"
#: a few files of every kind: large file storage or not, shown in the viewer or not
FEW = frozenset(
    {
        ("object_prompts", None),
        ("checker_masks", REFERENCE),
        ("target_checker", REFERENCE),
        ("summary", None),
        ("modularity_scores", None),
    }
)
HAND_WRITTEN = "# Our atlas\n\nWritten by hand; *please keep*.\n"


@dataclass
class Trusting(DatasetsVerifier):
    """A verifier that lets everything pass, for tests that are about something else.

    Attributes:
        between: is called once the head has been read, before anything is uploaded.
        asked: what it was asked about.
    """

    between: Callable[[Stage], None] = lambda _: None
    asked: list[str] = field(default_factory=list)

    def folder(self, stage: Stage, *_: object) -> None:
        self.asked.append("folder")
        self.between(stage)

    def repository(self, _client: HubClient, _repo_id: str, sha: str, *_: object) -> None:
        self.asked.append(sha)


@dataclass
class Publisher:
    """A staged atlas, and a Hub to publish it to."""

    hub: LocalHub
    stage: Stage

    def publish(
        self,
        stage: Stage | None = None,
        verifier: DatasetsVerifier | None = None,
        client: HubClient | None = None,
        **options: Any,
    ) -> Published:
        return Publication(
            stage or self.stage,
            REPO,
            client or self.hub.client(),
            Options(**options),
            verifier or Trusting(),
        ).run()

    @property
    def tags(self) -> dict[str, str]:
        return self.hub.repos["dataset", REPO].tags

    @property
    def head(self) -> str:
        return self.hub.head(REPO)

    def commits(self) -> int:
        """How many there are, without the one that made the repository."""
        return len(self.hub.commits(REPO)) - 1

    def manifest(self) -> Manifest:
        return Manifest.from_bytes(self.hub.files(REPO)["atlas.json"], where="the Hub")

    def card(self) -> str:
        return self.hub.files(REPO)["README.md"].decode()

    def is_whole(self) -> bool:
        """Whether the head holds everything that is staged, as it is, and its tag is there."""
        files, manifest = self.hub.files(REPO), self.stage.manifest
        same = all(files[path] == self.stage.file(path).read_bytes() for path in manifest.paths)
        return same and files["atlas.json"] == manifest.to_bytes() and manifest.version in self.tags


def of_another_model(manifest: Manifest) -> Manifest:
    """The manifest as if its files were made with other weights."""
    other = ModelIdentity(model_id="other", weights_sha256="b" * 64)
    files = []
    for file in manifest.files:
        said = file.provenance
        if said is not None and said.lineage is not None:
            lineage = said.lineage.model_copy(update={"model": other})
            said = said.model_copy(update={"lineage": lineage})
        files.append(file.model_copy(update={"provenance": said}))
    return manifest.model_copy(update={"files": tuple(files)})


@dataclass
class Atlas:
    """A sound atlas of one's own, to be changed and published."""

    store: AtlasStore
    settings: AtlasSettings

    @classmethod
    def copy_of(cls, sound: Path, folder: Path) -> Atlas:
        settings = sound_atlas.settings_in(shutil.copytree(sound, folder))
        return cls(open_with_model(settings), settings)

    def publish(
        self, client: HubClient, verifier: DatasetsVerifier | None = None, **options: Any
    ) -> Published:
        verifier = verifier or Trusting()
        return publish(self.store, self.settings, REPO, client, Options(**options), verifier)

    def rename_a_prompt(self) -> None:
        """Another content of the token-checker prompts; their masks come from the one before."""
        prompts = self.store.read("token_checker_prompts")
        first = pl.int_range(pl.len()) == 0
        text = pl.when(first).then(pl.col("prompt_text") + "  ").otherwise(pl.col("prompt_text"))
        self.store.write("token_checker_prompts", prompts.with_columns(prompt_text=text))
