"""`thalweg`: one command whose subcommands live in the packages they belong to, loaded only when called."""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Any

from encoder.errors import ThalwegError

# name -> (module with `add_arguments(parser)` and `run(args) -> int`, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("streams.demo.command", "the whole loop on a simulated shop, in front of you"),
    "up": ("streams.local.up", "start a local Kafka and Cassandra (no Docker, no root)"),
    "down": ("streams.local.down", "stop what `thalweg up` started"),
    "simulate": ("encoder.commands.simulate", "write the event log of a simulated shop"),
    "train": ("encoder.commands.train", "learn a cell from an event log"),
    "evaluate": (
        "export.evaluation.evaluate_command",
        "offline metrics of a bundle, or of a trained cell, beside baselines",
    ),
    "export": ("export.command", "turn a trained cell into a bundle"),
    "explain": ("export.evaluation.explain_command", "what each event of a user did to its representation"),
    "worker": ("streams.worker.command", "follow the behaviour topic and keep representations current"),
    "replay": ("streams.commands.replay.command", "send an event log to the behaviour topic"),
    "monitor": ("streams.monitor.command", "follow the evaluation topic: windowed metrics beside baselines"),
    "verify": ("streams.commands.verify", "recompute users' states from the topic and compare with Cassandra"),
    "dlq": ("streams.commands.dead_letters.command", "show dead letters with their reasons, or send them again"),
    "erase": ("streams.commands.erase", "forget a user everywhere"),
    "doctor": ("streams.commands.doctor.command", "print the settings and check everything a worker needs"),
}


class ShowVersion(argparse.Action):
    """Looks the version up only when asked: commands also run from a source tree that is not installed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(f"thalweg {importlib.metadata.version('thalweg')}")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="thalweg", description="Live user representations from behaviour events.")
    parser.add_argument("--version", action=ShowVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    arguments = list(sys.argv[1:] if argv is None else argv)
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name in arguments[:1]:  # only the called command's module is loaded: torch stays out of a worker
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
