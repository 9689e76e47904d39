"""Runs a job in this process and tells, while it runs, what has been made and what went wrong."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from atlas_assets.interrupts import remembered
from atlas_assets.orchestration.databases import unusable
from atlas_assets.orchestration.instance import home_of_instance

#: the name under which Dagster's own jobs know their logger, so that the run can be repeated
_LOGGER = "console"
#: how SQLAlchemy says what a database has refused, before it names a page about it
_OF_DATABASE = re.compile(r"\((?:sqlite3|psycopg2)\.\w+\) (.*)")
#: as what Dagster records an interrupt in a step, and one between steps
_INTERRUPTS = (dg.DagsterExecutionInterruptedError.__name__, KeyboardInterrupt.__name__)


class Listener(Protocol):
    """Hears what a run does, in the order in which it does it."""

    def done(self, asset: str, seconds: float | None) -> None:
        """An asset has been made, with all its partitions, in that time; ``None``: left out."""

    def warned(self, step: str, sentence: str) -> None:
        """A step has logged a warning or an error."""


@dataclass
class Told:
    """What came of a run.

    Attributes:
        run_id: the run's id in Dagster's instance.
        failures: step that failed → what was wrong, in words; ``run`` → why the run ended early.
        passed: number of checks that passed.
        unmet: check that did not pass, as ``asset: check`` → what it found, in words.
        blocking: whether one of these blocks what follows.
        interrupted: whether an interrupt (Ctrl-C) ended the run.
    """

    run_id: str
    failures: dict[str, str] = field(default_factory=dict)
    passed: int = 0
    unmet: dict[str, str] = field(default_factory=dict)
    blocking: bool = False
    interrupted: bool = False


def run_and_tell(
    job: dg.JobDefinition,
    instance: dg.DagsterInstance,
    assets: Collection[str],
    listener: Listener,
    *,
    raise_on_error: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Told:
    """Run a job in this process; its log goes to the instance and, in short, to a listener.

    Args:
        job: the job.
        instance: keeps the run with its whole log.
        assets: the names of the steps that are told of; those of checks are not.
        listener: hears what happens.
        raise_on_error: whether the first error ends the run, and is raised; otherwise what does
            not depend on the step that failed is still made.
        tags: of the run.
    """
    with remembered(), _children_hear_no_interrupt() as until_here:
        told = job.with_logger_defs({_LOGGER: _logger(frozenset(assets), listener, until_here)})
        result = told.execute_in_process(
            instance=instance,
            run_config={"loggers": {_LOGGER: {"config": {}}}},
            raise_on_error=raise_on_error,
            tags=dict(tags or {}),
        )
    found = Told(result.run_id)
    for evaluation in result.get_asset_check_evaluations():
        if evaluation.passed:
            found.passed += 1
        else:
            at = f" at {evaluation.partition}" if evaluation.partition else ""
            name = f"{evaluation.asset_key.to_user_string()}{at}: {evaluation.check_name}"
            found.unmet[name] = evaluation.description or "no reason is given"
            found.blocking |= evaluation.severity is dg.AssetCheckSeverity.ERROR
    ended: Any = None
    for event in result.all_events:
        if not event.is_failure:
            continue
        error = getattr(event.event_specific_data, "error", None)
        if error is not None and error.cls_name in _INTERRUPTS:
            found.interrupted = True
        elif event.is_step_failure and event.step_key is not None:
            found.failures[event.step_key] = _cause(error)
        elif event.event_type is dg.DagsterEventType.RUN_FAILURE:
            ended = error
    if not (result.success or found.failures or found.blocking or found.interrupted):
        # nothing of Dagster's own steps, as where its databases have been removed meanwhile
        found.failures["run"] = _cause(ended)
    return found


@contextmanager
def _children_hear_no_interrupt() -> Iterator[Callable[[], None]]:
    """Keep Ctrl-C in a terminal from the processes started within, until what it yields is called.

    Before the first step Dagster starts two processes that watch those that copy standard output
    and error out. An interrupt, which a terminal sends to all, would make each print a traceback.
    A process that is started while a signal is blocked has it blocked as long as it lives.
    """
    if not hasattr(signal, "pthread_sigmask"):  # not on Windows
        yield lambda: None
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def restore() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield restore
    finally:
        restore()


def _cause(error: Any) -> str:
    """The message of the error that failed a step, which Dagster wraps in one of its own."""
    if error is None:
        return "no reason is known"
    while error.cause is not None and str(error.cls_name).startswith("Dagster"):
        error = error.cause
    text = str(error.message).strip()
    # its first line begins with the class and its module
    told = re.sub(rf"^[\w.]*\b{re.escape(str(error.cls_name))}: ", "", text)
    refused = _OF_DATABASE.match(told)
    return str(unusable(home_of_instance(), refused[1])) if refused else told


def _logger(
    assets: frozenset[str], listener: Listener, begun: Callable[[], None]
) -> dg.LoggerDefinition:
    @dg.logger(config_schema=dict)
    def tell(_context: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("atlas", logging.DEBUG)
        logger.addHandler(_Handler(assets, listener, begun))
        return logger

    return tell


class _Handler(logging.Handler):
    def __init__(
        self, assets: frozenset[str], listener: Listener, begun: Callable[[], None]
    ) -> None:
        super().__init__()
        self._on_begin = begun
        self._assets = assets
        self._listener = listener
        self._begun: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        meta: dict[str, Any] = getattr(record, "dagster_meta", {})
        event, step = meta.get("dagster_event"), meta.get("step_key") or ""
        if event is None:
            # of a step that has not begun, it is Dagster that says on which failed one it depends
            if step in self._begun and record.levelno >= logging.WARNING:
                self._listener.warned(step, str(meta.get("orig_message") or record.getMessage()))
        elif event.event_type is dg.DagsterEventType.STEP_START:
            if not self._begun:
                self._on_begin()
            self._begun[step] = record.created
        elif step not in self._assets:
            return
        elif event.event_type is dg.DagsterEventType.STEP_SUCCESS:
            self._listener.done(step, record.created - self._begun.get(step, record.created))
        elif event.event_type is dg.DagsterEventType.STEP_SKIPPED:
            self._listener.done(step, None)
