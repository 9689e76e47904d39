"""Values that are written in the place of sound ones, and the checks that must notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.stages.masks.masks import CheckerMasks, Masks, ObjectMasks, with_universals
from atlas_assets.stages.setting import REFERENCE, Setting

#: of the four settings, the ones with the larger ε and C, and with the smaller
TIGHTEST, LOOSEST = REFERENCE, Setting(0.001, 0.5)

Edit = Callable[[Any], Any]


def first_row(column: str, value: object) -> Edit:
    def edit(table: pl.DataFrame) -> pl.DataFrame:
        first = pl.int_range(pl.len()) == 0
        return table.with_columns(
            pl.when(first).then(pl.lit(value, table.schema[column])).otherwise(column).alias(column)
        )

    return edit


def without_first_row(table: pl.DataFrame) -> pl.DataFrame:
    return table.slice(1)


def without_first_pair(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("pair") != table["pair"][0])


def flipped(masks: Masks, unit: int, layer: int, to: bool) -> Masks:
    """With one neuron put in or taken out, that is not so already."""
    bits = masks.bits.copy()
    (neuron, *_) = np.flatnonzero(bits[unit, layer] != to)
    bits[unit, layer, neuron] = to
    return Masks(masks.names, bits)


def neuron_in_a_universal_mask(masks: ObjectMasks) -> ObjectMasks:
    return replace(masks, universal=flipped(masks.universal, 0, 1, to=True))


def neuron_missing_from_a_universal_mask(masks: ObjectMasks) -> ObjectMasks:
    layer = int(np.flatnonzero(masks.universal.sizes()[0])[0])
    return replace(masks, universal=flipped(masks.universal, 0, layer, to=False))


def neuron_in_a_pair_mask(masks: ObjectMasks) -> ObjectMasks:
    """One that no looser setting has, with everything that follows from it."""
    assert masks.pairs is not None
    bits = masks.pairs.bits.copy()
    bits[:, 2] = True
    return with_universals(masks.setting, Masks(masks.pairs.names, bits))


def full_checker_mask(masks: CheckerMasks) -> CheckerMasks:
    bits = masks.masks.bits.copy()
    bits[0, 2] = True
    return replace(masks, masks=Masks(masks.masks.names, bits))


def narrower(masks: CheckerMasks) -> CheckerMasks:
    return replace(masks, masks=Masks(masks.masks.names, masks.masks.bits[..., :-1]))


def without_a_layer(masks: CheckerMasks) -> CheckerMasks:
    return replace(masks, masks=Masks(masks.masks.names, masks.masks.bits[:, :-1]))


def of_fewer_prompts(activations):
    return replace(activations, n_prompts=activations.n_prompts + np.int32(1))


def of_fewer_units(activations):
    kept = slice(1, None)
    return replace(
        activations,
        names=activations.names[kept],
        n_prompts=activations.n_prompts[kept],
        sums=activations.sums[kept],
        counts=activations.counts[kept],
    )


def at_setting(setting: Setting) -> pl.Expr:
    return (pl.col("epsilon") == setting.epsilon) & (pl.col("consistency") == setting.consistency)


def without_a_concept_at_one_setting(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(~(at_setting(TIGHTEST) & (pl.col("concept") == "ast__For")))


def without_a_setting(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(~at_setting(TIGHTEST))


def neurons(setting: Setting, values: list[int]) -> Edit:
    """The first concept's mask at layer 0 of a setting."""

    def edit(table: pl.DataFrame) -> pl.DataFrame:
        here = at_setting(setting) & (pl.col("concept") == "ast__For") & (pl.col("layer") == 0)
        kept = pl.when(here).then(pl.lit(values, pl.List(pl.Int32))).otherwise(pl.col("neurons"))
        return table.with_columns(neurons=kept, size=kept.list.len().cast(pl.Int64))

    return edit


def one_neuron_from_co_to_sh(table: pl.DataFrame) -> pl.DataFrame:
    """|A| stays what it is."""
    for layer in table.columns[1:]:
        co, sh, to = map(int, table[layer][0].split(" / "))
        if co:
            return first_row(layer, f"{co - 1} / {sh + 1} / {to}")(table)
    raise AssertionError("no neuron to move")


def one_neuron_more(table: pl.DataFrame) -> pl.DataFrame:
    co, sh, to = map(int, table["L0"][0].split(" / "))
    return first_row("L0", f"{co + 1} / {sh} / {to}")(table)


