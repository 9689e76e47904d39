"""Batches on all cores of a CPU: one thread per batch, not one batch over all threads.

The matrices of a small network are too small to share among threads, and threads that wait for
each other inside every operation come to a crawl as soon as another process takes a core: on two
cores, whole batches side by side were measured a third faster when alone and several times as
fast beside other work. What a batch yields does not depend on how many run at a time.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Batch = TypeVar("Batch")
Result = TypeVar("Result")
#: more batches at a time than this would cost memory for little speed
MAX_WORKERS = 8
#: seconds after which a worker may claim the interpreter from another. A batch is thousands of
#: calls that let it go for microseconds, too short for the others to wake up in, so that with
#: Python's own 5 ms cores stood idle
SWITCH_INTERVAL = 2e-4


def in_order(
    batches: Iterable[Batch],
    run: Callable[[Batch], Result],
    take: Callable[[Batch, Result], None],
    *,
    device: torch.device,
) -> None:
    """Run every batch and take the results in the order of the batches.

    On a CPU as many batches run side by side as torch has threads (at most 8), and at most twice
    that many are under way or waiting to be taken. Elsewhere they run one after the other.

    Args:
        batches: taken from as they are needed.
        run: called in worker threads; must not depend on other batches.
        take: called in the calling thread.
        device: where the network runs.
    """
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    workers = min(threads, MAX_WORKERS)
    if workers == 1:
        for batch in batches:
            take(batch, run(batch))
        return
    with _pool(workers, threads // workers) as pool:
        waiting: deque[tuple[Batch, Future[Result]]] = deque()

        def take_first() -> None:
            first, future = waiting.popleft()
            take(first, future.result())

        for batch in batches:
            if len(waiting) == 2 * workers:
                take_first()
            waiting.append((batch, pool.submit(run, batch)))
        while waiting:
            take_first()


@contextmanager
def one_thread() -> Iterator[None]:
    """Have torch use one thread for what this thread computes in the block.

    Threads that wait for each other take more processor time than they save as soon as other
    processes use the cores, such as workers on the same machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _pool(workers: int, threads_each: int) -> Iterator[ThreadPoolExecutor]:
    """Open worker threads that share torch's threads, and restore the settings changed for them."""
    threads, interval = torch.get_num_threads(), sys.getswitchinterval()
    pool = ThreadPoolExecutor(
        workers, "batch", initializer=torch.set_num_threads, initargs=(threads_each,)
    )
    try:
        torch.set_num_threads(threads_each)
        sys.setswitchinterval(SWITCH_INTERVAL)
        yield pool
    finally:
        try:
            pool.shutdown(cancel_futures=True)
        finally:  # even where the wait is interrupted, too
            sys.setswitchinterval(interval)
            torch.set_num_threads(threads)
