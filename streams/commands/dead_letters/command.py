"""`thalweg dlq`: the arguments and the output."""

import argparse
from datetime import UTC, datetime

import msgspec
from rich.table import Table
from rich.text import Text

from encoder.commands.number_arguments import whole_number
from encoder.console import open_console, print_table
from encoder.data.contract.quoting import quote_bytes
from encoder.wording import counted
from streams.commands.dead_letters.contents import Contents, read_contents
from streams.commands.dead_letters.resend import ResendResult, resend
from streams.config.loading import load_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument(
        "--limit", type=whole_number(0), default=20, metavar="N", help="show the newest N dead letters (default: 20)"
    )
    parser.add_argument(
        "--reason",
        default="",
        metavar="SUBSTR",
        help="take only dead letters whose reason contains this text outside of quoted values",
    )
    parser.add_argument(
        "--resend", action="store_true", help="send the original records to the behaviour topic again, show nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Show the dead letters, or send their originals again."""
    settings = load_settings()
    if args.resend:
        result = resend(settings, args.reason)
        if args.json:
            not_whole = [letter.source for letter in result.not_whole]
            counts = {"resent": result.sent, "not_whole": not_whole, "erased": result.erased}
            print(msgspec.json.encode(counts).decode())
        else:
            _print_resend(result, settings.behavior_topic)
        return 0
    contents = read_contents(settings, args.reason, args.limit)
    if args.json:
        print(msgspec.json.encode(_as_json(contents)).decode())
    else:
        _print_contents(contents)
    return 0


def _print_resend(result: ResendResult, topic: str) -> None:
    print(f"dlq: {counted(result.sent, 'record')} sent to {topic} again{_erased_note(result.erased)}")
    for letter in result.not_whole:
        print(f"  not sent, because {letter.why_not_whole}: {letter.source}")


def _print_contents(contents: Contents) -> None:
    resent = f", {contents.resent} resent" if contents.resent else ""
    letters = counted(contents.dead_letters, "dead letter")
    table = Table(title=f"{letters}{resent}")
    for column in ("when (UTC)", "record", "key", "field", "reason"):
        table.add_column(column, overflow="fold")
    for letter in contents.newest:
        when = _time_text(letter.timestamp_ms)
        key = "none" if letter.key is None else quote_bytes(letter.key)
        table.add_row(*(Text(text) for text in (when, letter.source, key, letter.field, letter.reason)))
    print_table(open_console(), table)
    by_field = ", ".join(f"{field} {count}" for field, count in contents.by_field.items())
    by_field = f" (by field: {by_field})" if by_field else ""
    print(f"dlq: {letters}{by_field}{_erased_note(contents.erased)}")


def _time_text(timestamp_ms: int) -> str:
    """The time of a record, or the number itself where a producer wrote a timestamp outside the calendar."""
    try:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{timestamp_ms} ms"


def _erased_note(erased: int) -> str:
    left_out = counted(erased, "dead letter of an erased user is", "dead letters of erased users are")
    return f"; {left_out} left out" if erased else ""


def _as_json(contents: Contents) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(contents)
    fields["newest"] = [
        msgspec.to_builtins(letter)
        | {"key": _as_text(letter.key), "value": _as_text(letter.value)}
        | {"headers": [(name, _as_text(value)) for name, value in letter.headers]}
        for letter in contents.newest
    ]
    return fields


def _as_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
