"""Circuits over training, against sets of neurons."""

from __future__ import annotations

import numpy as np
import pytest

from atlas_assets.errors import ArtifactError
from atlas_assets.stages.decomposition.decomposition import target_checker
from atlas_assets.stages.masks.masks import Masks
from atlas_assets.stages.series import SERIES_SCHEMA, Moment, circuits_over_training
from atlas_assets.stages.setting import REFERENCE

NAMES = ("ast__For", "ast__If", "builtin__len")


def masks(seed: int, names: tuple[str, ...] = NAMES, width: int = 30) -> Masks:
    bits = np.random.default_rng(seed).random((len(names), 2, width)) < 0.3
    bits[0, 1] = False
    return Masks(names, bits)


def likeness(a: Masks, b: Masks, names: tuple[str, ...]) -> float:
    found = []
    for name in names:
        for layer in range(a.n_layers):
            one, two = (set(np.flatnonzero(m.bits[m.index(name), layer])) for m in (a, b))
            found.append(len(one & two) / len(one | two) if one | two else 1.0)
    return float(np.mean(found))


def test_a_row_per_checkpoint_and_type() -> None:
    universal = [masks(1), masks(2, NAMES[:2]), masks(3)]
    table_of_first = target_checker(universal[0], masks(4, NAMES[:2]))
    moments = [
        Moment("step1", 1, universal[0], table_of_first),
        Moment("step2", 2, universal[1], None),
        Moment("last", None, universal[2], None),
    ]
    table = circuits_over_training(moments, REFERENCE)
    SERIES_SCHEMA.check(table, where="the table")
    shown = [(row["checkpoint"], row["type"]) for row in table.iter_rows(named=True)]
    assert shown == [
        ("step1", "ast"),
        ("step1", "builtin"),
        ("step2", "ast"),
        ("last", "ast"),
        ("last", "builtin"),
    ]
    first, builtin, second, last, _ = table.iter_rows(named=True)
    assert first["mean_size"] == round(float(universal[0].sizes()[:2].mean()), 1)
    assert 0 < first["concept_fraction"] < 1
    assert builtin["concept_fraction"] is None
    assert first["jaccard_with_previous"] is None
    expected = likeness(universal[1], universal[0], NAMES[:2])
    assert second["jaccard_with_previous"] == pytest.approx(expected, abs=5e-5)
    expected = likeness(universal[0], universal[2], NAMES[2:])
    assert builtin["jaccard_with_last"] == pytest.approx(expected, abs=5e-5)
    assert (last["step"], last["jaccard_with_last"]) == (None, 1.0)


def test_checkpoints_of_two_networks_are_refused() -> None:
    moments = [Moment("a", 1, masks(1), None), Moment("b", 2, masks(1, width=31), None)]
    with pytest.raises(ArtifactError, match="31") as caught:
        circuits_over_training(moments, REFERENCE)
    assert "checkpoint a" in str(caught.value)
    assert "checkpoint b" in str(caught.value)
