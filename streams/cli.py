"""`thalweg`: one program with a command for each task. The module of a command is loaded only when the command runs."""

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

from encoder.errors import ThalwegError
from streams.config.log_filters import RateLimitFilter, strip_traceback

REPEAT_AFTER_S = 0.01  # A callback whose exception was dropped has ended by then.

# By name: a module with `add_arguments(parser)` and `run(args) -> int`, and the line of help
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("streams.demo.command", "run everything on a simulated shop and show it live"),
    "up": ("streams.local.up", "start a local Kafka and Cassandra (no Docker, no root)"),
    "down": ("streams.local.down", "stop the services that `thalweg up` started"),
    "simulate": ("encoder.commands.simulate", "write the event log of a simulated shop"),
    "train": ("encoder.commands.train", "train a model on an event log"),
    "evaluate": ("export.evaluation.evaluate_command", "compute offline metrics of a bundle or of a trained model"),
    "export": ("export.command", "export a trained model as a bundle"),
    "explain": ("export.evaluation.explain_command", "show what each event of a user did to the representation"),
    "represent": ("streams.commands.represent.command", "compute the vectors that users had at moments of the past"),
    "worker": ("streams.supervisor.command", "follow the behaviour topic and keep representations current"),
    "shadow": ("streams.supervisor.shadow", "run workers of a new bundle beside the active one, for a trial"),
    "bundles": ("streams.commands.bundles.command", "list the bundles of the keyspace and which one answers"),
    "promote": ("streams.commands.bundles.promote", "make a bundle the active one, where the evidence is there"),
    "rollback": ("streams.commands.bundles.rollback", "make the bundle before the active one again"),
    "retire": ("streams.commands.bundles.retire", "delete everything that a bundle keeps"),
    "map": ("streams.commands.map.command", "propose how a topic is read as events, and show its events"),
    "rekey": ("streams.commands.rekey.command", "write the events of a foreign topic with their users as keys"),
    "replay": ("streams.commands.replay.command", "send an event log to the behaviour topic"),
    "items": ("streams.commands.items.command", "send a file of items to the catalogue"),
    "archive": ("streams.commands.archive.command", "keep the behaviour topic as Parquet files"),
    "backfill": ("streams.commands.backfill.command", "step an archive's history into the rows of a bundle"),
    "serve": ("streams.serve.command", "answer questions about users and items over HTTP"),
    "monitor": ("streams.monitor.command", "follow the evaluation topic and show metrics beside baselines"),
    "verify": ("streams.commands.verify.command", "recompute all users from the topic and compare with Cassandra"),
    "dlq": ("streams.commands.dead_letters.command", "show dead letters with their reasons, or send them again"),
    "retrain": ("streams.commands.retrain.command", "archive, train, export and backfill a new bundle in one command"),
    "erase": ("streams.commands.erase.command", "erase a user from memory, Cassandra and the updates topic"),
    "subject": ("streams.commands.subject.command", "export everything that is held of a user"),
    "setup": ("streams.commands.setup.command", "make topics, tables and the least rights beforehand, or print how"),
    "doctor": ("streams.commands.doctor.command", "print the settings and check everything that a worker needs"),
    "completion": ("streams.commands.completion", "print a completion script for bash, zsh or fish"),
}


