"""Intervals of concept fractions against every ordered draw of subject areas, one by one."""

from __future__ import annotations

from itertools import product
from math import comb, floor

import numpy as np
import polars as pl
import pytest

from atlas_assets.stages.activations.activations import Activations
from atlas_assets.stages.circuits import fraction_intervals
from atlas_assets.stages.circuits.fraction_intervals import OfDomains, draws, units_by_domain
from atlas_assets.stages.decomposition.decomposition import summary, target_checker
from atlas_assets.stages.masks.masks import Masks, threshold, universal
from atlas_assets.stages.setting import Setting
from atlas_assets_tests.oracles import atlas_naive as naive
from atlas_assets_tests.stages.circuits import planted
from atlas_assets_tests.stages.random_atlas import masks

PAIRS = ("For__len", "For__list", "If__len", "If__list", "Pass___isolated_")
CONCEPTS = ("ast__For", "ast__If", "builtin__len", "builtin__list")
SETTINGS = (Setting(0.1, 0.5), Setting(0.5, 0.5), Setting(0.5, 0.8))
#: readouts of a unit, ``[prompts, layers, width]``, by (domain, pair)
Readouts = dict[tuple[int, str], np.ndarray]


def random_readouts(rng: np.random.Generator, domains: int) -> Readouts:
    """Values whose sums are exact in float32, in any order; a pair lacks the last domain."""
    levels = [0.0, 0.0, 0.25, 0.5, 1.0, 2.0]
    found = {}
    for pair in PAIRS:
        usual = rng.choice(levels, size=(2, 6)) > 0.3
        for domain in range(domains - (pair == "If__list")):
            there = usual ^ (rng.random((2, 6)) < 0.15)
            n = int(rng.integers(1, 4))
            found[domain, pair] = there * rng.choice(levels, size=(n, 2, 6))
    return found


def read(readouts: Readouts) -> OfDomains:
    """The same as the network's sums and counts."""
    names = sorted(f"{domain} {pair}" for domain, pair in readouts)
    by_name = {f"{domain} {pair}": values for (domain, pair), values in readouts.items()}
    return OfDomains.of(
        Activations(
            tuple(names),
            np.array([len(by_name[name]) for name in names], np.int32),
            np.stack([by_name[name].sum(axis=0) for name in names]).astype(np.float32),
            np.stack([(by_name[name] > 0).sum(axis=0) for name in names]).astype(np.int32),
        )
    )


def naive_circuits(readouts: Readouts, drawn: tuple[int, ...], at: Setting) -> naive.Circuits:
    """Universal masks of the prompts of the domains drawn, prompt by prompt."""
    pairs = {}
    for pair in PAIRS:
        prompts = [
            r for domain in drawn if (domain, pair) in readouts for r in readouts[domain, pair]
        ]
        if prompts:
            total, firing = sum(prompts), sum((r > 0).astype(int) for r in prompts)
            pairs[pair] = naive.circuit(len(prompts), total, firing, at.epsilon, at.consistency)
    return naive.universals(pairs)


def naive_means(circuits: naive.Circuits, checker: naive.Circuits) -> dict[str, float | None]:
    by_concept = {
        name: [
            naive.fraction(len(a - b), len(a))
            for a, b in zip(circuits[name], checker[name], strict=True)
        ]
        for name in CONCEPTS
        if name in circuits
    }
    found = {name: naive.mean_of_series(values) for name, values in by_concept.items()}
    for kind, prefix in (("ast", "ast"), ("builtin", "builtin"), ("all", "")):
        values = [v for name, of in by_concept.items() if name.startswith(prefix) for v in of]
        found[kind] = naive.mean_of_series(values)
    return found


