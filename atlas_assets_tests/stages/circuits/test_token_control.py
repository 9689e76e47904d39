"""Concept fractions at keywords: where prompts are cut, and the fractions prompt by prompt."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.circuits.fraction_intervals import SCHEMA
from atlas_assets.stages.circuits.token_control import (
    TOKEN_CONTROL,
    controlled,
    cut_checkers,
    cut_prompts,
    of_one_token,
)
from atlas_assets.stages.prompts.object_prompts import generate
from atlas_assets.stages.prompts.stimuli import load_stimuli
from atlas_assets.stages.setting import Setting
from atlas_assets_tests.extraction.tiny_models import ByteTokenizer
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.circuits import planted
from atlas_assets_tests.stages.circuits.test_fraction_intervals import (
    CONCEPTS,
    SETTINGS,
    Readouts,
    naive_circuits,
    naive_means,
    percentile,
    random_readouts,
)

AT = Setting(0.1, 0.5)
KEYWORDS = {"ast__For": "for", "ast__Lambda": "lambda", "builtin__len": "len"}


def test_object_prompts_are_cut_where_the_keyword_of_the_concept_ends() -> None:
    prompts = generate(load_stimuli(), ast_nodes=["For", "If", "Lambda"], builtins=["len", "list"])
    at_nodes = cut_prompts(prompts, KEYWORDS, "ast")
    assert sorted(at_nodes["ast_node"].unique()) == ["For", "Lambda"]
    for node, text in at_nodes.select("ast_node", "prompt_text").rows():
        assert text.endswith(KEYWORDS[f"ast__{node}"])
    at_names = cut_prompts(prompts, KEYWORDS, "builtin")
    assert set(at_names["builtin_obj"]) == {"len"}
    assert at_names["prompt_text"].str.ends_with("len").all()
    whole = {row[:3]: row[3] for row in prompts.select(at_nodes.columns[:4]).rows()}
    for cut in (at_nodes, at_names):
        rows = cut.select(at_nodes.columns[:4]).rows()
        assert all(whole[row[:3]].startswith(row[3]) for row in rows)
        assert cut.group_by("ast_node", "builtin_obj").len()["len"].max() == 10
        assert cut["variation_id"].max() == 9


def test_keyword_prompts_are_cut_where_the_keyword_occurs_last() -> None:
    rows = [
        ("ast__For", "for", "x = 'not for the format for'\ny = 2"),
        ("ast__For", "for", "# formula\nfor_each = 1"),
        ("builtin__len", "len", "x = {'len': 1, 'b': 2}"),
        ("builtin__len", "len", "no keyword"),
    ]
    table = pl.DataFrame(rows, schema=["object", "keyword", "prompt_text"], orient="row")
    assert cut_checkers(table, ByteTokenizer()) == {
        "ast__For": ["x = 'not for the format for", "# formula\nfor"],
        "builtin__len": ["x = {'len"],
    }


class SpacedTokenizer(ByteTokenizer):
    """One id per byte; but a word after a space is one token, with its space."""

    WORDS = (" for", " len", " map")

    def encode(self, text: str) -> list[int]:
        for number, word in enumerate(self.WORDS):
            if text.endswith(word):
                return [*super().encode(text[: -len(word)]), 300 + number]
        return super().encode(text)


def test_both_sides_of_a_concept_end_in_one_token() -> None:
    rows = [
        *(("For", "list", n, f"a{n}\n for") for n in range(3)),
        ("For", "list", 3, "a\nfor"),
        ("While", "list", 0, "while"),
        ("If", "list", 0, "if"),
    ]
    columns = ["ast_node", "builtin_obj", "variation_id", "prompt_text"]
    cut = pl.DataFrame(rows, schema=columns, orient="row")
    beside = {
        "ast__For": ["'for", "' for", '"for', "# for"],
        "ast__While": ["' while", "'whil"],
        "ast__If": ["'i"],
    }
    # " for" ends 3 of 4 and 2 of 4, "r" 1 of 4 and 2 of 4; If's sides end in no token alike
    prompts, units = of_one_token(cut, beside, SpacedTokenizer(), "ast")
    assert prompts.columns == columns
    assert prompts.rows() == [*rows[:3], rows[4]]
    assert units == {"ast__For": ["' for", "# for"], "ast__While": ["' while"]}
    at_names = pl.DataFrame([("For", "len", 0, "f(len")], schema=columns, orient="row")
    none, apart = of_one_token(at_names, {"builtin__len": ["' len"]}, SpacedTokenizer(), "builtin")
    assert none.is_empty() and none.schema == at_names.schema and apart == {}


def read(readouts: Readouts) -> Activations:
    by_name = {f"{domain} {pair}": values for (domain, pair), values in readouts.items()}
    return summed(by_name)


def summed(by_name: dict[str, np.ndarray]) -> Activations:
    names = tuple(sorted(by_name))
    return Activations(
        names,
        np.array([len(by_name[name]) for name in names], np.int32),
        np.stack([by_name[name].sum(axis=0) for name in names]).astype(np.float32),
        np.stack([(by_name[name] > 0).sum(axis=0) for name in names]).astype(np.int32),
    )


def test_fractions_are_those_of_prompts_counted_one_by_one() -> None:
    rng, domains = np.random.default_rng(5), 3
    sides = {"ast": random_readouts(rng, domains), "builtin": random_readouts(rng, domains)}
    texts = {name: rng.choice([0.0, 0.5, 1.0], size=(4, 2, 6)) for name in CONCEPTS}
    found = controlled({kind: read(of) for kind, of in sides.items()}, summed(texts), SETTINGS)
    SCHEMA.check(found, where="token_control")
    for at, (kind, readouts) in product(SETTINGS, sides.items()):
        checker = {
            name: naive.circuit(
                4, values.sum(axis=0), (values > 0).sum(axis=0), at.epsilon, at.consistency
            )
            for name, values in texts.items()
        }
        drawn: dict[str, list[float]] = {}
        for places in product(range(domains), repeat=domains):
            for name, value in naive_means(naive_circuits(readouts, places, at), checker).items():
                drawn.setdefault(name, []).extend([] if value is None else [value])
        whole = naive_means(naive_circuits(readouts, tuple(range(domains)), at), checker)
        here = pl.col("of").str.starts_with(kind)
        rows = found.filter(here, epsilon=at.epsilon, consistency=at.consistency)
        assert set(rows["of"]) == {name for name in whole if name.startswith(kind)}
        for row in rows.rows(named=True):
            assert row["concept_fraction"] == whole[row["of"]]
            assert row["low"] == pytest.approx(percentile(drawn[row["of"]], 0.025), abs=1e-12)
            assert row["high"] == pytest.approx(percentile(drawn[row["of"]], 0.975), abs=1e-12)


#: neurons that follow the token alone, where it is a node's keyword
FOLLOWING = {100, 101}


def planted_fractions(*, shuffled: bool = False) -> dict[str, float]:
    """Of each AST node: four neurons of its own, four common ones, two that follow its token."""
    nodes = [f"ast__{node}" for node in planted.NODES]
    order = np.random.default_rng(2).permutation(len(nodes)).tolist()
    sides, texts = {}, {}
    for number, node in enumerate(planted.NODES):
        own = planted.circuit_of(nodes[order[number]] if shuffled else nodes[number])
        readout = np.zeros((2, 1, planted.WIDTH))
        readout[:, 0, sorted(own | planted.COMMON | FOLLOWING)] = 1.0
        for builtin, domain in product(planted.BUILTINS, range(5)):
            sides[domain, f"{node}__{builtin}"] = readout
        text = np.zeros((3, 1, planted.WIDTH))
        own_in_text = set(sorted(planted.circuit_of(nodes[number]))[:2])
        text[:, 0, sorted(own_in_text | planted.COMMON | FOLLOWING)] = 1.0
        texts[nodes[number]] = text
    found = controlled({"ast": read(sides)}, summed(texts), [AT])
    return dict(found.select("of", "concept_fraction").rows())


def test_what_follows_the_token_is_no_part_of_a_planted_fraction() -> None:
    """Two of its own four neurons are silent where the keyword is no node: two of ten."""
    assert set(planted_fractions().values()) == {0.2}
    shuffled = planted_fractions(shuffled=True)
    # another node's four neurons fire nowhere in the texts of this one
    assert shuffled["ast"] > 0.3


def test_a_kind_without_prompts_has_no_rows() -> None:
    texts = {"ast__N0": np.ones((2, 1, 4))}
    none = summed({"0 N0__b0": np.ones((1, 1, 4))}).select(())
    found = controlled({"ast": none, "builtin": none}, summed(texts), [AT])
    assert found.is_empty()
    assert found.schema == SCHEMA.polars
    assert TOKEN_CONTROL.entries[0].table(found).rows == ()  # the report goes without
