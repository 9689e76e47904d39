"""Made-up evidence that bears out every claim of the paper, in memory and as a release's files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from atlas_assets.stages.analyses.atomicity import ATOMIC_CONCEPTS
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.masks.masks import Masks, universal_from_table, universal_table
from atlas_assets.stages.prompts import object_prompts
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import REFERENCE, Setting
from atlas_assets.storage.codecs import codec_of
from atlas_assets_tests.stages.random_atlas import SWEEP
from atlas_assets_tests.storage import samples
from atlas_assets_tests.storage.release_files import note_fetched

LAYERS, WIDTH = 8, 40
Key = tuple[str, Setting | None]


@dataclass
class PaperEvidence:
    """Tables by (artifact, setting), as the evaluation asks for them."""

    tables: dict[Key, pl.DataFrame] = field(default_factory=dict)

    def table(self, key: str, setting: Setting | None = None) -> pl.DataFrame:
        return self.tables[key, setting]

    def universal(self, setting: Setting) -> Masks:
        return universal_from_table(self.tables["masks", None], setting)

    def concepts(self) -> tuple[str, ...]:
        return tuple(self.tables["masks", None]["concept"].unique().sort())

    def is_recorded(self, key: str) -> bool:  # noqa: ARG002
        return False

    def changed(self, key: str, frame: pl.DataFrame, setting: Setting | None = None):
        """The same evidence with another table in one place."""
        return PaperEvidence({**self.tables, (key, setting): frame})

    def write(self, folder: Path) -> None:
        """As files of the release: no provenance, fetched from the paper's repository."""
        folder.mkdir(parents=True, exist_ok=True)
        for (key, setting), frame in self.tables.items():
            artifact = ARTIFACTS[key]
            path = folder / artifact.file_name(setting)
            if artifact.kind == "parquet":
                frame.write_parquet(path)
            else:
                path.write_bytes(codec_of(artifact).encode(frame, samples.provenance(key)))
        note_fetched(folder)


def paper_evidence() -> PaperEvidence:
    concepts = sorted(load_stimuli().concepts)
    testable = sorted(load_stimuli().checker_prompts.keyword_map)
    tables: dict[Key, pl.DataFrame] = {
        ("masks", None): masks_table(concepts),
        ("object_prompts", None): object_prompt_table(),
        ("checker_prompts", None): checker_prompt_table(testable, 2848),
        ("token_checker_prompts", None): checker_prompt_table(testable, 2861),
        ("target_checker", REFERENCE): target_checker_table(testable),
        ("summary", None): summary_table(),
        ("modularity_scores", None): modularity_table(concepts),
        ("token_independence_no_keyword", None): pl.DataFrame(
            {"object": [name for name in concepts if name not in testable]}
        ).with_columns(status=pl.lit("no_keyword")),
        ("compositionality", None): compositionality_table(),
        ("ockham_index", None): ockham_table(concepts),
        ("layer_profile", None): profile_table(),
    }
    return PaperEvidence(tables)


def masks_table(concepts: list[str]) -> pl.DataFrame:
    """Four groups of circuits that share nothing; the atomic concepts are one of them."""
    rng = np.random.default_rng(0)
    group = np.array(
        [0 if name in ATOMIC_CONCEPTS else 1 + i % 3 for i, name in enumerate(concepts)]
    )
    inside = np.arange(WIDTH) // 10 == group[:, np.newaxis]
    bits = inside[:, np.newaxis, :] & (rng.random((len(concepts), LAYERS, WIDTH)) < 0.9)
    bits[..., ::10] |= inside[:, np.newaxis, ::10]
    return universal_table({setting: Masks(tuple(concepts), bits) for setting in SWEEP})


def surviving_pairs() -> list[tuple[str, str]]:
    pairs = object_prompts.candidate_pairs(load_stimuli())
    return [*pairs[:100], *pairs[121:]]


def object_prompt_table() -> pl.DataFrame:
    generated = object_prompts.generate(load_stimuli(), variations=1)
    of_node = dict(generated.select("ast_node", "prompt_text").iter_rows())
    frame = pl.DataFrame(surviving_pairs(), schema=["ast_node", "builtin_obj"], orient="row")
    return frame.join(
        pl.DataFrame({"variation_id": range(50)}, schema={"variation_id": pl.Int64}), how="cross"
    ).with_columns(
        prompt_text=pl.col("ast_node").replace_strict(of_node),
        sequence_loss=pl.lit(1.5),
        token_length=pl.lit(9, pl.Int64),
        ast_verified=pl.lit(True),
    )


