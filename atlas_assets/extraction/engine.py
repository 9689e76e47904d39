"""Where the batches of a computation are run, and what is done with each of them.

An engine runs every batch somewhere and hands the results over in the order of the batches, in the
calling thread. What a batch yields does not depend on where it runs, so neither do the bytes of
whatever is made of the results. `Threads` runs them in this process; `engines.dask_engine` asks
workers elsewhere, where there is no more of the computation than its `Work`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from atlas_assets.extraction.workers import in_order
from atlas_assets.models.loaded import LoadedModel

Batch = TypeVar("Batch")
Result = TypeVar("Result")
_Batch = TypeVar("_Batch", contravariant=True)
_Result = TypeVar("_Result", covariant=True)


class Work(Protocol[_Batch, _Result]):
    """What is done with each batch of a computation.

    It may be sent to another process: it holds settings and arrays, and never the network.
    """

    def on(self, model: LoadedModel) -> AbstractContextManager[Callable[[_Batch], _Result]]:
        """Give the function that runs a batch on a model, in several threads at a time if asked.

        Whatever the network needs for it is undone when the block ends. A result is a tensor, an
        array, None, or a tuple of these.
        """


class Engine(Protocol):
    """Runs batches and hands over their results."""

    def run(
        self,
        model: LoadedModel,
        work: Work[Batch, Result],
        batches: Iterable[Batch],
        take: Callable[[Batch, Result], None],
    ) -> None:
        """Run every batch and take the results in the order of the batches.

        Args:
            model: the network; an engine elsewhere uses its own copy.
            work: what is done with each batch.
            batches: taken from as they are needed.
            take: is given each batch and its result, in the calling thread.
        """


class Threads:
    """Runs batches on the threads of this process, as `workers.in_order` does."""

    def run(
        self,
        model: LoadedModel,
        work: Work[Batch, Result],
        batches: Iterable[Batch],
        take: Callable[[Batch, Result], None],
    ) -> None:
        """Run every batch here; see `Engine.run`."""
        with work.on(model) as run:
            in_order(batches, run, take, device=model.device)


THREADS = Threads()