def one_neuron_shared_less(table: pl.DataFrame) -> pl.DataFrame:
    """Every rule of the schema holds still."""
    row = table.with_row_index().filter((pl.col("A_and_B") > 0) & (pl.col("A_size") > 1))
    number = row["index"][0]
    here = pl.int_range(pl.len()) == number
    size = row["A_size"][0]
    a_only, both = row["A_only"][0] + 1, row["A_and_B"][0] - 1
    changes = {
        "A_only": a_only,
        "A_and_B": both,
        "B_only": row["B_only"][0] + 1,
        "concept_fraction": round(a_only / size, 4),
        "token_fraction": round(both / size, 4),
    }
    return table.with_columns(
        **{
            name: pl.when(here).then(pl.lit(value, table.schema[name])).otherwise(name)
            for name, value in changes.items()
        }
    )


def flipped_first(masks: Masks) -> Masks:
    return flipped(masks, 0, 0, to=True)


UNSOUND: list[tuple[str, Edit, set[str]]] = [
    ("object_prompts", without_first_row, {"counts"}),
    ("object_prompts", first_row("variation_id", 7), {"counts"}),
    ("object_prompts", lambda t: t.filter(pl.col("variation_id") < 2), {"counts"}),
    ("object_prompts", first_row("prompt_text", "for ("), {"prompts_parse"}),
    ("object_prompts", first_row("prompt_text", "x = 1"), {"prompts_parse"}),
    ("object_prompts", first_row("ast_verified", False), {"prompts_parse"}),
    ("checker_prompts", without_first_row, {"counts"}),
    ("checker_prompts", first_row("prompt_text", "name = 'the loop'"), {"prompts_parse"}),
    ("checker_prompts", first_row("prompt_text", "for x in y: pass"), {"prompts_parse"}),
    ("checker_prompts", first_row("keyword", "while"), {"prompts_parse"}),
    ("token_checker_prompts", without_first_row, {"counts"}),
    ("token_checker_prompts", first_row("prompt_text", "'the for"), {"prompts_parse"}),
    ("object_activations", of_fewer_prompts, {"counts"}),
    ("object_activations", of_fewer_units, {"counts"}),
    ("checker_activations", of_fewer_prompts, {"counts"}),
    ("position_activations", without_first_row, {"counts"}),
    ("circuits", without_first_row, {"agrees_with_inputs"}),
    ("position_activations", without_first_pair, {"counts"}),
    ("object_masks", neuron_in_a_universal_mask, {"universal_within_pairs"}),
    ("object_masks", neuron_missing_from_a_universal_mask, {"universal_within_pairs"}),
    ("object_masks", neuron_in_a_pair_mask, {"monotone_sweep"}),
    ("checker_masks", full_checker_mask, {"monotone_sweep"}),
    ("checker_masks", narrower, {"one_width", "monotone_sweep"}),
    ("checker_masks", without_a_layer, {"one_width", "monotone_sweep"}),
    ("token_checker_masks", narrower, {"one_width"}),
    ("masks", without_a_setting, {"counts", "monotone_sweep", "agrees_with_files"}),
    ("masks", without_a_concept_at_one_setting, {"counts", "monotone_sweep", "agrees_with_files"}),
    ("masks", neurons(TIGHTEST, list(range(20))), {"monotone_sweep", "agrees_with_files"}),
    ("masks", neurons(LOOSEST, list(range(20))), {"agrees_with_files"}),
    ("target_checker", one_neuron_more, {"adds_up"}),
    ("target_checker", one_neuron_from_co_to_sh, {"adds_up"}),
    ("target_checker", without_first_row, {"adds_up"}),
    ("summary", first_row("mean_concept_fraction", 0.9999), {"agrees_with_inputs"}),
    ("summary", first_row("mean_B_size", 17.0), {"agrees_with_inputs"}),
    ("summary", without_first_row, {"agrees_with_inputs"}),
    ("modularity_scores", without_first_row, {"counts"}),
    ("modularity_scores", first_row("index", "ast__Lambda"), {"counts"}),
    ("modularity_detail", without_first_row, {"counts"}),
    ("token_independence_detail", one_neuron_shared_less, {"adds_up"}),
    ("token_independence_detail", without_first_row, {"adds_up"}),
    ("token_independence_summary", first_row("A_size", 0.125), {"agrees_with_inputs"}),
    ("token_independence_summary", without_first_row, {"agrees_with_inputs"}),
    ("token_independence_no_keyword", without_first_row, {"counts"}),
    ("fraction_intervals", without_first_row, {"is_the_decomposition"}),
    ("fraction_intervals", first_row("concept_fraction", 0.0123), {"is_the_decomposition"}),
    ("fraction_intervals", without_a_setting, {"is_the_decomposition"}),
    ("token_control", first_row("of", "ast__Pass"), {"is_of_the_keywords"}),
    ("token_control", without_first_row, {"is_of_the_keywords"}),
    ("universal_masks", flipped_first, {"agrees_with_inputs"}),
]
