"""Renders the dataset card: the generated part comes from the manifest, the rest stays.

Between the two markers, and under the keys of the front matter that are ours, the text is
generated; whatever else a card says was written by people and stays byte for byte. A marker counts
only alone on its line, from its first column on, and outside of fenced code: prose about the
markers, or an example of them, is somebody's text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jinja2

from atlas_assets.errors import ArtifactError
from atlas_assets.hub import front_matter, viewer
from atlas_assets.hub import manifest as manifests
from atlas_assets.hub.manifest import FileRecord, Manifest
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.columns import CONSISTENCY, DEFINITION, EPSILON
from atlas_assets.stages.report.published_claims import PAPER_MODEL
from atlas_assets.stages.setting import DEFINITIONS, REFERENCE, SWEEP

NAME = "README.md"
LICENCE = "apache-2.0"
BEGIN, END = "<!-- atlas:begin -->", "<!-- atlas:end -->"

_OF_PYTHON = ["python", "code"]
_TAGS = ["interpretability", "circuits", "sparsity", *_OF_PYTHON]
#: the columns that say which partition a row is of, by the name of the space
_AT = {SWEEP.name: (EPSILON, CONSISTENCY), DEFINITIONS.name: (DEFINITION,)}
#: a line that opens or closes fenced code, which may be in a list or a quotation
_FENCE = re.compile(r"(?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*(`{3,}(?=[^`]*$)|~{3,})(.*)", re.DOTALL)


def render(existing: str, manifest: Manifest, repo_id: str) -> str:
    """Return an existing card, or an empty one, with its generated part as the manifest has it.

    Equal arguments give equal text, and rendering twice changes nothing.

    Raises:
        ArtifactError: the front matter cannot be edited without touching what others wrote, or the
            markers do not say which part is generated.
    """
    front, body = front_matter.split(existing)
    where = f"{repo_id}: {NAME}"
    part = _generated_part(body, where, first_line=front.count("\n") + 1)
    own = _own_prompts(manifest)
    defaults = {
        # own prompts have the licence that their publisher gives them
        **({} if own else {"license": LICENCE}),
        "pretty_name": f"CSP-Atlas of {_model(manifest)}",
        "tags": _TAGS[: -len(_OF_PYTHON)] if own else _TAGS,
    }
    front = front_matter.edited(front, viewer.front_matter(manifest), defaults, where=where)
    ours = _generated(manifest, repo_id)
    if part is not None:
        return front + body[: part[0]] + ours + body[part[1] :]
    gap = "" if not body or body.endswith("\n\n") else "\n" if body.endswith("\n") else "\n\n"
    return f"{front}{body}{gap}{ours}\n"


def _generated_part(body: str, where: str, first_line: int) -> tuple[int, int] | None:
    """Return where the generated part begins and ends, markers included; ``None`` without markers.

    Markers that are not one pair are refused, and so is fenced code that does not end in a card
    without markers, as markers added after it would count as code.
    """
    found: list[tuple[str, int]] = []
    told: list[str] = []
    at, fence, opened = 0, "", 0
    for number, line in enumerate(re.split(r"(?<=\n)", body), start=first_line):
        marker, fenced = line.rstrip(" \t\r\n"), _FENCE.match(line)
        if fence:
            if fenced and fenced[1].startswith(fence) and not fenced[2].strip():
                fence = ""
        elif fenced:
            fence, opened = fenced[1], number
        elif marker in (BEGIN, END):
            found.append((marker, at))
            told.append(f"{marker} in line {number}")
        at += len(line)
    if [marker for marker, _ in found] == [BEGIN, END]:
        return found[0][1], found[1][1] + len(END)
    if fence:
        told.append(f"fenced code that begins in line {opened} and does not end")
    if not told:
        return None
    raise ArtifactError(
        "it is not clear which part of the card is generated; nothing was written",
        where=where,
        expected=f"one line {BEGIN} and after it one line {END}, or neither of them",
        found="; ".join(told),
        remedy="correct README.md on the Hub and publish again: remove the marker too many, put "
        "back the one that is missing, or end the fenced code; without any marker, the generated "
        "part is added at the end, and an older copy of it is for you to remove",
    )


def _generated(manifest: Manifest, repo_id: str) -> str:
    ours = [file for file in manifest.files if file.made_from is None]
    verdicts = Counter(claim.verdict for claim in manifest.claims)
    text = _template().render(
        begin=BEGIN,
        end=END,
        repo_id=repo_id,
        manifest=manifest,
        manifest_name=manifests.NAME,
        model=_model(manifest),
        own=_own_prompts(manifest),
        tables=_tables(manifest),
        default=viewer.default_of(manifest),
        example=_example(manifest),
        files=ours,
        stages=_stages(ours, own=_own_prompts(manifest) is not None),
        layouts=_layouts(ours),
        paper_model=PAPER_MODEL,
        tally="; ".join(f"{verdict}: {n}" for verdict, n in sorted(verdicts.items())),
        libraries=_libraries(ours),
    )
    return text.strip()


def _model(manifest: Manifest) -> str:
    return dict(manifest.facts).get("model", "an unknown model")


def _own_prompts(manifest: Manifest) -> str | None:
    """The name of the file of own prompts that the atlas is of; ``None`` for the paper's."""
    records = (file.provenance for file in manifest.files if file.provenance)
    grids = (record.lineage.grid for record in records if record.lineage)
    return next((grid.stimuli for grid in grids if grid and grid.stimuli), None)


