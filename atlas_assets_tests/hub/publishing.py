"""Small atlases to publish, and what stands in for the check that tables load."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from atlas_assets.hub.manifest import Manifest
from atlas_assets.hub.publish import Published, publish_stage
from atlas_assets.hub.staging import Stage, staged
from atlas_assets.hub_client.client import HubClient
from atlas_assets.soundness.subject import Cell
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
class Trusting:
    """A verifier that lets everything pass, for tests that are about something else.

    Attributes:
        between: is called once the head has been read, before anything is uploaded.
        asked: what it was asked about.
    """

    between: Callable[[Stage], None] = lambda _: None
    asked: list[str] = field(default_factory=list)

    def require(self) -> None:
        self.asked.append("require")

    def folder(self, stage: Stage, repo_id: str) -> None:
        del repo_id
        self.asked.append("folder")
        self.between(stage)

    def repository(
        self, client: HubClient, repo_id: str, sha: str, manifest: Manifest, stage: Stage
    ) -> None:
        del client, repo_id, manifest, stage
        self.asked.append(sha)


@dataclass
class Publisher:
    """A staged atlas, and a Hub to publish it to.

    Attributes:
        hub: the Hub.
        stage: what is published.
    """

    hub: LocalHub
    stage: Stage

    def publish(
        self, stage: Stage | None = None, verifier: Trusting | None = None, **options: Any
    ) -> Published:
        client = options.pop("client", None) or self.hub.client()
        return publish_stage(
            stage or self.stage, REPO, client, verifier=verifier or Trusting(), **options
        )

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
        tags = self.hub.repos["dataset", REPO].tags
        return same and files["atlas.json"] == manifest.to_bytes() and manifest.version in tags


@contextmanager
def small_stage(
    data_dir: Path, *, changed: bool = False, cells: Collection[Cell] | None = None
) -> Iterator[Stage]:
    """A sound atlas, staged; another content in one of its tables where it is ``changed``."""
    store = sound_atlas.make(data_dir)
    if changed:
        rename_a_prompt(store)
    with staged(store, sound_atlas.settings_in(data_dir), cells) as stage:
        yield stage


def rename_a_prompt(store: AtlasStore) -> None:
    """Another content of the token-checker prompts; their masks were made from the ones before."""
    prompts = store.read("token_checker_prompts")
    first = pl.int_range(pl.len()) == 0
    text = pl.when(first).then(pl.col("prompt_text") + "  ").otherwise(pl.col("prompt_text"))
    store.write("token_checker_prompts", prompts.with_columns(prompt_text=text))


def temporary_folders() -> set[str]:
    """What publishing leaves behind."""
    return {path.name for path in Path(tempfile.gettempdir()).glob("atlas-*")}
