"""Stage 16: the paper's figures, as PNG and PDF.

matplotlib is imported when a figure is drawn, not when the graph is loaded.
"""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import polars as pl

from atlas_assets.orchestration.assets.declare import atlas_asset
from atlas_assets.orchestration.assets.one_setting import in_sweep, only_partition_of, universal_at
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.setting import REFERENCE, STANDALONE
from atlas_assets.storage.figures import Drawing
from atlas_assets.storage.store import AtlasStore

#: the paper's text speaks of layer 5, the release shows the cluster at layer 3 (docs/science.md §8)
DENDROGRAM_LAYERS = (3, 5)
#: the layer of the published mean entanglement (docs/science.md §6, ``report-ei``)
ENTANGLEMENT_LAYER = 4

Outputs = Iterator[dg.Output[Any]]


def figure_assets(settings: AtlasSettings) -> list[dg.AssetsDefinition]:
    """One asset per figure; those of a setting that the sweep lacks are skipped."""
    return [
        *_similarity_figures(),
        *_fraction_figures(settings),
        *_table_figures(),
    ]


def _similarity_figures() -> list[dg.AssetsDefinition]:
    @atlas_asset("figure_atomicity_dendrogram", output_required=False, kinds={"matplotlib"})
    def figure_atomicity_dendrogram(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
        masks: pl.DataFrame,
    ) -> Outputs:
        from atlas_assets.soundness.captions import caption_of
        from atlas_assets.stages.figures import dendrogram, in_words, render

        for universal in universal_at(context, settings, masks, REFERENCE):
            layers, notes = layers_to_show(universal.n_layers, DENDROGRAM_LAYERS)
            caption = caption_of(store, "masks", setting=REFERENCE, notes=notes)
            sheet = dendrogram.draw(universal, layers, caption)
            yield dg.Output(render.drawing([sheet], in_words.dendrogram(universal, layers)))

    @atlas_asset("figure_jaccard_heatmap", output_required=False, kinds={"matplotlib"})
    def figure_jaccard_heatmap(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
        masks: pl.DataFrame,
    ) -> Outputs:
        from atlas_assets.soundness.captions import caption_of
        from atlas_assets.stages.figures import heatmap, in_words, render

        for universal in universal_at(context, settings, masks, REFERENCE):
            layers, notes = layers_to_show(universal.n_layers, DENDROGRAM_LAYERS)
            caption = caption_of(store, "masks", setting=REFERENCE, notes=notes)
            sheets = [heatmap.draw(universal, layer, caption) for layer in layers]
            yield dg.Output(render.drawing(sheets, in_words.heatmap(universal, layers)))

    return [figure_atomicity_dendrogram, figure_jaccard_heatmap]


def _fraction_figures(settings: AtlasSettings) -> list[dg.AssetsDefinition]:
    @atlas_asset(
        "figure_concept_fraction",
        deps=[only_partition_of("target_checker", settings, REFERENCE)],
        output_required=False,
        kinds={"matplotlib"},
    )
    def figure_concept_fraction(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Outputs:
        from atlas_assets.soundness.captions import caption_of
        from atlas_assets.stages.figures import concept_fraction, in_words, render

        for at in in_sweep(context, settings, REFERENCE):
            table = store.read("target_checker", at)
            caption = caption_of(store, "target_checker", setting=at, partition=at)
            sheet = concept_fraction.draw(table, caption)
            yield dg.Output(render.drawing([sheet], in_words.concept_fraction(table)))

    @atlas_asset("figure_sweep", kinds={"matplotlib"})
    def figure_sweep(store: dg.ResourceParam[AtlasStore], summary: pl.DataFrame) -> Drawing:
        from atlas_assets.soundness.captions import caption_of
        from atlas_assets.stages.figures import in_words, render, sweep

        sheet = sweep.draw(summary, caption_of(store, "summary"))
        return render.drawing([sheet], in_words.sweep(summary))

    return [figure_concept_fraction, figure_sweep]


def _table_figures() -> list[dg.AssetsDefinition]:
    """Drawn from tables of one setting."""

    @_drawn_from_tables("figure_layer_profile")
    def figure_layer_profile(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Outputs:
        from atlas_assets.soundness.captions import caption_of
        from atlas_assets.stages.figures import in_words, layer_profile, render

        for at in in_sweep(context, settings, STANDALONE):
            table = store.read("layer_profile")
            sheet = layer_profile.draw(table, caption_of(store, "layer_profile", setting=at))
            yield dg.Output(render.drawing([sheet], in_words.layer_profile(table)))

    @_drawn_from_tables("figure_modularity")
    def figure_modularity(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Outputs:
        from atlas_assets.soundness.captions import caption_of
        from atlas_assets.stages.figures import in_words, modularity, render

        for at in in_sweep(context, settings, REFERENCE):
            scores = store.read("modularity_scores")
            n_layers = store.read("modularity_detail")["layer"].n_unique()
            caption = caption_of(store, "modularity_scores", setting=at)
            sheet = modularity.draw(scores, caption, n_layers=n_layers)
            yield dg.Output(render.drawing([sheet], in_words.modularity(scores)))

    @_drawn_from_tables("figure_entanglement")
    def figure_entanglement(
        context: dg.AssetExecutionContext,
        settings: dg.ResourceParam[AtlasSettings],
        store: dg.ResourceParam[AtlasStore],
    ) -> Outputs:
        from atlas_assets.soundness.captions import caption_of
        from atlas_assets.stages.figures import entanglement, in_words, render

        for at in in_sweep(context, settings, STANDALONE):
            table = store.read("compositionality")
            (layer,), notes = layers_to_show(table["layer"].n_unique(), (ENTANGLEMENT_LAYER,))
            caption = caption_of(store, "compositionality", setting=at, notes=notes)
            sheet = entanglement.draw(table, layer, caption)
            yield dg.Output(render.drawing([sheet], in_words.entanglement(table, layer)))

    return [figure_layer_profile, figure_modularity, figure_entanglement]


def _drawn_from_tables(key: str) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Its tables are dependencies, and read when drawn: a sweep may have skipped them."""
    deps = list(ARTIFACTS[key].inputs)
    return atlas_asset(key, deps=deps, output_required=False, kinds={"matplotlib"})


def layers_to_show(n_layers: int, wanted: tuple[int, ...]) -> tuple[tuple[int, ...], list[str]]:
    """The wanted layers that the model has, else its last one; and a note where that differs."""
    last = max(n_layers - 1, 0)
    shown = tuple(layer for layer in wanted if layer <= last)
    if shown == wanted:
        return shown, []
    missing = [str(layer) for layer in wanted if layer > last]
    left_out = (
        f"layer {missing[0]} is" if len(missing) == 1 else f"layers {' and '.join(missing)} are"
    )
    note = f"The last layer of the model is {last}; {left_out} left out"
    return (shown, [f"{note}."]) if shown else ((last,), [f"{note} and layer {last} is shown."])