def _tables(manifest: Manifest) -> list[dict[str, Any]]:
    found, own = [], _own_prompts(manifest) is not None
    for config, files in viewer.tables(manifest).items():
        artifact = ARTIFACTS.get(config)
        if artifact is None or artifact.schema is None:
            continue
        columns = files[0][1].columns
        at = _AT[artifact.partitions.name] if artifact.partitions else ()
        present = [column.name for column in columns[len(at) :]]
        schema = artifact.schema.of(present)
        declared = schema.declared(present)
        meaning = {column.name: column.description for column in (*at, *declared)}
        table = {
            "name": config,
            "rows": sum(table.rows for _, table in files),
            "description": artifact.described(own),
            "columns": [(c.name, c.dtype, meaning.get(c.name, "")) for c in columns],
            "key": (*(column.name for column in at), *schema.key),
            "rules": [rule.statement for rule in schema.rules],
        }
        found.append(table)
    return found


def _stages(files: Sequence[FileRecord], *, own: bool) -> dict[str, list[dict[str, Any]]]:
    """Title of a stage of the pipeline → its files, those of one artifact together."""
    stages: dict[str, list[dict[str, Any]]] = {}
    for key, artifact in ARTIFACTS.items():
        mine = [file for file in files if file.asset == key]
        name = _file_name(artifact)
        if len(mine) > 1 and not artifact.partitioned:
            endings = sorted(file.path.rpartition(".")[2] for file in mine)
            name = f"{name.rpartition('.')[0]}.{{{','.join(endings)}}}"
        if mine:
            _, number, stage = artifact.group.split("_", 2)
            row = {"name": name, "count": len(mine), "description": artifact.described(own)}
            row["size"] = _size(sum(file.size for file in mine))
            title = f"Stage {number}: {stage.replace('_', ' ')}"
            stages.setdefault(title, []).append(row)
    return stages


def _layouts(files: Sequence[FileRecord]) -> dict[str, tuple[str, ...]]:
    """File name → layout, one per artifact: files of other settings are laid out alike."""
    first: dict[str, FileRecord] = {}
    for file in files:
        if file.layout:
            first.setdefault(file.asset, file)
    return {_file_name(ARTIFACTS[key]): first[key].layout for key in ARTIFACTS if key in first}


def _file_name(artifact: Artifact) -> str:
    return artifact.filename.replace("{tag}", "eps{ε}_cons{C}")


def _example(manifest: Manifest) -> str | None:
    """A file of universal masks: at the reference setting, or else one that is there."""
    names = [ARTIFACTS["object_masks"].file_name(REFERENCE)]
    names += [file.path for file in manifest.files if file.asset == "object_masks"]
    names += [ARTIFACTS["universal_masks"].file_name()]
    return next((name for name in names if manifest.file(name) is not None), None)


def _libraries(files: Sequence[FileRecord]) -> list[str]:
    found: dict[str, set[str]] = {}
    for file in files:
        versions: Mapping[str, str] = file.provenance.versions if file.provenance else {}
        for library, version in versions.items():
            found.setdefault(library, set()).add(version)
    return [f"{library} {' and '.join(sorted(found[library]))}" for library in sorted(found)]


def _size(n_bytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:.1f} {unit}"
    return f"{n_bytes} B"


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("atlas_assets", "hub"),
        # Markdown, not HTML: `cell` and `code` escape what Markdown would take for its own
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({"cell": _cell, "code": _code, "line": _line})
    return environment.get_template("card.md.j2")


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
