"""`thalweg`: one program with a command for each task. The module of a command is loaded only when the command runs."""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Any

from encoder.errors import ThalwegError

# By name: a module with `add_arguments(parser)` and `run(args) -> int`, and the line of help
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("streams.demo.command", "run everything on a simulated shop and show it live"),
    "up": ("streams.local.up", "start a local Kafka and Cassandra (no Docker, no root)"),
    "down": ("streams.local.down", "stop the services that `thalweg up` started"),
    "simulate": ("encoder.commands.simulate", "write the event log of a simulated shop"),
    "train": ("encoder.commands.train", "train a model on an event log"),
    "evaluate": (
        "export.evaluation.evaluate_command",
        "compute offline metrics of a bundle or of a trained model, beside baselines",
    ),
    "export": ("export.command", "export a trained model as a bundle"),
    "explain": ("export.evaluation.explain_command", "show what each event of a user did to the representation"),
    "worker": ("streams.worker.command", "follow the behaviour topic and keep representations current"),
    "replay": ("streams.commands.replay.command", "send an event log to the behaviour topic"),
    "monitor": ("streams.monitor.command", "follow the evaluation topic and show windowed metrics beside baselines"),
    "verify": ("streams.commands.verify.command", "recompute all users from the topic and compare with Cassandra"),
    "dlq": ("streams.commands.dead_letters.command", "show dead letters with their reasons, or send them again"),
    "erase": ("streams.commands.erase", "erase a user from memory, Cassandra and the updates topic"),
    "doctor": ("streams.commands.doctor.command", "print the settings and check everything that a worker needs"),
}


class ShowVersion(argparse.Action):
    """Looks up the version only on request, because the commands also run from a source tree that is not installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"thalweg {importlib.metadata.version('thalweg')}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code. A ThalwegError becomes one line on standard error and exit code 1."""
    parser = argparse.ArgumentParser(prog="thalweg", description="Live user representations from behaviour events.")
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    arguments = list(sys.argv[1:] if argv is None else argv)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in arguments[:1]:  # other modules are not loaded: a worker runs without torch
            loaded = importlib.import_module(module)
            loaded.add_arguments(command)
            command.set_defaults(run=loaded.run)
    args = parser.parse_args(arguments)
    try:
        return int(args.run(args))
    except ThalwegError as error:
        print(f"thalweg {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
