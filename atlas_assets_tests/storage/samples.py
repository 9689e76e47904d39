"""Small sound values of every kind that the formats hold."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from upath import UPath

from atlas_assets.models.identity import ModelIdentity
from atlas_assets.soundness.evidence import Recomputation
from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.activations.positions import (
    HALVES,
    LEVELS,
    PositionActivations,
    table_of,
)
from atlas_assets.stages.activations.stored import StoredActivations
from atlas_assets.stages.analyses import modularity_null, ockham, token_independence
from atlas_assets.stages.catalog import ARTIFACTS
from atlas_assets.stages.circuits import circuits, fraction_intervals, half_circuits, wiring
from atlas_assets.stages.decomposition import decomposition
from atlas_assets.stages.figures.drawing import Drawing
from atlas_assets.stages.masks.masks import (
    CheckerMasks,
    Masks,
    ObjectMasks,
    checker_masks,
    object_masks,
    universal_table,
)
from atlas_assets.stages.setting import STANDALONE, Definition, Partition, Setting, grid
from atlas_assets.stages.setting import SWEEP as SWEEP_SPACE
from atlas_assets.storage.codec import Codec
from atlas_assets.storage.jaccard import JaccardMatricesFile
from atlas_assets.storage.provenance import Grid, Lineage, Provenance
from atlas_assets.storage.store import AtlasStore

PAIRS = ("For__len", "For__list", "If__len", "If__list", "Import___isolated_")
CONCEPTS = ("ast__For", "ast__If", "builtin__list")
LAYERS, WIDTH = 6, 16
SETTING = Setting(0.5, 0.8)

LINEAGE = Lineage(
    model=ModelIdentity(model_id="embedded", weights_sha256="a1" * 32, tokenizer_sha256="b2" * 32),
    readout="last_token",
    dtype="float32",
    grid=Grid(loss_threshold=3.0),
    seeds={"prompts": 42},
)
SWEEP = grid([0.001, 0.5], [0.8])
DEFINED = (Definition("published"), Definition("matched"))
OTHER = LINEAGE.model_copy(update={"readout": "published"})


def provenance(artifact: str = "object_masks", **fields: Any) -> Provenance:
    given = {"code_version": "1", "origin": "atlas", "lineage": LINEAGE, "payload_sha256": "00"}
    return Provenance(artifact=artifact, **{**given, **fields})


def record_of(
    codec: Codec[Any], value: Any, artifact: str = "object_masks", **fields: Any
) -> Provenance:
    """The record that a file of ``value`` carries."""
    digests = {"payload_sha256": codec.payload_digest(value), "parts": codec.part_digests(value)}
    return provenance(artifact, **{**digests, **fields})


def activations(
    names: tuple[str, ...] = PAIRS, *, seed: int = 0, layers: int = LAYERS, width: int = WIDTH
) -> Activations:
    rng = np.random.default_rng(seed)
    n_prompts = rng.integers(1, 9, len(names)).astype(np.int32)
    shape = (len(names), layers, width)
    counts = rng.integers(0, n_prompts[:, None, None] + 1, shape).astype(np.int32)
    sums = (counts * rng.random(shape) * 3).astype(np.float32)
    return Activations(names, n_prompts, sums, counts)


def in_blocks(*, seed: int = 0, width: int = WIDTH + 3) -> StoredActivations:
    """Activations whose files, and those of their masks, hold a dataset per layer."""
    found = activations(seed=seed, width=width)
    return StoredActivations(found.names, found.n_prompts, found.sums, found.counts)


def position_activations() -> pl.DataFrame:
    """At the concept of the prompts of two pairs, one of them with a half that has none."""
    rng = np.random.default_rng(3)
    n_prompts = np.array([[3, 2], [1, 0]], np.int32)
    shape = (len(n_prompts), 2, LAYERS, WIDTH)
    counts = rng.integers(0, 2, (len(LEVELS), *shape)).astype(np.int32)
    sums, scale = rng.random(shape).astype(np.float32), rng.random(LAYERS)
    found = PositionActivations("concept", PAIRS[:2], n_prompts, sums, counts, scale, 5)
    return table_of([found])


def objects(setting: Setting = SETTING, **shape: int) -> ObjectMasks:
    return object_masks(activations(**shape), setting)


def checkers(setting: Setting = SETTING, seed: int = 1) -> CheckerMasks:
    return checker_masks(activations(CONCEPTS, seed=seed), setting)


def universal() -> Masks:
    return objects(Setting(0.001, 0.8)).universal


def table(key: str, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    schema = ARTIFACTS[key].schema
    return pl.DataFrame(rows, {of.name: of.dtype for of in schema.columns}, orient="row")


def object_prompts() -> pl.DataFrame:
    rows = [
        (ast, builtin, i, f"x{i} = '{builtin}'  # ε\n", 1.5 + i / 7, 5 + i, True)
        for ast, builtin in (("For", "len"), ("Import", "_isolated_"))
        for i in range(2)
    ]
    return table("object_prompts", rows)


def checker_prompts() -> pl.DataFrame:
    rows = [
        (concept, keyword, i, f"name = '{keyword} {i}'")
        for concept, keyword in (("ast__For", "for"), ("builtin__list", "list"))
        for i in range(3)
    ]
    return table("checker_prompts", rows)


def target_checker(setting: Setting = SETTING) -> pl.DataFrame:
    return decomposition.target_checker(objects(setting).universal, checkers(setting).masks)


def drawing(colour: str = "white", description: str = "A figure of |A∖B| / |A|.") -> Drawing:
    """A figure of 40 × 30 equal pixels."""
    about, buffer = PngInfo(), io.BytesIO()
    about.add_itxt("Description", description)
    Image.new("RGB", (40, 30), colour).save(buffer, format="PNG", pnginfo=about)
    pdf = f"%PDF-1.4\n{colour}\n%%EOF\n".encode()
    return Drawing(buffer.getvalue(), pdf, (buffer.getvalue(),))


def attribution() -> pl.DataFrame:
    names, rng = universal().names, np.random.default_rng(4)
    places = [(name, layer, n) for name in names for layer in range(LAYERS) for n in range(WIDTH)]
    rows = [(*place, float(rng.normal()), 0.5) for place in places]
    return table("attribution", rows)


def ablation() -> pl.DataFrame:
    """Of both definitions, on two prompts of each concept."""
    names, rng = universal().names, np.random.default_rng(5)
    rows = [
        (str(each), name, condition, of, "For__len", number % 5, number, *rng.uniform(1, 4, 3))
        for each in DEFINED
        for name in names
        for condition in ("ablate", "keep", "matched 0")
        for number, of in enumerate(2 * names)
        if of == name or condition != "matched 0"
    ]
    return table("ablation", rows)


def pruned() -> pl.DataFrame:
    """The parts of three circuits."""
    parts = [
        ("ast__For", 4, 2, "0:1 1:3", 0.8, 0.75, 0.7, 0.6, 8),
        ("ast__If", 3, 3, "0:2 1:0 1:5", 0.5, 0.5, 0.4, None, 0),
        ("builtin__list", 5, 5, "0:0 0:1 1:2 1:3 1:4", 1.0, 1.0, 0.9, 0.9, 6),
    ]
    return table("pruned_circuits", [("published", *part) for part in parts])


def block_weights(share: float = 0.2) -> wiring.Weights:
    """Random weights between neurons and, per layer, 10 hidden units and 6 value channels."""
    rng, found = np.random.default_rng(6), []
    for _ in ("reads", "writes"):
        places = np.nonzero(rng.random((LAYERS, 16, WIDTH)) < share)
        weights = rng.normal(size=len(places[0])).astype(np.float32)
        found.append(wiring.Entries(*places, weights))
    return wiring.Weights(10, 6, *found, share)


def wired() -> pl.DataFrame:
    return wiring.wiring(dict.fromkeys(wiring.WIRED, universal()), block_weights())


def read_tokens() -> pl.DataFrame:
    """Each pair's prompts are read at two tokens, the same in both halves."""
    rows = [
        ("concept", half, pair, token + step, 2 - step)
        for half in HALVES
        for token, pair in enumerate(PAIRS)
        for step in range(2)
    ]
    return table("read_tokens", rows)


