"""``atlas where``: the folder of the atlas in force and the files in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click

from atlas_assets.cli.command import FINDING, OK, Answer, AnsweringCommand
from atlas_assets.cli.text import size


@click.command(
    cls=AnsweringCommand, exit_codes={OK: "files are there", FINDING: "no file is there yet"}
)
def where() -> Answer:
    """Say where the atlas in force lies and which files are there."""
    from atlas_assets.atlas.series import checkpoints, passed_over
    from atlas_assets.atlas.versions import folder_in_force
    from atlas_assets.files.locations import file_size
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.storage import source_record
    from atlas_assets.storage.folder import file_names, only_read

    settings = AtlasSettings.from_env()
    series = checkpoints(settings)
    folder = folder_in_force(settings)
    with only_read(folder):
        sizes = {name: file_size(folder / name) for name in file_names(folder)}
        sources = {name: source_record.source_of(folder / name) for name in sizes}
    files = [
        {
            "name": name,
            "size_bytes": sizes[name],
            "source": source and source.model_dump(mode="json"),
        }
        for name, source in sources.items()
    ]

    if series:
        folders = {one.label: str(folder_in_force(one.settings)) for one in series}
        others = passed_over(settings)
        of_series = {"folder": str(folder), "checkpoints": folders, "passed_over": [*others]}
        begun = files or any(file_names(folder_in_force(one.settings)) for one in series)
        state = OK if begun else FINDING
        return Answer(
            "atlas.where/1",
            of_series,
            lambda: _text_of_series(str(folder), folders, others, state),
            state,
        )

    def text() -> Iterator[str]:
        yield f"atlas: {folder}"
        for name, n_bytes in sizes.items():
            source = f"  (fetched from {sources[name]})" if sources[name] else ""
            yield f"  {size(n_bytes):>8}  {name}{source}"
        if files:
            yield "look at it: `atlas open` (the explorer), `atlas ui` (Dagster)"
        else:
            yield f"  no files yet: run `atlas {'fetch' if settings.hub_source else 'build'}`"

    document = {"folder": str(folder), "files": files}
    return Answer("atlas.where/1", document, text, OK if files else FINDING)


def _text_of_series(
    folder: str, folders: Mapping[str, str], passed_over: Sequence[str], state: int
) -> Iterator[str]:
    yield f"over {len(folders)} checkpoints: {folder}"
    for label, of_one in folders.items():
        yield f"  {label}: {of_one}"
    if passed_over:
        yield f"passed over, without a config.json: {', '.join(passed_over)}"
    if state == OK:
        yield "compare them: `atlas stability`, with the same settings and without a folder"
    else:
        yield "no files yet: run `atlas build`"
