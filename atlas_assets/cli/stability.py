"""``atlas stability``: what several atlases agree on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, Answer, AnsweringCommand
from atlas_assets.cli.naming import named_atlas
from atlas_assets.cli.options import as_json
from atlas_assets.cli.text import paragraph, table

if TYPE_CHECKING:
    from atlas_assets.atlas.stability import Stability

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
    and named. A FOLDER may also be the name of an atlas under ATLAS_DATA_DIR.
    """
    if len(folders) < 2:
        raise click.UsageError("name two atlases or more")
    from atlas_assets.atlas.open import open_folder
    from atlas_assets.atlas.stability import stability as compare

    paths = [named_atlas(folder) for folder in folders]
    result = compare([open_folder(path) for path in paths])
    names = _short([str(path) for path in paths])
    document = {
        "folders": [str(path) for path in paths],
        "claims": [
            {
                **{key: getattr(one.claim, key) for key in _CLAIM},
                "observed": list(one.observed),
                "holds": [result.holds for result in one.results],
                "same": one.same,
            }
            for one in result.claims
        ],
        "ranks": [
            {
                "quantity": quantity,
                **as_json(setting),
                **(asdict(found) if found else {"items": 0, "mean": None, "lowest": None}),
            }
            for quantity, setting, found in result.ranks
        ],
        "not_ranked": result.not_ranked,
    }
    show = _markdown if markdown else _text
    return Answer("atlas.stability/1", document, lambda: show(document, names, result))


def _short(paths: Sequence[str]) -> list[str]:
    """A short name per atlas: the last part of its path or, where two are equal, a letter."""
    last = [path.rstrip("/").rpartition("/")[2] for path in paths]
    return last if len(set(last)) == len(last) else [chr(ord("a") + n) for n in range(len(last))]


def _text(document: dict[str, Any], names: Sequence[str], result: Stability) -> Iterator[str]:
    for name, folder in zip(names, document["folders"], strict=True):
        yield f"{name}: {folder}"
    yield ""
    yield from paragraph(_tally(result), 0, 2)
    rows = [
        (
            one.claim.statement,
            one.claim.expected,
            *(seen or None for seen in one.observed),
            f"{sum(result.holds is True for result in one.results)} of {len(names)}",
        )
        for one in result.claims
        if not one.same and any(one.observed)
    ]
    limits = {"claim": 36, "expected": 16, **dict.fromkeys(names, 16)}
    yield from table(("claim", "expected", *names, "as expected"), rows, limits)
    ranks = [
        (quantity, str(setting), *(astuple(found) if found else (None,) * 3))
        for quantity, setting, found in result.ranks
    ]
    yield ""
    yield f"Spearman's ρ between {len(names)} atlases"
    yield from table(("number", "setting", "items", "mean", "lowest"), ranks)
    if result.not_ranked:
        yield f"not compared, for lack of a common file: {', '.join(result.not_ranked)}"


def _tally(result: Stability) -> str:
    evaluated = [one for one in result.claims if one.evaluated]
    alike = sum(one.same for one in evaluated)
    rest = len(result.claims) - len(evaluated)
    told = f"claims: {alike} of the {len(evaluated)} evaluated in all come out the same"
    return f"{told}; {rest} are not evaluated in each" if rest else told


def _markdown(document: dict[str, Any], names: Sequence[str], result: Stability) -> Iterator[str]:
    from atlas_assets.stages.report.markdown import markdown_table

    for name, folder in zip(names, document["folders"], strict=True):
        yield f"- `{name}`: `{folder}`"
    yield ""
    rows = [
        (f"{one.claim.statement} ({one.claim.section})", one.claim.expected, *one.observed)
        for one in result.claims
    ]
    yield markdown_table(("claim", "expected", *names), rows)
    yield ""
    ranked = [
        (name, str(at), *((f"{found.mean:.2f}", f"{found.lowest:.2f}") if found else ("", "")))
        for name, at, found in result.ranks
    ]
    yield markdown_table(("ranked by", "setting", "mean ρ", "lowest ρ"), ranked)
