"""``atlas stability``: what several atlases agree on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, Answer, AnsweringCommand
from atlas_assets.cli.options import as_json, named_atlas
from atlas_assets.cli.text import paragraph, table
from atlas_assets.stages.setting import Setting

if TYPE_CHECKING:
    from upath import UPath

    from atlas_assets.stages.report.claims import ClaimResult

_CLAIM = ("id", "section", "statement", "setting", "expected")


@click.command(
    cls=AnsweringCommand,
    exit_codes={UNREADABLE: "there is no atlas in a folder, or a file is damaged"},
)
@click.argument("folders", metavar="FOLDER FOLDER...", nargs=-1, type=click.Path())
@click.option("--markdown", is_flag=True, help="Print two Markdown tables.")
def stability(folders: tuple[str, ...], markdown: bool) -> Answer:
    """Say what several atlases agree on, such as those of one recipe from several seeds.

    The published claims as each atlas shows them (the same: as printed, to four decimals), and
    Spearman's ρ between the atlases: whether circuit sizes, concept fractions and the similarity
    of two circuits put the concepts into the same order. What a file is missing for is left out,
    and named. A FOLDER may also be the name of an atlas under ATLAS_DATA_DIR. Without any, the
    atlases of the checkpoints that ATLAS_MODEL names are compared; those without are named, and
    those of which files are stale, as `atlas status` says of each.
    """
    of_series = {} if folders else _of_series()
    folders = folders or tuple(of_series.pop("folders", ()))
    if len(folders) < 2:
        raise click.UsageError("name two atlases or more")
    from atlas_assets.atlas.open import open_folder
    from atlas_assets.atlas.stability import stability as compare

    paths = [named_atlas(folder) for folder in folders]
    _require_each_once(paths)
    result = compare([open_folder(path) for path in paths])
    names = _short([str(path) for path in paths])
    document = {
        "folders": [str(path) for path in paths],
        "claims": [_claim(results) for results in result.claims],
        "ranks": [
            {
                "quantity": quantity,
                **as_json(setting),
                **(asdict(found) if found else {"items": 0, "mean": None, "lowest": None}),
            }
            for quantity, setting, found in result.ranks
        ],
        "not_ranked": result.not_ranked,
        **of_series,
    }
    show = _markdown if markdown else _text
    return Answer("atlas.stability/1", document, lambda: show(document, names))


def _require_each_once(paths: Sequence[UPath]) -> None:
    places = [str(path.resolve()) for path in paths]
    for place in places:
        if places.count(place) > 1:
            raise click.UsageError(f"{place} is named twice: it would agree with itself")


def _of_series() -> dict[str, Any]:
    """The atlases of the series that the settings name, if they name one; and which lack one.

    Keys: ``folders`` with masks, ``without_masks`` (names of checkpoints), ``notice`` (a sentence,
    or None), ``stale`` (name of a checkpoint → why files of its atlas are).

    Raises MissingArtifactError where fewer than two have masks.
    """
    from atlas_assets.atlas.open import open_folder, open_with_model
    from atlas_assets.atlas.series import checkpoints, listed, other_tokenizers
    from atlas_assets.atlas.status import survey
    from atlas_assets.atlas.versions import folder_in_force
    from atlas_assets.errors import MissingArtifactError
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.storage.folder import settings_present

    settings = AtlasSettings.from_env()
    series = checkpoints(settings)
    if not series:
        return {}
    folders, records, stale = {}, {}, {}
    for one in series:
        folder = folder_in_force(one.settings)
        with suppress(MissingArtifactError):
            store = open_folder(folder)
            present = settings_present(folder, "object_masks")
            if present:
                folders[one.label] = str(folder)
                records[one.label] = store.provenance("object_masks", present[0])
                states = survey(open_with_model(one.settings))
                old = dict.fromkeys(str(each.reason) for each in states if each.state == "stale")
                if old:
                    stale[one.label] = "; ".join(old)
    lacking = [one.label for one in series if one.label not in folders]
    if len(folders) < 2:
        raise MissingArtifactError(
            "fewer than two checkpoints have an atlas to compare",
            where=settings.model,
            expected="masks of two checkpoints or more",
            found=f"none of {listed(lacking)}",
            remedy="`atlas build` makes them, and says of each that it cannot make why",
        )
    return {
        "folders": list(folders.values()),
        "without_masks": lacking,
        "notice": other_tokenizers(records),
        "stale": stale,
    }


def _notices(document: dict[str, Any]) -> Iterator[str]:
    """What is to be known of a series before its numbers are read."""
    lacking = document.get("without_masks")
    if lacking:
        yield f"without an atlas to compare: {', '.join(lacking)}"
    if document.get("notice"):
        yield document["notice"]
    for label, reason in document.get("stale", {}).items():
        yield f"files of {label} are stale, and `atlas build` makes them again: {reason}"


def _claim(results: Sequence[ClaimResult]) -> dict[str, Any]:
    """What is claimed, which is the same of each atlas, and what each shows of it."""
    observed = [result.observed for result in results]
    return {
        **{key: getattr(results[0], key) for key in _CLAIM},
        "observed": observed,
        "holds": [result.holds for result in results],
        "same": all(observed) and len(set(observed)) == 1,
    }


def _short(paths: Sequence[str]) -> list[str]:
    """A short name per atlas: the last part of its path or, where two are equal, a letter."""
    last = [path.rstrip("/").rpartition("/")[2] for path in paths]
    return last if len(set(last)) == len(last) else [chr(ord("a") + n) for n in range(len(last))]


def _text(document: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name, folder in zip(names, document["folders"], strict=True):
        yield f"{name}: {folder}"
    for notice in _notices(document):
        yield from paragraph(notice, 0, 2)
    yield ""
    yield from paragraph(_tally(document["claims"]), 0, 2)
    rows = [
        (
            *(claim["statement"], claim["expected"]),
            *(seen or None for seen in claim["observed"]),
            _as_expected(claim["holds"]),
        )
        for claim in document["claims"]
        if not claim["same"] and any(claim["observed"])
    ]
    limits = {"claim": 36, "expected": 16, **dict.fromkeys(names, 16)}
    yield from table(("claim", "expected", *names, "as expected"), rows, limits)
    yield ""
    yield f"Spearman's ρ between {len(names)} atlases"
    ranks = [
        (rank["quantity"], _setting(rank), rank["items"] or None, rank["mean"], rank["lowest"])
        for rank in document["ranks"]
    ]
    yield from table(("number", "setting", "items", "mean", "lowest"), ranks)
    if document["not_ranked"]:
        yield f"not compared, for lack of a common file: {', '.join(document['not_ranked'])}"


def _as_expected(holds: Sequence[bool | None]) -> str | None:
    """Return of how many atlases a claim holds; ``None`` where it is applicable to none."""
    applicable = any(each is not None for each in holds)
    return f"{holds.count(True)} of {len(holds)}" if applicable else None


def _setting(rank: dict[str, Any]) -> str:
    return str(Setting(rank["epsilon"], rank["consistency"]))


def _tally(claims: Sequence[dict[str, Any]]) -> str:
    evaluated = sum(all(claim["observed"]) for claim in claims)
    alike, rest = sum(claim["same"] for claim in claims), len(claims) - evaluated
    told = f"claims: {alike} of the {evaluated} evaluated in all come out the same"
    return f"{told}; {rest} are not evaluated in each" if rest else told


def _markdown(document: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    from atlas_assets.stages.report.markdown import markdown_table

    for name, folder in zip(names, document["folders"], strict=True):
        yield f"- `{name}`: `{folder}`"
    yield from (f"- {notice}" for notice in _notices(document))
    yield ""
    rows = [
        (f"{claim['statement']} ({claim['section']})", claim["expected"], *claim["observed"])
        for claim in document["claims"]
    ]
    yield markdown_table(("claim", "expected", *names), rows)
    yield ""
    ranked = []
    for rank in document["ranks"]:
        rhos = ["" if rank[key] is None else f"{rank[key]:.2f}" for key in ("mean", "lowest")]
        ranked.append((rank["quantity"], _setting(rank), *rhos))
    yield markdown_table(("ranked by", "setting", "mean ρ", "lowest ρ"), ranked)
