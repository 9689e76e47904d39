"""Batches side by side: in order, bounded, and without a trace afterwards."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from atlas_assets.extraction.workers import MAX_WORKERS, in_order

CPU = torch.device("cpu")


@pytest.mark.parametrize(("threads", "workers"), [(1, 1), (3, 3), (2 * MAX_WORKERS, MAX_WORKERS)])
def test_few_batches_wait_and_results_are_taken_in_order(threads: int, workers: int) -> None:
    torch.set_num_threads(threads)
    seen: set[tuple[str, int]] = set()
    begun: list[int] = []
    taken: list[tuple[int, int]] = []

    def batches() -> Iterator[int]:
        for batch in range(40):
            assert len(begun) - len(taken) <= 2 * workers
            begun.append(batch)
            yield batch

    def run(batch: int) -> int:
        time.sleep(0.004 * (batch % 3 == 0))  # so that later ones finish first
        seen.add((threading.current_thread().name, torch.get_num_threads()))
        return batch * batch

    def take(batch: int, result: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        taken.append((batch, result))

    in_order(batches(), run, take, device=CPU)
    assert taken == [(batch, batch * batch) for batch in range(40)]
    assert len(seen) <= workers
    assert {each for _, each in seen} == {threads // workers}
    assert torch.get_num_threads() == threads


def test_interrupted_twice_the_caller_gets_back_what_was_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.set_num_threads(2)
    interval, shutdown = sys.getswitchinterval(), ThreadPoolExecutor.shutdown

    def interrupted(pool: ThreadPoolExecutor, **options: bool) -> None:
        shutdown(pool, **options)
        raise KeyboardInterrupt

    def take(_batch: int, _result: None) -> None:
        assert sys.getswitchinterval() < interval
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_order(range(10), lambda _batch: None, take, device=CPU)
    assert sys.getswitchinterval() == interval
    assert torch.get_num_threads() == 2


def test_an_accelerator_runs_one_batch_after_the_other_in_the_calling_thread() -> None:
    torch.set_num_threads(4)
    seen: list[tuple[str, int]] = []

    def run(batch: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        seen.append(("run", batch))

    in_order(
        range(3), run, lambda batch, _: seen.append(("take", batch)), device=torch.device("cuda")
    )
    assert seen == [(step, batch) for batch in range(3) for step in ("run", "take")]


def test_an_error_reaches_the_caller_and_stops_the_rest() -> None:
    torch.set_num_threads(2)
    run_batches: list[int] = []

    def run(batch: int) -> None:
        run_batches.append(batch)
        if batch == 3:
            raise ValueError("batch 3")

    with pytest.raises(ValueError, match="batch 3"):
        in_order(range(100), run, lambda _batch, _result: None, device=CPU)
    assert len(run_batches) < 12
    assert torch.get_num_threads() == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch")]
