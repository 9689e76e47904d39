"""``atlas sweep``: masks and decomposition at settings on and off the grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from atlas_assets.cli.command import UNREADABLE, USAGE, Answer, AnsweringCommand
from atlas_assets.cli.options import CONSISTENCY, EPSILON, as_json
from atlas_assets.cli.text import count, size, table
from atlas_assets.errors import SettingsError
from atlas_assets.stages.setting import Setting, grid, naming_values

if TYPE_CHECKING:
    import polars as pl

    from atlas_assets.stages.masks.masks import CheckerMasks, ObjectMasks
    from atlas_assets.storage.store import AtlasStore

#: type of a circuit → key of its number in the document, noun, header, header of its fraction
_TYPES: Mapping[str, tuple[str, str, str, str]] = {
    "pair": ("pairs", "pair", "pairs", ""),
    "ast": ("ast_nodes", "AST node", "AST", "AST fraction"),
    "builtin": ("builtins", "builtin", "builtins", "builtin fraction"),
    "own": ("own_concepts", "concept", "concepts", "fraction"),
}


@click.command(
    cls=AnsweringCommand,
    exit_codes={
        USAGE: "a value is out of range, or --write at a setting of the grid",
        UNREADABLE: "the activations are missing or cannot be read",
    },
)
@click.option(
    "--epsilon", "-e", "epsilons", type=EPSILON, multiple=True, required=True, help="ε; repeatable."
)
@click.option(
    "--consistency",
    *("-c", "consistencies"),
    type=CONSISTENCY,
    multiple=True,
    required=True,
    help="C; repeatable.",
)
@click.option(
    "--write",
    is_flag=True,
    help="Also write the masks and the decomposition, under the published file names. Settings of "
    "the grid are refused: those are Dagster's to materialise.",
)
def sweep(epsilons: Sequence[float], consistencies: Sequence[float], write: bool) -> Answer:
    """Compute masks and decomposition at any setting, from the activations.

    Every ε is combined with every C. The grid of the sweep, and its files, are left as they are.
    """
    from atlas_assets.atlas.open import open_in_force, require_file
    from atlas_assets.settings import AtlasSettings
    from atlas_assets.stages.masks.masks import with_universals
    from atlas_assets.stages.masks.packed import masks_at

    settings = AtlasSettings.from_env()
    with naming_values("--epsilon", "--consistency"):
        wanted = grid(epsilons, consistencies)
    if write:
        _refuse_grid(wanted, settings.sweep)
    store = open_in_force(settings)
    require_file(store, "object_activations")
    checker = _checker_masks(store, wanted)
    records = []
    for setting, pairs in masks_at(store.read("object_activations"), wanted):
        masks, tokens = with_universals(setting, pairs), checker.get(setting)
        record = _record(masks, tokens)
        record["on_grid"] = setting in settings.sweep
        record["written"] = _write(store, masks, tokens) if write else []
        records.append(record)
    document = {"folder": str(store.root), "settings": records}
    return Answer("atlas.sweep/1", document, lambda: _text(document))


def _refuse_grid(wanted: Sequence[Setting], on_grid: Sequence[Setting]) -> None:
    for setting in wanted:
        if setting in on_grid:
            raise SettingsError(
                "the setting is one of the grid",
                where=str(setting),
                expected="with --write, a setting off the grid",
                found=f"a grid of {count(len(on_grid), 'setting')}",
                remedy="leave --write out, or make it with `dagster asset materialize -m "
                "atlas_assets.definitions --select object_masks --partition "
                f"'{setting.partition_key}'` (C|ε, in this order)",
            )


def _checker_masks(store: AtlasStore, wanted: Sequence[Setting]) -> dict[Setting, CheckerMasks]:
    """The checker masks at every setting; empty where the atlas has no checker activations."""
    from atlas_assets.stages.masks.masks import CheckerMasks, sweep_masks

    if not store.exists("checker_activations"):
        return {}
    activations = store.read("checker_activations").whole()
    return {at: CheckerMasks(at, masks) for at, masks in sweep_masks(activations, wanted)}


def _record(masks: ObjectMasks, checker: CheckerMasks | None) -> dict[str, Any]:
    from atlas_assets.stages.analyses.layer_profile import profile

    pairs = masks.any_pairs()
    sizes = masks.universal.sizes()
    return {
        **as_json(masks.setting),
        "pairs": len(pairs.names),
        **{_TYPES[kind][0]: len(matrix) for kind, matrix in masks.matrices.items()},
        "concepts_without_neurons": int((sizes.sum(axis=1) == 0).sum()),
        "sizes": profile(pairs, masks.universal).to_dicts(),
        "decomposition": _decomposition(masks, checker) if checker else None,
    }


def _decomposition(masks: ObjectMasks, checker: CheckerMasks) -> dict[str, Any]:
    """The setting's row of ``14_summary.csv``, and mean concept fractions per layer and type."""
    from atlas_assets.stages.decomposition import decomposition

    targets = decomposition.target_checker(masks.universal, checker.masks)
    summary = decomposition.summary({masks.setting: targets}).drop("epsilon", "consistency")
    return {"summary": summary.to_dicts()[0], "concept_fraction": _by_layer(targets)}