def percentile(values: list[float], share: float) -> float:
    """Between the two values nearest in rank, in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def stated(readouts: Readouts, checker: Masks) -> dict[Setting, pl.DataFrame]:
    domains = tuple({domain: 0 for domain, _ in readouts})
    found = {}
    for at in SETTINGS:
        whole = naive.to_bits(naive_circuits(readouts, domains, at), 6)
        names = tuple(naive_circuits(readouts, domains, at))
        found[at] = target_checker(Masks(names, whole), checker)
    return found


@pytest.mark.parametrize("domains", [2, 3, 4])
def test_intervals_are_those_of_all_ordered_draws(domains: int) -> None:
    rng = np.random.default_rng(domains)
    readouts = random_readouts(rng, domains)
    checker = masks(rng, CONCEPTS, n_layers=2, width=6)
    tables = stated(readouts, checker)
    found = fraction_intervals.intervals(tables, dict.fromkeys(SETTINGS, checker), read(readouts))
    fraction_intervals.SCHEMA.check(found, where="fraction_intervals")
    assert found["n_domains"].unique().to_list() == [domains]
    for at in SETTINGS:
        drawn: dict[str, list[float]] = {}
        for places in product(range(domains), repeat=domains):
            circuits = naive_circuits(readouts, places, at)
            for name, value in naive_means(circuits, naive.from_bits(checker)).items():
                drawn.setdefault(name, []).extend([] if value is None else [value])
        whole = naive_means(
            naive_circuits(readouts, tuple(range(domains)), at), naive.from_bits(checker)
        )
        rows = found.filter(epsilon=at.epsilon, consistency=at.consistency)
        assert set(rows["of"]) == set(whole)
        for row in rows.rows(named=True):
            assert row["concept_fraction"] == whole[row["of"]]
            assert row["low"] == pytest.approx(percentile(drawn[row["of"]], 0.025), abs=1e-12)
            assert row["high"] == pytest.approx(percentile(drawn[row["of"]], 0.975), abs=1e-12)


def test_the_means_are_those_of_the_summary() -> None:
    rng = np.random.default_rng(9)
    readouts = random_readouts(rng, 3)
    checker = masks(rng, CONCEPTS, n_layers=2, width=6)
    tables = stated(readouts, checker)
    found = fraction_intervals.intervals(tables, dict.fromkeys(SETTINGS, checker), read(readouts))
    for row in summary(tables).rows(named=True):
        at = found.filter(epsilon=row["epsilon"], consistency=row["consistency"])
        values = dict(at.select("of", "concept_fraction").rows())
        assert values["all"] == row["mean_concept_fraction"]
        assert values["ast"] == row["ast_concept_fraction"]
        assert values["builtin"] == row["blt_concept_fraction"]


def test_five_areas_are_drawn_in_126_ways_of_3125_orders() -> None:
    ways = dict(draws(5))
    assert (len(ways), sum(ways.values())) == (126, 5**5)
    assert ways[1, 1, 1, 1, 1] == 120
    assert ways[0, 5, 0, 0, 0] == 1


def test_of_one_area_there_is_no_interval() -> None:
    rng = np.random.default_rng(1)
    readouts = {(0, pair): rng.choice([0.0, 1.0], size=(3, 2, 6)) for pair in PAIRS}
    checker = masks(rng, CONCEPTS, n_layers=2, width=6)
    found = fraction_intervals.intervals(
        stated(readouts, checker), dict.fromkeys(SETTINGS, checker), read(readouts)
    )
    assert found["low"].null_count() == found["high"].null_count() == found.height


def test_prompts_are_grouped_by_area_and_pair_of_the_concepts_asked_for() -> None:
    rows = [
        (node, builtin, number, f"{node} {builtin} {number}")
        for node, builtin in (("For", "len"), ("If", "list"), ("Pass", "_isolated_"))
        for number in range(7)
    ]
    columns = ["ast_node", "builtin_obj", "variation_id", "prompt_text"]
    prompts = pl.DataFrame(rows, schema=columns, orient="row")
    units = units_by_domain(prompts, {"ast__For", "builtin__list"})
    assert sorted(units) == [f"{at} {pair}" for at in range(5) for pair in ("For__len", "If__list")]
    assert units["1 For__len"] == ["For len 1", "For len 6"]
    assert units["4 If__list"] == ["If list 4"]


AT = Setting(0.1, 0.5)


def planted_readouts(repeated: int = 1) -> Readouts:
    """Circuits of four common and four own neurons; one more fires in areas 0 and 1 alone."""
    found = {}
    for node, builtin, domain in product(planted.NODES, planted.BUILTINS, range(5)):
        own = planted.circuit_of(f"ast__{node}") | planted.circuit_of(f"builtin__{builtin}")
        readout = np.zeros((2 * repeated, 1, planted.WIDTH))
        readout[:, 0, sorted(own | planted.COMMON)] = 1.0
        if domain < 2:
            readout[:, 0, 100 + int(node[1:])] = 1.0
        found[domain, f"{node}__{builtin}"] = readout
    return found


def planted_checkers() -> Masks:
    """The keyword shares the common neurons, and two of the concept's own."""
    names = tuple(sorted(f"ast__{node}" for node in planted.NODES))
    bits = np.zeros((len(names), 1, planted.WIDTH), np.bool_)
    for row, name in enumerate(names):
        bits[row, 0, sorted(planted.COMMON | set(sorted(planted.circuit_of(name))[:2]))] = True
    return Masks(names, bits)


def found_in(readouts: Readouts) -> dict[str, tuple[float, float, float]]:
    """The fraction and its interval of every concept, and of all."""
    by_domain, checker = read(readouts), planted_checkers()
    whole = universal(threshold(by_domain.drawn([1] * 5), AT))
    tables = {AT: target_checker(whole, checker)}
    found = fraction_intervals.intervals(tables, {AT: checker}, by_domain)
    columns = ("concept_fraction", "low", "high")
    return {row["of"]: tuple(row[name] for name in columns) for row in found.rows(named=True)}


def test_planted_fractions_are_found_with_what_varies_between_areas() -> None:
    """A neuron of two areas of five is consistent where these are three draws or more of five.

    That is so in 32% of all draws: two of eight neurons are the concept's only, or three of nine.
    """
    often = sum(comb(5, k) * 0.4**k * 0.6 ** (5 - k) for k in (3, 4, 5))
    assert 0.025 < often < 0.975
    found = found_in(planted_readouts())
    assert set(found) == {*planted_checkers().names, "ast", "all"}
    assert set(found.values()) == {(0.25, 0.25, round(3 / 9, 4))}


def test_what_fires_in_all_areas_alike_has_no_width() -> None:
    readouts = {key: values[..., :100] for key, values in planted_readouts().items()}
    padded = {key: np.pad(of, ((0, 0), (0, 0), (0, 20))) for key, of in readouts.items()}
    assert set(found_in(padded).values()) == {(0.25, 0.25, 0.25)}


def test_more_prompts_of_the_same_areas_make_no_interval_narrower() -> None:
    assert found_in(planted_readouts(repeated=10)) == found_in(planted_readouts())


def test_shuffled_labels_leave_nothing_of_the_concepts_own() -> None:
    readouts = planted_readouts()
    pairs = sorted({pair for _, pair in readouts})
    order = np.random.default_rng(3).permutation(len(pairs))
    other = {pair: pairs[place] for pair, place in zip(pairs, order, strict=True)}
    shuffled = {(domain, pair): readouts[domain, other[pair]] for domain, pair in readouts}
    assert max(high for _, _, high in found_in(shuffled).values()) < 0.05
