"""`thalweg worker`: one process that follows the behaviour topic and keeps representations current.

Where the worker cannot go on, the command ends with the text of the error and exit code 1. A supervisor (systemd,
Kubernetes, compose) starts the worker again, and the worker continues from the last commit.
"""

import argparse
import asyncio
import faulthandler
import logging

import faust

from export.runtime.bundle import Bundle
from streams.config.errors import ThalwegError
from streams.config.log_filters import RateLimitFilter, strip_traceback
from streams.config.settings import load_settings
from streams.worker import process, wiring


class Worker(faust.Worker):
    """Announces a stop at the signal, because the running step of the application may be the one that hangs."""

    def _on_sigint(self) -> None:
        self.app.announce_stop()
        super()._on_sigint()

    def _on_sigterm(self) -> None:
        self.app.announce_stop()
        super()._on_sigterm()

    async def _cry(self) -> None:
        """Print the stacks of all threads and tasks (SIGUSR1). Faust would also print the events and rows in flight."""
        faulthandler.dump_traceback(all_threads=True)
        for task in asyncio.all_tasks():
            task.print_stack()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", help="folder of the bundle (default: the setting `bundle`)")
    parser.add_argument("--log-level", default="WARNING", choices=["DEBUG", "INFO", "WARNING", "ERROR"])


def run(args: argparse.Namespace) -> int:
    settings = load_settings()
    bundle = Bundle.load(settings.bundle_folder(args.bundle))
    logging.basicConfig(level=args.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if args.log_level != "DEBUG":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)  # kafka-python logs each retry. A failure is raised.
    for handler in logging.getLogger().handlers:
        handler.addFilter(RateLimitFilter())
        handler.addFilter(strip_traceback)
    app = wiring.build(settings, bundle)
    worker = Worker(app, loglevel=args.log_level, redirect_stdouts=False, quiet=True)
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