class ShowVersion(argparse.Action):
    """Looks up the version only on request, because the commands also run from a source tree that is not installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import importlib.metadata as metadata  # takes a third of the time in which `thalweg --help` answers

        print(f"thalweg {metadata.version('thalweg')}")
        parser.exit()


def main(argv: Sequence[str] | None = None, retryable_code: int = 1) -> int:
    """Run a command and return the exit code. A ThalwegError becomes one line on standard error and exit code 1.

    retryable_code: the exit code of an error that a retry may mend. Without a command, the list of the commands goes to
    standard error, and the exit code is 2.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with _handled({signal.SIGINT: signal.SIG_DFL}):  # Ctrl-C ends the loading of modules without a traceback.
            parser = make_parser(arguments[:1])
            args = parser.parse_args(arguments)
        if args.command is None:
            print(command_list(), file=sys.stderr)
            return 2
        endings = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _end, signal.SIGHUP: _end}
        _name_sources_of_log_lines()
        with _handled(endings), _lost_endings_repeated():
            code = int(args.run(args))
            sys.stdout.flush()
            return code
    except ThalwegError as error:
        print(f"thalweg {args.command}: {error}", file=sys.stderr)
        return retryable_code if error.retryable else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:  # The reader of the output, such as `head`, has ended, and wants no more.
        # Python flushes the output once more at its end, which would print the error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except ImportError as error:
        ending = _ending_behind(error)
        if ending is None:
            raise
        if isinstance(ending, KeyboardInterrupt):
            return 128 + signal.SIGINT
        raise ending from None


def _ending_behind(error: BaseException) -> BaseException | None:
    """The exception of a signal, where this exception is the cause of the error.

    A signal may come while a module in C++ is loaded. pybind11, with which ONNX Runtime is built, then raises
    `ImportError: initialization failed` from the exception of the signal.
    """
    cause = error.__cause__
    while cause is not None and not isinstance(cause, KeyboardInterrupt | SystemExit):
        cause = cause.__cause__
    return cause


def _name_sources_of_log_lines() -> None:
    """Let a line that a library logs say which library does so. Python would print the bare text.

    Workers and servers have a log of their own.
    """
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logging.lastResort.filters = [RateLimitFilter(), strip_traceback]


def command_list() -> str:
    """Every command on a line of its own."""
    lines = [f"  {name:<11} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(["usage: thalweg COMMAND [OPTIONS]", "", *lines, "", "Options: thalweg COMMAND --help"])


def make_parser(load: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The parser of the program. Only the commands in `load` have arguments, because their modules are loaded."""
    parser = argparse.ArgumentParser(prog="thalweg", description="Live user representations from behaviour events.")
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in load:  # other modules are not loaded: a worker runs without torch
            loaded = importlib.import_module(module)
            loaded.add_arguments(command)
            command.set_defaults(run=loaded.run, make_parser=make_parser)
    return parser


@contextlib.contextmanager
def _handled(handlers: dict[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals inside the block. A signal that the caller of the process lets be ignored stays ignored."""
    if not _is_main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: a handler that Python did not set and cannot set again
                signal.signal(number, handler)


@contextlib.contextmanager
def _lost_endings_repeated() -> Iterator[None]:
    """Raise the exception of a signal again where Python dropped the exception.

    Python drops every exception of a callback of `weakref`, and importlib runs such a callback for each module that it
    loads. A signal that came in that moment would be lost, and the command would go on for ever.
    """
    report = sys.unraisablehook

    def repeat(dropped: "sys.UnraisableHookArgs") -> None:
        ending = dropped.exc_value
        if not isinstance(ending, SystemExit | KeyboardInterrupt) or not _is_main_thread():
            report(dropped)
            return

        def raise_again(*_: object) -> NoReturn:
            raise ending

        handlers.enter_context(_handled({signal.SIGALRM: raise_again}))
        handlers.callback(signal.setitimer, signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_REAL, REPEAT_AFTER_S)

    with contextlib.ExitStack() as handlers:
        handlers.callback(setattr, sys, "unraisablehook", report)
        sys.unraisablehook = repeat
        yield


def _is_main_thread() -> bool:
    """Only the main thread may set handlers of signals."""
    return threading.current_thread() is threading.main_thread()


def _end(number: int, _: FrameType | None) -> NoReturn:
    """End the command as Ctrl-C does: child processes are stopped, and temporary folders are deleted.

    A second signal of the same kind ends the process at once.
    """
    signal.signal(number, signal.SIG_DFL)
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