def _by_layer(targets: pl.DataFrame) -> list[dict[str, float | int | None]]:
    import numpy as np

    from atlas_assets.stages.concepts import kinds_of, split_concept
    from atlas_assets.stages.decomposition.decomposition import parse_target_checker
    from atlas_assets.stages.rounding import fractions, means

    cells = parse_target_checker(targets)
    shares = fractions(cells[..., 0], cells[..., 0] + cells[..., 1])
    names = targets["target"].to_list()
    kinds = np.array([split_concept(name)[0] for name in names], dtype=np.str_)
    by_type = {kind: shares[kinds == kind] for kind in kinds_of(names)}
    averages = {name: means(rows).tolist() for name, rows in by_type.items() if len(rows)}
    return [
        {"layer": layer, **{t: averages[t][layer] if t in averages else None for t in by_type}}
        for layer in range(shares.shape[1])
    ]


def _write(
    store: AtlasStore, masks: ObjectMasks, checker: CheckerMasks | None
) -> list[dict[str, Any]]:
    from atlas_assets.stages.decomposition.decomposition import target_checker

    values: dict[str, Any] = {"object_masks": masks}
    if checker is not None:
        values["checker_masks"] = checker
        values["target_checker"] = target_checker(masks.universal, checker.masks)
    written = []
    for key, value in values.items():
        file = store.write(key, value, masks.setting)
        written.append({"artifact": key, "path": str(file.path), "size_bytes": file.size_bytes})
    return written


def _text(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"atlas: {document['folder']}"
    for record in document["settings"]:
        yield ""
        yield from _setting_text(record)


def _setting_text(record: Mapping[str, Any]) -> Iterator[str]:
    setting = Setting(record["epsilon"], record["consistency"])
    yield f"{setting}{' (on the grid)' if record['on_grid'] else ''}"
    units = [count(record[key], noun) for key, noun, _, _ in _TYPES.values() if key in record]
    empty = record["concepts_without_neurons"]
    lacking = f"{count(empty, 'concept')} without any neuron" if empty else ""
    yield f"  {', '.join(units)}; {lacking or 'no concept is without neurons'}"
    yield "  mean circuit size per layer, and concept fraction |A∖B| / |A|"
    yield from _layer_table(record)
    if record["decomposition"] is None:
        yield "  no decomposition: the atlas has no checker activations"
    else:
        yield from _summary_table(record["decomposition"]["summary"])
    for file in record["written"]:
        yield f"  wrote {file['path']} ({size(file['size_bytes'])})"


def _summary_table(summary: Mapping[str, Any]) -> Iterator[str]:
    means: tuple[tuple[str, str, str], ...] = (
        ("all", "n_testable", "mean"),
        ("AST", "n_ast", "ast"),
        ("builtins", "n_builtin", "blt"),
    )
    checked = "a keyword"
    if "n_checked" in summary:
        means, checked = (("all", "n_checked", "mean"),), "checker prompts"
    yield f"  means over concepts that have {checked}, and layers"
    rows = [
        (name, *(summary[key] for key in (n, f"{mean}_concept_fraction", f"{mean}_token_fraction")))
        for name, n, mean in means
    ]
    yield from table(("", "concepts", "concept fraction", "token fraction"), rows)
    whose = "checkers'" if "n_checked" in summary else "keywords'"
    yield f"  mean size of circuits {summary['mean_A_size']}, of {whose} {summary['mean_B_size']}"


def _layer_table(record: Mapping[str, Any]) -> list[str]:
    sizes = {(row["layer"], row["type"]): round(row["mean_size"], 1) for row in record["sizes"]}
    parts = record["decomposition"]
    shares = {row["layer"]: row for row in parts["concept_fraction"]} if parts else {}
    types = {t: header for t, (key, _, header, _) in _TYPES.items() if key in record}
    kinds = [t for t in types if t != "pair"]
    rows = [
        (
            layer,
            *(f"{sizes[layer, t]:.1f}" if (layer, t) in sizes else None for t in types),
            *(shares.get(layer, {}).get(kind) for kind in kinds),
        )
        for layer in sorted({layer for layer, _ in sizes})
    ]
    return table(("layer", *types.values(), *(_TYPES[kind][3] for kind in kinds)), rows)
