"""The data of the page `atlas_explorer.html`: an atlas as one small JSON document.

Neurons are numbered through all layers, layer × width + neuron. The circuits of a definition are
base64 of one of two, whichever is shorter: ``bits``, of every concept in turn, the first neuron the
highest bit; ``gaps``, of every concept the number of its neurons and the steps from each to the
next (the first from −1), each number in groups of seven bits, the lowest first, the highest bit of
an octet telling that another follows.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from atlas_assets.errors import MissingArtifactError
from atlas_assets.stages.analyses import atomicity
from atlas_assets.stages.circuits import circuits
from atlas_assets.stages.circuits.ablation import EXACT
from atlas_assets.stages.circuits.quality import LEAST_CLUSTERS, LEAST_PROMPTS
from atlas_assets.stages.making import Making
from atlas_assets.stages.masks.masks import Bits, CheckerMasks, Masks, universal_from_table
from atlas_assets.stages.report.findings import findings
from atlas_assets.stages.report.page import Page
from atlas_assets.stages.report.shown_prompts import shown_prompts
from atlas_assets.stages.report.shown_wiring import shown_wiring
from atlas_assets.stages.setting import PUBLISHED, REFERENCE, Definition, Partition, Setting

FORMAT = 1
#: base64 characters of all circuits together; settings beyond it are left out, and said to be
MOST_CHARACTERS = 2_600_000
#: decimals of numbers in tables
_PLACES = 4
#: artifact → the name that its table has in the document
_TABLES = {
    "circuit_quality": "quality",
    "circuit_leaderboard": "leaderboard",
    "summary": "sweep",
    "circuit_distinctness": "distinctness",
    "modularity_scores": "modularity",
}


def explorer_data(making: Making, page: Page) -> dict[str, Any]:
    """Return what the page shows, as values of JSON; what the atlas lacks is absent.

    Args:
        making: Gives the files of the atlas.
        page: What stands in the report besides.
    """
    tables = {key: _read(making, key) for key in _TABLES}
    data: dict[str, Any] = {
        "format": FORMAT,
        "model": page.model,
        "own": page.own,
        "facts": page.facts,
        "concepts": [],
        "definitions": [],
        "tables": {_TABLES[key]: _table(of) for key, of in tables.items() if of is not None},
        "claims": [_claim(page, number) for number in range(len(page.claims))],
        "notes": page.notes,
        "sections": [_section(section) for section in (*page.analyses, page.provenance)],
        "missing": page.missing,
        "intervals": {
            "prompts": LEAST_PROMPTS,
            "clusters": LEAST_CLUSTERS,
            "validated": EXACT.own,
        },
    }
    universal, setting, checker = None, None, None
    masks = _read(making, "masks")
    if masks is not None:
        settings = [Setting(*row) for row in masks.select("epsilon", "consistency").unique().rows()]
        # the reference comes first, and is what is kept of an atlas that is too large
        settings.sort(key=lambda each: (each != REFERENCE, each))
        setting = settings[0]
        universal = universal_from_table(masks, setting)
        data |= _circuits(making, masks, settings, universal)
        checker = _read(making, "checker_masks", setting)
    data["findings"] = [
        {"topic": finding.topic, "text": finding.text}
        for finding in findings(
            universal, setting, checker and checker.masks, tables["circuit_leaderboard"]
        )
    ]
    prompts = _read(making, "object_prompts")
    if prompts is not None:
        data["prompts"] = shown_prompts(prompts, _read(making, "checker_prompts"))
    wiring = _read(making, "circuit_wiring")
    if wiring is not None and (shown := shown_wiring(wiring)) is not None:
        data["wiring"] = shown
    return data


def _read(making: Making, key: str, partition: Partition | None = None) -> Any | None:
    """Return an artifact, or ``None`` where it is not there."""
    try:
        return making.read(key, partition)
    except MissingArtifactError:
        return None


def _circuits(
    making: Making, masks: pl.DataFrame, settings: list[Setting], like: Masks
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "concepts": like.names,
        "layers": like.n_layers,
        "width": like.width,
        "definitions": [],
        "checkers": [],
        "left_out": [],
    }
    characters = 0
    for definition, circuits_of_it in _defined(making, masks, settings, like):
        told = _defined_as(definition, circuits_of_it)
        checked = _checkers(making, definition.setting) if definition.setting else None
        characters += sum(len(text) for each in (told, checked or {}) for text in _texts(each))
        if characters > MOST_CHARACTERS:
            found["left_out"].append(str(_public(definition)))
            continue
        found["definitions"].append(told)
        if checked is not None:
            found["checkers"].append(checked)
    return found


def _texts(told: dict[str, Any]) -> Iterator[str]:
    packed = told.get("circuits", {})
    return (packed[name] for name in ("bits", "gaps") if name in packed)


def _defined(
    making: Making, masks: pl.DataFrame, settings: list[Setting], like: Masks
) -> Iterator[tuple[Definition, Masks]]:
    """The circuits of every definition: published at the first setting, others, other settings."""
    yield Definition(PUBLISHED, settings[0]), like
    for definition in making.definitions:
        if definition.name != PUBLISHED:
            table = _read(making, "circuits", definition)
            if table is not None:
                yield definition, circuits.from_table(table, like, where=str(definition))
    for setting in settings[1:]:
        yield Definition(PUBLISHED, setting), universal_from_table(masks, setting)


def _public(definition: Definition) -> Definition:
    """Return the definition as tables name it, where the reference setting is not spelled."""
    if definition.setting == REFERENCE:
        return Definition(definition.name)
    return definition


def _defined_as(definition: Definition, of_it: Masks) -> dict[str, Any]:
    told: dict[str, Any] = {"name": definition.name, "key": str(_public(definition))}
    if definition.setting is not None:
        told["epsilon"] = definition.setting.epsilon
        told["consistency"] = definition.setting.consistency
    return {**told, "circuits": packed(of_it.bits), "order": leaf_order(of_it)}


def _checkers(making: Making, setting: Setting) -> dict[str, Any] | None:
    checker: CheckerMasks | None = _read(making, "checker_masks", setting)
    if checker is None:
        return None
    return {
        "epsilon": setting.epsilon,
        "consistency": setting.consistency,
        "concepts": checker.masks.names,
        "circuits": packed(checker.masks.bits),
    }


def leaf_order(masks: Masks) -> list[int]:
    """Return the numbers of the concepts as Ward's dendrogram of all layers together has them.

    Concepts without a neuron come last.
    """
    whole = masks.bits.reshape(len(masks.names), 1, -1)
    found = atomicity.linkage(Masks(masks.names, whole), 0)
    numbers = {name: number for number, name in enumerate(masks.names)}
    leaves = [numbers[found.names[place]] for place in found.order.tolist()]
    return leaves + sorted(set(numbers.values()) - set(leaves))


def packed(bits: Bits) -> dict[str, str]:
    """Return circuits, bool ``[concepts, layers, width]``, in the shorter of the two forms."""
    flat = bits.reshape(len(bits), -1)
    as_bits = np.packbits(flat).tobytes()
    as_gaps = b"".join(map(_gaps, flat))
    if len(as_gaps) < len(as_bits):
        return {"gaps": base64.b64encode(as_gaps).decode()}
    return {"bits": base64.b64encode(as_bits).decode()}


def _gaps(circuit: Bits) -> bytes:
    neurons = np.flatnonzero(circuit)
    numbers = [len(neurons), *np.diff(neurons, prepend=-1).tolist()]
    found = bytearray()
    for number in numbers:
        while number > 0x7F:
            found.append(number & 0x7F | 0x80)
            number >>= 7
        found.append(number)
    return bytes(found)


def _table(table: pl.DataFrame) -> dict[str, Any]:
    rows = [[_rounded(value) for value in row] for row in table.rows()]
    return {"columns": table.columns, "rows": rows}


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, _PLACES) if math.isfinite(value) else None


def _claim(page: Page, number: int) -> dict[str, Any]:
    claim = page.claims[number]
    return {
        "id": claim.id,
        "section": claim.section,
        "statement": claim.statement,
        "computed": claim.computed,
        "setting": claim.setting,
        "expected": claim.expected,
        "observed": claim.observed,
        "verdict": claim.verdict,
        "as_in_paper": claim.as_in_paper,
        "note": page.notes.index(claim.note) if claim.note else None,
    }


def _section(section: Any) -> dict[str, Any]:
    return {
        "id": section.id,
        "title": section.title,
        "introduction": " ".join(filter(None, (section.introduction, section.findings))),
        "tables": [
            {
                "caption": table.caption,
                "columns": table.columns,
                "rows": table.rows,
                "numeric": sorted(table.numeric),
                "note": table.note,
            }
            for table in section.tables
        ],
    }
