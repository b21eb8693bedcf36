"""A worker in this process: follows the behaviour topic and keeps representations current.

Where the worker cannot go on, `run` raises the error. A supervisor (`thalweg worker --processes`, systemd, Kubernetes,
compose) starts the worker again, and the worker continues from the last commit.
"""

import asyncio
import contextlib
import faulthandler
import logging
from collections.abc import Callable

import faust

from export.runtime.bundle import Bundle
from streams.config.errors import ThalwegError
from streams.config.log_filters import RateLimitFilter, strip_traceback
from streams.config.settings import Settings
from streams.worker import process, wiring

LAST_TASKS_S = 1.0  # that tasks may take to end after a worker has stopped


class Worker(faust.Worker):
    """Announces a stop at the signal, because the running step of the application may be the one that hangs."""

    def _on_sigint(self) -> None:
        self.app.announce_stop()
        super()._on_sigint()

    def _on_sigterm(self) -> None:
        self.app.announce_stop()
        super()._on_sigterm()

    def _crash(self, reason: BaseException) -> None:
        """Keep the first reason that the command can name. What the crash ends may name others (a CancelledError)."""
        first: BaseException | None = self.crash_reason  # type: ignore[has-type]  # mode does not declare its type
        super()._crash(reason)
        if isinstance(first, ThalwegError):
            self.crash_reason = first

    def _gather_all(self) -> None:
        """Cancel what is left. All services have stopped by now, and Faust would wait a second for their tasks."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    async def _sentinel_task(self) -> None:
        """Let the cancelled tasks end. Faust would wait another second."""
        tasks = asyncio.all_tasks(self.loop) - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_TASKS_S)

    async def _cry(self) -> None:
        """Print the stacks of all threads and tasks (SIGUSR1). Faust would also print the events and rows in flight."""
        faulthandler.dump_traceback(all_threads=True)
        for task in asyncio.all_tasks():
            task.print_stack()


def run(
    settings: Settings,
    log_level: str,
    announce: Callable[[str, str], None],
    name: str = "",
    instance_id: str | None = None,
) -> int:
    """Run the bundle `settings.bundle` until a signal, and return the exit code. Raises the ThalwegError of a failure.

    announce: gets the address of the HTTP endpoints and the id of the consumer group.
    name: stands in every line of the log.
    instance_id: makes the worker a static member of the group. The group keeps the partitions of a static member for
    `session_timeout_s` after its process has ended.
    """
    bundle = Bundle.load(settings.bundle_folder(None))
    logging.basicConfig(level=log_level, format=f"%(asctime)s {name}%(levelname)s %(name)s: %(message)s")
    if log_level != "DEBUG":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)  # kafka-python logs each retry. A failure is raised.
    for handler in logging.getLogger().handlers:
        handler.addFilter(RateLimitFilter())
        handler.addFilter(strip_traceback)
    app = wiring.build(settings, bundle, announce, instance_id)
    with contextlib.closing(app.parts.store):  # A stop that fails may leave the store open.
        worker = Worker(app, loglevel=log_level, redirect_stdouts=False, quiet=True)
        worker.override_logging = False
        worker.spinner = None  # The spinner's escape codes would stand in every log.
        app.parts.watchdog.start()
        process.tune()
        return _execute(worker)


def _execute(worker: faust.Worker) -> int:
    """Run until a signal or a failure. Raises the ThalwegError that ended the worker."""
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        reason = _thalweg_error(worker.crash_reason) or _thalweg_error(end)
        if reason is not None:
            raise reason from None
        if end.code:
            raise
    print("thalweg worker: stopped; everything it took is confirmed and committed", flush=True)
    return 0


def _thalweg_error(error: BaseException | None) -> ThalwegError | None:
    """The error itself where the error is a ThalwegError, or else the ThalwegError during which the error was raised.

    Faust knows no reason of a crash where the start of a service raises. Faust then ends by a SystemExit, which has the
    error of the service as its context.
    """
    while error is not None and not isinstance(error, ThalwegError):
        error = error.__cause__ or error.__context__
    return error
