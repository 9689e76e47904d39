"""Runs batches on the workers of a `dask.distributed` scheduler, to the bytes of a local run.

Workers run batches and nothing more. The driver cuts the work, takes the results in the order of
the cuts, adds them up and writes them down, as it does with threads, so neither the number of
workers nor the loss of one can change a byte.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeAlias

from atlas_assets.atlas.model import AtlasModel
from atlas_assets.engines import on_worker
from atlas_assets.engines.likeness import likeness
from atlas_assets.errors import EngineError, shortened
from atlas_assets.extraction.engine import THREADS, Batch, Engine, Result, Work
from atlas_assets.extraction.workers import one_thread
from atlas_assets.models.loaded import LoadedModel
from atlas_assets.settings import AtlasSettings

#: of `distributed`, which has no complete types, and which is imported when it is needed
Client: TypeAlias = Any
Future: TypeAlias = Any

#: seconds to wait for the scheduler, for a worker, and for a result before workers are looked for
PATIENCE = 60
#: batches of a task: on a CPU one is half a second of work, less than what a task costs besides
CPU_BATCHES, ACCELERATOR_BATCHES = 2, 1
#: how often a task that failed on a worker is tried again
RETRIES = 2
#: the settings that name the model, all that a worker is told of the atlas
OF_MODEL = ("model", "model_revision", "device", "dtype", "mlp", "bos", "site")


class _LostError(Exception):
    """The scheduler is gone, and with it what it was asked for."""


def engine_of(settings: AtlasSettings, model: AtlasModel, log: Callable[[str], object]) -> Engine:
    """Return the engine that ``ATLAS_ENGINE`` names.

    Args:
        settings: the settings in force.
        model: the model in force; workers are told which commit of it.
        log: takes what workers say, line by line.
    """
    if settings.engine is None:
        return THREADS
    values = {name: getattr(settings, name) for name in OF_MODEL}
    folder = Path(settings.model).expanduser()
    if folder.is_dir():  # a worker starts in another folder
        values["model"] = str(folder.resolve())
    else:
        values["model_revision"] = model.source.revision
    recipe = AtlasSettings.build(**values).model_dump_json(include=set(OF_MODEL))
    return DaskEngine(settings.engine, recipe, log)


@dataclass(frozen=True)
class DaskEngine:
    """The workers behind a scheduler.

    Attributes:
        scheduler: its address (``tcp://host:port``), or the scheduler file that it wrote.
        recipe: the settings that name the model, as JSON.
        log: takes what workers say, line by line.
    """

    scheduler: str
    recipe: str
    log: Callable[[str], object]

    def run(
        self,
        model: LoadedModel,
        work: Work[Batch, Result],
        batches: Iterable[Batch],
        take: Callable[[Batch, Result], None],
    ) -> None:
        """Run every batch on a worker; see `Engine.run`.

        A scheduler that is lost is waited for once; what it had not given back is asked for again.

        Raises:
            EngineError: there is no scheduler, no worker was there for `PATIENCE` seconds, a worker
                has other weights, versions or kernels than this process, or a task took its worker
                down several times.
        """
        size = CPU_BATCHES if model.device.type == "cpu" else ACCELERATOR_BATCHES
        left = _Left(iter(batches), size)
        try:
            self._go(model, work, left, take)
        except _LostError as lost:
            self.log(f"the scheduler {self.scheduler} was lost ({lost}); it is asked once more")
            try:
                self._go(model, work, left, take)
            except _LostError as again:
                raise EngineError(
                    "the scheduler of the workers was lost twice",
                    where=self.scheduler,
                    expected="a scheduler that stays while a pass runs",
                    found=str(again),
                    remedy="look at its log and start the run again: it goes on from its last note",
                ) from again

    def _go(
        self,
        model: LoadedModel,
        work: Work[Batch, Result],
        left: _Left[Batch],
        take: Callable[[Batch, Result], None],
    ) -> None:
        expected = likeness(model)
        # one thread adds up, as beside threads here: the cores may be the workers'
        with one_thread(), self._client() as client:
            futures: deque[Future] = deque()

            def submit(task: list[Batch]) -> None:
                arguments = (self.recipe, expected, work, task)
                with _in_touch():
                    futures.append(
                        client.submit(on_worker.run, *arguments, pure=False, retries=RETRIES)
                    )

            def wanted() -> bool:
                with _in_touch():
                    threads: int = sum(client.nthreads().values())
                return len(futures) < 2 * max(threads, 1)

            try:
                for task in left.asked:
                    submit(task)
                while True:
                    while wanted() and (task := left.ask()):
                        submit(task)
                    if not futures:
                        return
                    found = self._result(client, futures[0], expected)
                    for batch, result in zip(left.asked.popleft(), found, strict=True):
                        take(batch, on_worker.unpacked(result, model.device))
                    futures.popleft()
            finally:
                if futures and client.status == "running":
                    client.cancel(list(futures), force=True)

    def _result(self, client: Client, future: Future, expected: Mapping[str, str]) -> list[Any]:
        from distributed import KilledWorker

        try:
            found: list[Any] | on_worker.Unlike = self._waited_for(client, future)
        except (EngineError, _LostError):
            raise
        except KilledWorker as error:
            raise EngineError(
                "a task took down every worker that tried it",
                where=self.scheduler,
                expected="workers with enough memory for the model and a batch",
                found=shortened(str(error)),
                remedy="give workers more memory, or lower ATLAS_BATCH_TOKENS",
            ) from error
        except Exception as error:
            if future.status == "error":
                raise
            raise _LostError(shortened(str(error)) or type(error).__name__) from error
        if isinstance(found, on_worker.Unlike):
            other = [name for name, value in found.found.items() if expected[name] != value]
            raise EngineError(
                f"a worker has other {' and '.join(other)} than this process",
                where=f"{found.worker}, of {self.scheduler}",
                expected=", ".join(f"{name} {expected[name]}" for name in other),
                found=", ".join(f"{name} {found.found[name]}" for name in other),
                remedy="give driver and workers the same environment (ATEN_CPU_CAPABILITY too), "
                "model and kind of processor or GPU",
            )
        return found

    def _waited_for(self, client: Client, future: Future) -> Any:
        """Wait for a result as long as there is a worker, or one comes within `PATIENCE`."""
        while True:
            try:
                return future.result(timeout=PATIENCE)
            except TimeoutError:
                if future.status == "error":  # what the task itself raised
                    return future.result()
            with _in_touch():
                workers = client.nthreads()
            if not workers:
                self.log(f"no worker of {self.scheduler} is left; waiting {PATIENCE} s for one")
                self._wait_for_a_worker(client, "there is no worker any more")

    def _wait_for_a_worker(self, client: Client, otherwise: str) -> None:
        with _in_touch():
            try:
                client.wait_for_workers(1, timeout=PATIENCE)
            except TimeoutError as error:
                raise self._unreachable(otherwise, error) from error

    @contextmanager
    def _client(self) -> Iterator[Client]:
        """Connect to the scheduler and wait for a worker; disconnect at the end."""
        from distributed import Client

        is_file = "://" not in self.scheduler
        named = {"scheduler_file" if is_file else "address": self.scheduler}
        connect: Any = Client
        try:
            client = connect(**named, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:  # the last where TLS has no keys
            raise self._unreachable(
                "the scheduler of the workers does not answer", error
            ) from error
        with client, self._heard(client):
            self._wait_for_a_worker(client, "there is no worker")
            yield client

    def _unreachable(self, what: str, error: Exception) -> EngineError:
        return EngineError(
            what,
            where=self.scheduler,
            expected=f"a scheduler of dask.distributed with workers, within {PATIENCE} s",
            found=shortened(str(error)) or type(error).__name__,
            remedy="start it (dask scheduler; dask worker), correct ATLAS_ENGINE, or unset it; of "
            "workers that are gone, read the logs; a run that is started again goes on from its "
            "last note",
        )

    @contextmanager
    def _heard(self, client: Client) -> Iterator[None]:
        """Pass on what this package says on workers."""
        heard, logger = _Heard(self.log), logging.getLogger("atlas_assets")
        _forward(client, logger.name)
        logger.addHandler(heard)
        try:
            yield
        finally:
            logger.removeHandler(heard)


def _forward(client: Client, logger: str) -> None:
    """Have every worker send what it logs; ask again where one is lost at that moment."""
    for wait in (1, 5, None):
        try:
            client.forward_logging(logger, logging.INFO)
        except OSError as error:
            if wait is None:
                raise _LostError(shortened(str(error)) or type(error).__name__) from error
            time.sleep(wait)
        else:
            return


@contextmanager
def _in_touch() -> Iterator[None]:
    """Tell a broken connection from every other error."""
    try:
        yield
    except OSError as error:
        raise _LostError(shortened(str(error)) or type(error).__name__) from error


class _Heard(logging.Handler):
    """Passes on the lines of workers alone."""

    def __init__(self, log: Callable[[str], object]) -> None:
        super().__init__(logging.INFO)
        self._say = log

    def emit(self, record: logging.LogRecord) -> None:
        worker = getattr(record, "worker", None)
        if worker is not None:
            self._say(f"worker {worker}: {record.getMessage()}")


class _Left(Generic[Batch]):
    """Batches that nobody has taken the results of, in tasks of some batches each.

    Attributes:
        asked: the tasks that were asked for, in order.
    """

    def __init__(self, batches: Iterator[Batch], size: int) -> None:
        self.asked: deque[list[Batch]] = deque()
        self._batches = batches
        self._size = size

    def ask(self) -> list[Batch]:
        """Return one more task, counted as asked for; without batches where there are no more."""
        task = list(islice(self._batches, self._size))
        if task:
            self.asked.append(task)
        return task