def half_circuits_of(published: Masks) -> pl.DataFrame:
    """The same circuits in both halves."""
    by_definition = {"published": published, "contrastive": published}
    return half_circuits.to_table(dict.fromkeys(HALVES, by_definition))


def over_domains(
    by_setting: Mapping[Setting, tuple[pl.DataFrame, Masks]], areas: Sequence[Activations]
) -> pl.DataFrame:
    """Intervals of the fractions of tables with their checker masks."""
    read = Activations(
        tuple(f"{number} {name}" for number, area in enumerate(areas) for name in area.names),
        *(
            np.concatenate([getattr(area, name) for area in areas])
            for name in ("n_prompts", "sums", "counts")
        ),
    )
    tables, masks = ({at: of[part] for at, of in by_setting.items()} for part in range(2))
    return fraction_intervals.intervals(tables, masks, fraction_intervals.OfDomains.of(read))


def sample(key: str, partition: Partition | None = None) -> Any:
    """A sound value of the artifact ``key``; what follows from others is computed from theirs."""
    setting = partition if isinstance(partition, Setting) else SETTING
    keywords = {"ast__For": "for", "ast__If": "if", "builtin__list": "list"}
    masks, checked = objects(setting).universal, checkers(setting).masks
    makers = {
        "object_prompts": object_prompts,
        "checker_prompts": checker_prompts,
        "token_checker_prompts": checker_prompts,
        "object_activations": activations,
        "position_activations": position_activations,
        "checker_activations": lambda: activations(CONCEPTS, seed=1),
        "object_masks": lambda: objects(setting),
        "checker_masks": lambda: checkers(setting),
        "token_checker_masks": lambda: checkers(setting, seed=2),
        "masks": lambda: universal_table({setting: masks}),
        "token_independence_detail": lambda: token_independence.detail(masks, checked, keywords),
        "attribution": attribution,
        "circuits": lambda: circuits.to_table(objects().universal),
        "ablation_sample": ablation,
        "ablation": ablation,
        "pruned_circuits": pruned,
        "circuit_wiring": wired,
        "read_tokens": read_tokens,
        "fraction_intervals": lambda: over_domains(
            {setting: (target_checker(setting), checked)},
            [activations(seed=seed) for seed in (0, 7)],
        ),
        "token_control": lambda: over_domains(
            {setting: (target_checker(setting), checked)},
            [activations(seed=seed) for seed in (3, 8)],
        ),
        "half_circuits": lambda: half_circuits_of(objects().universal),
        "modularity_null": lambda: modularity_null.permutation_null(masks, permutations=5),
    }
    if key.startswith("figure_"):
        return drawing()
    if ARTIFACTS[key].kind in ("html", "markdown"):
        return f"# {key}\n\n|A∖B| / |A|\n"
    return makers[key]() if key in makers else _computed(key, setting)


