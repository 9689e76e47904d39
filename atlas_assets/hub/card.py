"""The dataset card: rendered from the manifest into the card that is at the Hub's head.

Between the markers (`atlas_assets.hub.card_markers`), and under the keys of the front matter that
are ours, the text is generated; whatever else a card says was written by people and stays byte for
byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from typing import Any

import jinja2

from atlas_assets.hub import manifest as manifests
from atlas_assets.hub import viewer
from atlas_assets.hub.card_markers import BEGIN, END, generated_part
from atlas_assets.hub.front_matter import Document, with_keys
from atlas_assets.hub.manifest import FileRecord, Manifest, TableRecord
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.report.published_claims import PAPER_MODEL
from atlas_assets.stages.setting import REFERENCE

NAME = "README.md"
LICENCE = "apache-2.0"

_TEMPLATE = "card.md.j2"
_DIGITS = 16
_TAGS = ["interpretability", "circuits", "sparsity", "python", "code"]


@dataclass(frozen=True)
class _Group:
    """Files of one artifact in the list of files."""

    name: str
    count: int
    size: str
    description: str


@dataclass(frozen=True)
class _Stage:
    title: str
    groups: tuple[_Group, ...]


@dataclass(frozen=True)
class _Column:
    name: str
    dtype: str
    description: str


@dataclass(frozen=True)
class _Table:
    """A configuration, with its columns described."""

    name: str
    rows: int
    description: str
    columns: tuple[_Column, ...]
    key: tuple[str, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True)
class _Layout:
    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Example:
    """A mask file to open, and the group in it to read."""

    path: str
    group: str


@dataclass(frozen=True)
class _Made:
    name: str
    asset: str
    code_version: str
    content: str
    inputs: str


def render(existing: str, manifest: Manifest, repo_id: str) -> str:
    """The card with its generated part as the manifest has it.

    Args:
        existing: the card at the head; empty where there is none.
        manifest: of what the repository will hold.
        repo_id: ``owner/name``, for the examples.

    Returns:
        The text; equal arguments give equal text, and rendering twice changes nothing.

    Raises:
        ArtifactError: the front matter cannot be edited without touching what others wrote, or the
            markers do not say which part is generated.
    """
    front = viewer.front_matter(manifest)
    where = f"{repo_id}: {NAME}"
    before = Document.of(existing)
    first_line = (before.opening + before.matter + before.closing).count("\n") + 1
    part = generated_part(before.body, where=where, first_line=first_line)
    document = with_keys(
        before,
        owned={"configs": front.get("configs"), "dataset_info": front.get("dataset_info")},
        defaults={
            "license": LICENCE,
            "pretty_name": f"CSP-Atlas of {_model(manifest)}",
            "tags": _TAGS,
        },
        where=where,
    )
    ours = generated(manifest, repo_id)
    if part is not None:
        body = document.body[: part[0]] + ours + document.body[part[1] :]
    else:
        space = "" if not document.body or document.body.endswith("\n\n") else "\n"
        between = "\n" if document.body and not document.body.endswith("\n") else ""
        body = f"{document.body}{between}{space}{ours}\n"
    return Document(document.opening, document.matter, document.closing, body).text


def generated(manifest: Manifest, repo_id: str) -> str:
    """The part between the markers, markers included."""
    text = (
        _environment()
        .get_template(_TEMPLATE)
        .render(
            begin=BEGIN,
            end=END,
            repo_id=repo_id,
            version=manifest.version,
            model=_model(manifest),
            facts=manifest.facts,
            tables=_tables(manifest),
            default=viewer.default_of(manifest),
            example=_example(manifest),
            stages=_stages(manifest),
            layouts=_layouts(manifest),
            manifest_name=manifests.NAME,
            paper_model=PAPER_MODEL,
            claims=manifest.claims,
            tally=_tally(manifest),
            made=_made(manifest),
            libraries=_libraries(manifest),
        )
    )
    return text.strip()


def _model(manifest: Manifest) -> str:
    return dict(manifest.facts).get("model", "an unknown model")


def _tables(manifest: Manifest) -> list[_Table]:
    return [
        _described(ARTIFACTS[config], [table for _, table in files])
        for config, files in viewer.tables(manifest).items()
        if config in ARTIFACTS
    ]


def _described(artifact: Artifact, parts: Sequence[TableRecord]) -> _Table:
    shown = {column.name: column.dtype for column in parts[0].columns}
    described = {column.name: column.description for column in viewer.columns_of(artifact, shown)}
    schema = artifact.schema
    return _Table(
        name=artifact.key,
        rows=sum(part.rows for part in parts),
        description=artifact.description,
        columns=tuple(
            _Column(name, dtype, described.get(name, "")) for name, dtype in shown.items()
        ),
        key=viewer.key_of(artifact),
        rules=tuple(rule.statement for rule in schema.rules) if schema else (),
    )


def _stages(manifest: Manifest) -> list[_Stage]:
    """Files by stage of the pipeline, those of one artifact together, without the viewer's."""
    by_asset: dict[str, list[FileRecord]] = {}
    for file in manifest.files:
        if file.made_from is None:
            by_asset.setdefault(file.asset, []).append(file)
    present = [artifact for key, artifact in ARTIFACTS.items() if key in by_asset]
    return [
        _Stage(
            _stage_title(group),
            tuple(_group(artifact, by_asset[artifact.key]) for artifact in artifacts),
        )
        for group, artifacts in groupby(present, key=lambda artifact: artifact.group)
    ]


