"""Which format keeps an artifact: from its declared content and the ending of its file's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.artifact import Artifact, Layout
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import STANDALONE, Setting
from atlas_assets.storage.activations import ActivationsFile
from atlas_assets.storage.codec import Codec
from atlas_assets.storage.documents import HtmlFile, MarkdownFile
from atlas_assets.storage.figures import FigureFile
from atlas_assets.storage.jaccard import JaccardMatricesFile
from atlas_assets.storage.masks import CheckerMasksFile, ObjectMasksFile, UniversalMasksFile
from atlas_assets.storage.tables import CsvTable, ParquetTable


def codec_of(artifact: Artifact) -> Codec[Any]:
    """Return the format that reads and writes the files of an artifact."""
    content = artifact.content
    if isinstance(content, Layout):
        return _LAYOUTS[content](artifact)
    if artifact.kind == "parquet":
        return ParquetTable(content)
    return CsvTable(content, index=content.unnamed_in_csv)


def codec_named(key: str) -> Codec[Any]:
    """Return the format of the catalogue's entry ``key``, as `artifact_named` finds it."""
    return codec_of(artifact_named(key))


def artifact_named(key: str) -> Artifact:
    """Return the catalogue's entry ``key``; an unknown name is an ArtifactError."""
    if key not in ARTIFACTS:
        raise ArtifactError(
            "the atlas has no such artifact",
            where=key,
            expected=" or ".join(ARTIFACTS),
            found=repr(key),
            remedy="correct the name, or add the artifact to atlas_assets.stages.catalog",
        )
    return ARTIFACTS[key]


def _setting(artifact: Artifact) -> Setting:
    return artifact.setting or STANDALONE


def _prompts_of(artifact: Artifact) -> str:
    (prompts,) = artifact.inputs
    return ARTIFACTS[prompts].filename


_LAYOUTS: Mapping[Layout, Callable[[Artifact], Codec[Any]]] = {
    Layout.PAIR_ACTIVATIONS: lambda artifact: ActivationsFile("pairs", _prompts_of(artifact)),
    Layout.CONCEPT_ACTIVATIONS: lambda artifact: ActivationsFile("concepts", _prompts_of(artifact)),
    Layout.OBJECT_MASKS: lambda _: ObjectMasksFile(),
    Layout.CHECKER_MASKS: lambda _: CheckerMasksFile(),
    Layout.UNIVERSAL_MASKS: lambda artifact: UniversalMasksFile(_setting(artifact)),
    Layout.JACCARD_MATRICES: lambda artifact: JaccardMatricesFile(_setting(artifact)),
    Layout.FIGURE: lambda _: FigureFile(),
    Layout.TEXT: lambda artifact: HtmlFile() if artifact.kind == "html" else MarkdownFile(),
}