def checker_prompt_table(testable: list[str], rows: int) -> pl.DataFrame:
    keywords = load_stimuli().checker_prompts.keyword_map
    counts = [len(range(i, rows, len(testable))) for i in range(len(testable))]
    return pl.DataFrame(
        [
            (concept, keywords[concept].keyword, i, f"name = 'a {keywords[concept].keyword} {i}'")
            for concept, count in zip(testable, counts, strict=True)
            for i in range(count)
        ],
        schema=samples.checker_prompts().schema,
        orient="row",
    )


def target_checker_table(testable: list[str]) -> pl.DataFrame:
    """AST nodes peak at layer 4 with 5 of 8 neurons, builtins have 1 of 50 there."""
    columns = {"target": testable}
    for number in range(LAYERS):
        of_ast = "5 / 3 / 2" if number == 4 else "2 / 6 / 2"
        columns[f"L{number}"] = [
            of_ast if name.startswith("ast") else "1 / 49 / 0" for name in testable
        ]
    return pl.DataFrame(columns)


def summary_table() -> pl.DataFrame:
    shares = (0.25, 0.75, 0.4, 0.6, 0.08, 0.92)
    rows = [(at.epsilon, at.consistency, 58, 24, 34, *shares, 10.0, 9.0) for at in sorted(SWEEP)]
    return pl.DataFrame(rows, schema=samples.sample("summary").schema, orient="row")


def modularity_table(concepts: list[str]) -> pl.DataFrame:
    counts = {"ast__Break": (3, 1), "ast__ImportFrom": (2, 2), "ast__Assert": (2, 1)}
    rows = [
        (name, name.split("__")[0], *(counts.get(name, (0, 0))[i] for i in (0, 0, 1, 1)))
        for name in [*counts, *(name for name in concepts if name not in counts)]
    ]
    return pl.DataFrame(rows, schema=samples.sample("modularity_scores").schema, orient="row")


def compositionality_table() -> pl.DataFrame:
    """1,276 pairs; mean 0.5683, median 0.5909, six below 0.2 at layer 4, and 0 elsewhere."""
    indices = [0.1] * 6 + [0.4801] * 631 + [0.5909] * 2 + [0.66] * 637
    pairs = pl.DataFrame(surviving_pairs(), schema=["ast_node", "builtin_obj"], orient="row")
    assert pairs.height == len(indices) == 1276
    return pl.concat(
        [
            pairs.with_columns(
                layer=pl.lit(layer, pl.Int64),
                pair_size=pl.Series([10_000] * len(values)),
                unexplained=pl.Series([round(10_000 * value) for value in values]),
                entanglement_index=pl.Series(values),
            )
            for layer, values in enumerate([[0.0] * 1276] * 4 + [indices] + [[0.0] * 1276] * 3)
        ]
    )


def ockham_table(concepts: list[str]) -> pl.DataFrame:
    similarities = {
        "ast": [0.7861] + [0.55] * 584 + [0.43311] * 318,
        "builtin": [0.8523] + [0.66] * 1793 + [0.46227] * 159,
    }
    parts = []
    for kind, values in similarities.items():
        names = [name for name in concepts if name.startswith(kind)]
        first, second = np.triu_indices(len(names), k=1)
        assert len(first) == len(values)
        parts.extend(
            pl.DataFrame(
                {
                    "type": [kind] * len(values),
                    "layer": [layer] * len(values),
                    "concept_a": [names[i] for i in first],
                    "concept_b": [names[i] for i in second],
                    "jaccard": found,
                    "ockham_index": [1 - value for value in found],
                }
            )
            for layer in range(LAYERS)
            for found in (values if layer == 4 else [0.6] * len(values),)
        )
    return pl.concat(parts)


def profile_table() -> pl.DataFrame:
    sizes = {
        "pair": (385.62, 498.7, 496.77, 280.1, 247.8, 206.3, 265.8, 290.9),
        "ast": (263.1, 460.4, 422.1, 138.8, 131.7, 91.1, 128.7, 174.66),
        "builtin": (238.6, 452.4, 401.9, 96.5, 93.9, 53.8, 88.54, 138.0),
    }
    rows = [
        (layer, kind, 10, sizes[kind][layer], 100.0, 1, 999)
        for layer in range(LAYERS)
        for kind in sizes
    ]
    schema = ["layer", "type", "n", "mean_size", "median_size", "min_size", "max_size"]
    return pl.DataFrame(rows, schema=schema, orient="row")
