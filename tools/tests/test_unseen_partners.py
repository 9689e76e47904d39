"""Identification without the partners of a pair, against planted circuits and remembered pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from atlas_assets.stages.circuits.identification import identify
from atlas_assets.stages.masks.masks import Masks
from atlas_assets_tests.soundness import sound_atlas
from atlas_assets_tests.stages.circuits import planted
from tools import unseen_partners
from tools.unseen_partners import circuits, unseen


def test_planted_circuits_identify_with_partners_that_they_were_not_made_with() -> None:
    discovered, held_out = planted.pair_masks(3)
    for kind, n in (("ast", 8), ("builtin", 6)):
        found = unseen(circuits, discovered, held_out, kind)  # type: ignore[arg-type]
        assert len(found) == n
        assert np.mean(list(found.values())) > 0.95
        shuffled = unseen(circuits, planted.shuffled(discovered, 1), held_out, kind)  # type: ignore[arg-type]
        assert np.mean(list(shuffled.values())) < 0.35


def test_what_is_remembered_of_a_pair_identifies_no_pair_of_another_partner() -> None:
    """Each pair has four neurons of its own, which two of four make a circuit's."""
    nodes, builtins = ["A", "B"], ["p", "q"]
    names = tuple(f"{node}__{builtin}" for node in nodes for builtin in builtins)
    bits = np.kron(np.eye(4, dtype=np.bool_), np.ones((1, 4), dtype=np.bool_))[:, np.newaxis]
    pairs = Masks(names, bits)
    known, of = circuits(pairs)
    assert {one.top1 for one in identify(known, of, pairs).values()} == {1.0}
    for kind in ("ast", "builtin"):
        found = unseen(circuits, pairs, pairs, kind)  # type: ignore[arg-type]
        assert set(found.values()) == {0.5}  # by chance


def test_a_concept_without_another_partner_is_left_out() -> None:
    discovered, held_out = planted.pair_masks(3)
    fewer = tuple(n for n in discovered.names if not n.startswith("N0__") or n == "N0__b0")
    found = unseen(circuits, discovered.select(fewer), held_out, "ast")
    assert "ast__N0" in found  # it has b0 where another one is left out
    alone = tuple(name for name in fewer if name.startswith("N0__"))
    assert unseen(circuits, discovered.select(fewer), held_out.select(alone), "ast") == {}


def test_the_table_is_printed_of_an_atlas(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound_atlas.position_activations().write_parquet(tmp_path / "activations.parquet")
    assert unseen_partners.main([str(tmp_path / "activations.parquet")]) == 0
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert header == "| identified | concepts | partners left out | with all partners |"
    assert [row.split(" | ")[0] for row in rows] == [
        f"| {name}, {told}"
        for told in ("calibrated circuits", "nearest centroid")
        for name in ("AST nodes", "builtins")
    ]
