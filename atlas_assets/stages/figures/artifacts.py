"""The artifacts of stage 16: the paper's figures, as PNG and PDF.

Each is drawn by the function ``make`` of the module of its name, which is imported when the figure
is drawn: matplotlib takes longer to import than the definitions take to load.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from atlas_assets.stages.artifact import Artifact, Layout, Needs
from atlas_assets.stages.making import Making
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Setting

#: ends the description of every figure
FORMS = "PNG, and PDF beside it."


def _draw(module: str, setting: Setting | None, making: Making) -> Any:
    if setting is not None:
        making.require_in_sweep(setting)
    sheets, in_words = import_module(f"{__package__}.{module}").make(making)
    return import_module(f"{__package__}.render").drawing(sheets, in_words)


def _figure(
    module: str,
    title: str,
    description: str,
    setting: Setting | None,
    *inputs: str,
    name: str = "",
    of_own: str = "",
    **further: Any,
) -> Artifact:
    key = f"figure_{name or module}"
    return Artifact(
        key=key,
        title=title,
        filename=f"{key}.png",
        content=Layout.FIGURE,
        group="stage_16_figures",
        description=f"{description} {FORMS}",
        compute=partial(_draw, module, setting),
        inputs=inputs,
        setting=setting,
        of_own=f"{of_own} {FORMS}" if of_own else "",
        **further,
    )


FIGURES = (
    _figure(
        "dendrogram",
        "Atomicity dendrogram",
        "Ward dendrogram of the universal masks on 1 − Jaccard at layers 3 and 5, leaves in "
        "optimal order, cut into four; the six atomic concepts are marked (paper Figure 1).",
        REFERENCE,
        "masks",
        name="atomicity_dendrogram",
        of_own="Ward dendrogram of the universal masks on 1 − Jaccard at layers 3 and 5, leaves in "
        "optimal order, cut into four.",
    ),
    _figure(
        "heatmap",
        "Jaccard heatmaps",
        "Jaccard |A∩B| / |A∪B| of all universal masks at layers 3 and 5, in the order of the "
        "dendrogram.",
        REFERENCE,
        "masks",
        name="jaccard_heatmap",
    ),
    _figure(
        "concept_fraction",
        "Concept fraction by layer and type",
        "Concept fraction |A∖B| / |A| by layer, means and middle halves of AST nodes and builtins, "
        "at the reference setting (paper §6).",
        REFERENCE,
        "target_checker",
        of_own="Concept fraction |A∖B| / |A| by layer, means and middle halves of the concepts, at "
        "the reference setting.",
    ),
    _figure(
        "sweep",
        "Concept fraction over the sweep",
        "Mean concept fraction |A∖B| / |A| of AST nodes and builtins at every setting, ε by C "
        "(paper §7.2).",
        None,
        "summary",
        of_own="Mean concept fraction |A∖B| / |A| of the concepts at every setting, ε by C.",
        code_version="2",
    ),
    _figure(
        "layer_profile",
        "Layer profile",
        "Circuit sizes at each layer: means, medians and ranges of pairs, AST nodes and builtins.",
        STANDALONE,
        "layer_profile",
        of_own="Circuit sizes at each layer: means, medians and ranges of pairs (a concept with "
        "one of its units) and concepts.",
    ),
    _figure(
        "modularity",
        "Modularity ranking",
        "In how many layers the highest ranking concepts stand apart, for each trim p "
        "(paper §6.1).",
        REFERENCE,
        "modularity_scores",
        "modularity_detail",
        code_version="2",
    ),
    _figure(
        "entanglement",
        "Distribution of the entanglement index",
        "Distribution of the entanglement index E_I = |P ∖ (A ∪ B)| / |P| over the pairs at "
        "layer 4, with mean and median.",
        STANDALONE,
        "compositionality",
        of_own="Distribution of the entanglement index E_I = |P ∖ A| / |P| over the pairs at "
        "layer 4, with mean and median.",
    ),
)
#: which no job makes that does not run the network
WIRING_FIGURE = _figure(
    "wiring",
    "Wiring of a circuit",
    "The wiring of one contrastive circuit, layers from left to right: the 40 strongest paths "
    "from a neuron of the circuit through one hidden unit or value channel to a neuron of a "
    "later layer. The circuit is that of fewest edges of an AST node, of those with 40 or "
    "more.",
    REFERENCE,
    "masks",
    "circuit_wiring",
    "circuit_edges",
)
#: of all couples of concepts, which the job ``validate`` runs
SPECIFICITY_FIGURE = _figure(
    "specificity",
    "Specificity of circuits",
    "Per definition, the rise of the loss of each concept's prompts where each concept's circuit "
    "is ablated, less the row's mean over other concepts, in nats per token; the diagonal is the "
    "specificity. The job validate makes it.",
    REFERENCE,
    "specificity",
    needs=Needs.GRID,
    on_demand=True,
)