def _computed(key: str, setting: Setting) -> Any:
    recomputation = Recomputation(
        sweep=(setting,),
        definitions=DEFINED,
        partition=setting if ARTIFACTS[key].partitioned else None,
        read=lambda name, at=None, _part=None: sample(name, at or setting),
        universal=lambda at: objects(at).universal,
        any_universal=lambda: objects(setting).universal,
    )
    return recomputation.compute(ARTIFACTS[key])


def equal(left: Any, right: Any) -> bool:
    """Whether two values of one artifact have the same content."""
    if type(left) is not type(right):
        return False
    if isinstance(left, pl.DataFrame):
        return left.equals(right) and left.schema == right.schema
    if isinstance(left, Drawing):
        return (left.png, left.pdf) == (right.png, right.pdf)
    if isinstance(left, ockham.JaccardMatrices):
        digest = JaccardMatricesFile(STANDALONE).payload_digest
        return digest(left) == digest(right)
    return left == right if isinstance(left, str) else left.digest() == right.digest()


def store_at(root: Path | UPath, expected: Lineage = LINEAGE) -> AtlasStore:
    return AtlasStore(UPath(root), lambda: expected, SWEEP, definitions=DEFINED)


def cells(key: str) -> tuple[Partition | None, ...]:
    space = ARTIFACTS[key].partitions
    return {None: (None,), SWEEP_SPACE: SWEEP}.get(space, DEFINED)


def fill(store: AtlasStore) -> None:
    """Writes every artifact, in the order of the pipeline."""
    for key in ARTIFACTS:
        if key == "masks":
            continue
        for setting in cells(key):
            store.write(key, sample(key, setting), setting)
        if key == "token_checker_masks":
            table = universal_table({setting: objects(setting).universal for setting in SWEEP})
            store.write("masks", table)
