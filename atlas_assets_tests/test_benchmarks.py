"""The benchmarks compare like with like, and report it the same way each time."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import torch

from atlas_assets.definitions import build_definitions, build_resources
from atlas_assets.settings import AtlasSettings
from atlas_assets.stages.masks.masks import checker_masks
from atlas_assets_tests.extraction import tiny_models
from atlas_assets_tests.orchestration.test_sweep import CONCEPTS, PAIRS
from atlas_assets_tests.orchestration.tiny_atlas import activations, files_of, tiny_settings
from benchmarks import direct_sweep, engines, report
from benchmarks.__main__ import SECTIONS
from benchmarks.extraction import selection_of_torch
from benchmarks.measure import Findings, Measurement, Table

FOUND = Findings(
    [
        Measurement("a ratio", 12.345, "×", 10, at_least=True, note="a share"),
        Measurement("a time", 2.5, "s", 2),
        Measurement("a size", 1234.5, "MB"),
    ],
    [Table("Growth", ("prompts", "time (s)"), (("× 1", 0.01234), ("× 2", 2000)))],
)


def inputs(folder: Path) -> AtlasSettings:
    settings = tiny_settings(
        folder, epsilons="0.001,0.1,0.5", consistencies="0.2,0.5,0.8"
    ).model_copy(update={"name": "tiny"})
    store = build_resources(settings)["store"]
    checkers = activations(CONCEPTS, seed=1)
    store.write("object_activations", activations(PAIRS, seed=0), inputs={})
    store.write("checker_activations", checkers, inputs={})
    store.write("token_checker_masks", checker_masks(checkers, settings.token_checker), inputs={})
    return settings


def test_the_direct_sweep_writes_the_files_of_the_job_byte_by_byte(tmp_path: Path) -> None:
    by_job, directly = inputs(tmp_path / "job"), inputs(tmp_path / "direct")
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(by_job).resolve_job_def("sweep")
        assert job.execute_in_process(instance=instance).success
    store = build_resources(directly)["store"]
    direct_sweep.write_tables(store, direct_sweep.write_masks(store, directly.sweep))
    made = files_of(Path(by_job.data_dir) / "tiny")
    assert len(made) == 3 + 35
    assert files_of(Path(directly.data_dir) / "tiny") == made


def test_the_report() -> None:
    document = report.merged({"sections": {}}, {"files": FOUND}, SECTIONS)
    text = report.markdown(document, SECTIONS)
    assert "| a ratio (a share) | 12.3 × | at least 10 × | met |" in text
    assert "| a time | 2.50 s | under 2 s | missed |" in text
    assert "| a size | 1,234 MB |  |  |" in text
    assert "| × 1 | 0.0123 |\n| × 2 | 2,000 |" in text
    assert report.markdown(document, SECTIONS) == text
    assert "a ratio" not in report.markdown(document, SECTIONS, only=["sweep"])


def test_the_plain_network_of_the_benchmark_computes_the_same() -> None:
    model = tiny_models.sparse_circuitgpt()
    ids = torch.tensor([model.tokenizer.encode("for x in y:\n    pass")])
    with torch.inference_mode():
        expected = model.network(ids).logits
        with selection_of_torch():
            found = model.network(ids).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_engines_are_compared_with_threads_of_the_same_turn() -> None:
    runs = {
        "threads": [engines.Run(1, 2, 0, ""), engines.Run(2, 4, 0, ""), engines.Run(9, 9, 0, "")],
        "1 worker": [engines.Run(3, 1, 2, ""), engines.Run(3, 1, 4, ""), engines.Run(9, 1, 8, "")],
    }
    found = engines.findings(runs, prompts=100)
    threads, worker = found.tables[0].rows
    assert threads == ("threads", 2, 4, 0, 25, 1)
    assert worker == ("1 worker", 3, 1, 4, 20, 1.25)
    assert [(bar.seen, bar.limit) for bar in found.measurements] == [(1.25, engines.MOST)]


@pytest.mark.slow
def test_a_quick_look_at_the_engines_counts_the_processor_time_of_workers() -> None:
    found = engines.measured(pairs=2, workers=[1], rounds=1)
    (table,) = found.tables
    (name, _, driver, others, rate, ratio), worker = table.rows
    assert (name, others, ratio) == ("threads", 0, 1) and float(driver) > 0 and float(rate) > 0
    assert worker[0] == "1 worker" and float(worker[3]) > 0
    (bar,) = found.measurements
    assert bar.seen == worker[-1] and bar.limit == engines.MOST
