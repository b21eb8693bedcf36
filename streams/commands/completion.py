"""`thalweg completion`: prints a script that lets a shell complete the commands and options of `thalweg`."""

import argparse
from collections.abc import Iterator
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell to print the script for")


def run(args: argparse.Namespace) -> int:
    """Print the script. `args.make_parser` makes the parser of the whole program."""
    print(script(args.make_parser(), args.shell))
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion script of a program. Arguments without choices and numbers are completed as files."""
    import shtab  # Only this command needs the package.

    for action in _actions(parser):
        takes_a_text = action.type in (None, Path) and action.nargs != 0 and not action.choices
        if takes_a_text:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # shtab looks at this attribute
    return str(shtab.complete(parser, shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