def _stage_title(group: str) -> str:
    """``stage_13_masks`` → ``Stage 13: masks``."""
    _, number, name = group.split("_", 2)
    return f"Stage {number}: {name.replace('_', ' ')}"


def _group(artifact: Artifact, files: Sequence[FileRecord]) -> _Group:
    name = artifact.filename.replace("{tag}", "eps{ε}_cons{C}")
    if len(files) > 1 and not artifact.partitioned:
        stem = artifact.filename.rpartition(".")[0]
        name = f"{stem}.{{{','.join(sorted(file.path.rpartition('.')[2] for file in files))}}}"
    size = _size(sum(file.size for file in files))
    return _Group(name, len(files), size, artifact.description)


def _layouts(manifest: Manifest) -> list[_Layout]:
    """One per artifact: files of other settings are laid out alike."""
    found: dict[str, _Layout] = {}
    for file in manifest.files:
        if file.layout and file.asset in ARTIFACTS and file.asset not in found:
            name = ARTIFACTS[file.asset].filename.replace("{tag}", "eps{ε}_cons{C}")
            found[file.asset] = _Layout(name, file.layout)
    return [found[key] for key in ARTIFACTS if key in found]


def _example(manifest: Manifest) -> _Example | None:
    """The universal masks at the reference setting, or else those that are there."""
    names = [ARTIFACTS["object_masks"].file_name(REFERENCE)]
    names += [file.path for file in manifest.files if file.asset == "object_masks"]
    names += [ARTIFACTS["universal_masks"].file_name()]
    for name in names:
        if manifest.file(name) is not None:
            return _Example(name, "universal_masks/layer_0")
    return None


def _tally(manifest: Manifest) -> str:
    counts = Counter(claim.verdict for claim in manifest.claims)
    told = "; ".join(f"{verdict}: {number}" for verdict, number in sorted(counts.items()))
    return f"{len(manifest.claims)} claims. {told[:1].upper()}{told[1:]}."


def _made(manifest: Manifest) -> list[_Made]:
    made = []
    for file in manifest.files:
        record = file.provenance
        if file.made_from is not None:
            continue
        if record is None:
            made.append(_Made(file.path, file.asset, "release", "", ""))
            continue
        inputs = ", ".join(sorted(record.inputs))
        digest = record.payload_sha256[:_DIGITS]
        made.append(_Made(file.path, file.asset, record.code_version, digest, inputs))
    return made


def _libraries(manifest: Manifest) -> list[str]:
    found: dict[str, set[str]] = {}
    for file in manifest.files:
        for library, version in (file.provenance.versions if file.provenance else {}).items():
            found.setdefault(library, set()).add(version)
    return [f"{library} {' and '.join(sorted(found[library]))}" for library in sorted(found)]


def _size(n_bytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} B"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        # Markdown, not HTML: `cell` and `code` escape what Markdown would take for its own
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({"cell": _cell, "code": _code, "inline": _code, "line": _line})
    return environment


def _text(name: str) -> str:
    return (resources.files("atlas_assets.hub") / name).read_text(encoding="utf-8")


def _cell(value: Any) -> str:
    """Text as a cell of a table shows it; a dash for none."""
    text = str(value)
    for mark in ("\\", "|", "*", "_", "`", "<", ">"):
        text = text.replace(mark, f"\\{mark}")
    # no link and no image, whatever else stands in brackets
    text = text.replace("](", "]\\(")
    return " ".join(text.split()) or "–"


def _line(value: Any) -> str:
    """Text as one line of fenced code, which it cannot end."""
    text = "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in str(value))
    return text.replace("```", "'''")


def _code(value: Any) -> str:
    """Text as code inside a cell."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`"
