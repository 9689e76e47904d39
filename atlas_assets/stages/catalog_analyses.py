"""The catalogue's later part: further analyses, figures, and what is written for readers."""

from __future__ import annotations

from atlas_assets.stages import table_schemas as schemas
from atlas_assets.stages.artifact import Artifact
from atlas_assets.stages.setting import REFERENCE, STANDALONE, Setting
from atlas_assets.storage.documents import HtmlFile, MarkdownFile
from atlas_assets.storage.figures import FigureFile
from atlas_assets.storage.jaccard import JaccardMatricesFile
from atlas_assets.storage.tables import CsvTable

ANALYSES = (
    Artifact(
        key="compositionality",
        filename="compositionality.csv",
        format=CsvTable(schemas.COMPOSITIONALITY),
        group="stage_15_downstream",
        description="Entanglement of every pair at every layer: E_I = |P ∖ (A ∪ B)| / |P|, with P "
        "the pair's mask, A and B the universal masks of its AST node and builtin; 0 where P is "
        "empty. At ε = 0.001, C = 0.8.",
        inputs=("object_masks",),
        setting=STANDALONE,
    ),
    Artifact(
        key="ockham_index",
        filename="ockham_index.csv",
        format=CsvTable(schemas.OCKHAM_INDEX),
        group="stage_15_downstream",
        description="Ockham index of every two concepts of one type at every layer: 1 − Jaccard, "
        "Jaccard = |A∩B| / |A∪B| of their universal masks. At ε = 0.001, C = 0.8.",
        inputs=("masks",),
        setting=STANDALONE,
    ),
    Artifact(
        key="layer_profile",
        filename="layer_profile.csv",
        format=CsvTable(schemas.LAYER_PROFILE),
        group="stage_15_downstream",
        description="How large circuits are at each layer: mean, median and range of |mask| over "
        "pairs, AST nodes and builtins. At ε = 0.001, C = 0.8.",
        inputs=("object_masks",),
        setting=STANDALONE,
    ),
    Artifact(
        key="marginalisation_robustness",
        filename="marginalisation_robustness.csv",
        format=CsvTable(schemas.MARGINALISATION_ROBUSTNESS),
        group="stage_15_downstream",
        description="How a circuit shrinks as its pairs are intersected one after another: "
        "|P₁ ∩ … ∩ P_k| for k = 1 … all, over 20 random orders (seed 42). At ε = 0.001, C = 0.8.",
        inputs=("object_masks",),
        setting=STANDALONE,
    ),
    Artifact(
        key="jaccard_matrices",
        filename="jaccard_matrices.h5",
        format=JaccardMatricesFile(STANDALONE),
        group="stage_15_downstream",
        description="Jaccard |A∩B| / |A∪B| of the universal masks of every two AST nodes, and of "
        "every two builtins, at every layer; 0 where both are empty. At ε = 0.001, C = 0.8.",
        inputs=("masks",),
        setting=STANDALONE,
    ),
    Artifact(
        key="modularity_null",
        filename="modularity_null.csv",
        format=CsvTable(schemas.MODULARITY_NULL),
        group="stage_15_downstream",
        description="A second null for modularity: mean Jaccard of a circuit to the others, "
        "against randomised circuits (curveball trades) of the same sizes whose neurons are in as "
        "many circuits; p = (1 + #{null ≤ observed}) / (1 + permutations). At ε = 0.5, C = 0.8; "
        "ATLAS_PERMUTATIONS sets how many, seed 42.",
        inputs=("masks",),
        setting=REFERENCE,
        parameters={"permutations": 200},
    ),
)


#: ends the description of every figure
FORMS = "PNG, and PDF beside it."


def _figure(name: str, description: str, setting: Setting | None, *inputs: str) -> Artifact:
    return Artifact(
        key=f"figure_{name}",
        filename=f"figure_{name}.png",
        format=FigureFile(),
        group="stage_16_figures",
        description=f"{description} {FORMS}",
        inputs=inputs,
        setting=setting,
    )


FIGURES = (
    _figure(
        "atomicity_dendrogram",
        "Ward dendrogram of the universal masks on 1 − Jaccard at layers 3 and 5, leaves in "
        "optimal order, cut into four; the six atomic concepts are marked (paper Figure 1).",
        REFERENCE,
        "masks",
    ),
    _figure(
        "jaccard_heatmap",
        "Jaccard |A∩B| / |A∪B| of all universal masks at layers 3 and 5, in the order of the "
        "dendrogram.",
        REFERENCE,
        "masks",
    ),
    _figure(
        "concept_fraction",
        "Concept fraction |A∖B| / |A| by layer, means and middle halves of AST nodes and builtins, "
        "at the reference setting (paper §6).",
        REFERENCE,
        "target_checker",
    ),
    _figure(
        "sweep",
        "Mean concept fraction |A∖B| / |A| of AST nodes and builtins at every setting, ε by C "
        "(paper §7.2).",
        None,
        "summary",
    ),
    _figure(
        "layer_profile",
        "Circuit sizes at each layer: means, medians and ranges of pairs, AST nodes and builtins.",
        STANDALONE,
        "layer_profile",
    ),
    _figure(
        "modularity",
        "In how many layers the highest ranking concepts stand apart, for each trim p "
        "(paper §6.1).",
        REFERENCE,
        "modularity_scores",
        "modularity_detail",
    ),
    _figure(
        "entanglement",
        "Distribution of the entanglement index E_I = |P ∖ (A ∪ B)| / |P| over the pairs at "
        "layer 4, with mean and median.",
        STANDALONE,
        "compositionality",
    ),
)

#: what the claims are evaluated on
_EVIDENCE = (
    "object_prompts",
    "checker_prompts",
    "token_checker_prompts",
    "object_masks",
    "checker_masks",
    "masks",
    "target_checker",
    "summary",
    "modularity_scores",
    "token_independence_no_keyword",
    "compositionality",
    "ockham_index",
    "layer_profile",
)

#: what the report is made from: every table that it quotes, every figure, and what the claims read
_REPORTED = (
    "object_prompts",
    "checker_prompts",
    "token_checker_prompts",
    "object_masks",
    "checker_masks",
    "token_checker_masks",
    "masks",
    "target_checker",
    "summary",
    "modularity_scores",
    "modularity_detail",
    "token_independence_detail",
    "token_independence_summary",
    "token_independence_no_keyword",
    "universal_masks",
    *(artifact.key for artifact in ANALYSES),
    *(artifact.key for artifact in FIGURES),
)

REPORTS = (
    Artifact(
        key="claims_report",
        filename="claims.md",
        format=MarkdownFile(),
        group="stage_17_report",
        description="The paper's claims, one by one: what is expected of its model, what this "
        "atlas shows, and whether the paper claims it of this atlas at all.",
        inputs=_EVIDENCE,
        inputs_may_be_absent=True,
    ),
    Artifact(
        key="atlas_report",
        filename="atlas_report.html",
        format=HtmlFile(),
        group="stage_17_report",
        description="The whole atlas on one page that opens in any browser, offline: the paper's "
        "claims against what this atlas shows, figures, tables, and where every file comes from.",
        inputs=_REPORTED,
        inputs_may_be_absent=True,
    ),
)
