"""`thalweg bundles`: every bundle of the keyspace, and the history of switches."""

import argparse
from collections.abc import Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from encoder.console import open_console, print_table
from streams.commands.bundles.standing import Standing, open_bundles
from streams.config.loading import load_settings
from streams.store.bundles.aliases import Switch

NOTE = (
    "Rows were counted in a part of each table and scaled up: ± is the standard error. Bytes are those of the values, "
    "on one replica and before compression."
)
EXACT_NOTE = "All rows were counted. Bytes are those of the values, on one replica and before compression."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")


def run(args: argparse.Namespace) -> int:
    """Print what there is. Changes nothing."""
    settings = load_settings()
    with open_bundles(settings, "bundles") as bundles:
        standings, history = bundles.standings(), bundles.aliases.history()
    if args.json:
        found = {"keyspace": settings.keyspace, "bundles": standings, "history": history}
        print(msgspec.json.encode(found).decode())
        return 0
    if not standings:
        print(f"bundles: keyspace {settings.keyspace} has no bundle yet: `thalweg worker` enters the first one")
        return 0
    print_table(open_console(), _table(settings.keyspace, standings))
    print(NOTE if any(one.rows_error for one in standings) else EXACT_NOTE)
    for switch in history:
        print(f"  {switch_line(switch)}")
    return 0


def _table(keyspace: str, standings: Sequence[Standing]) -> Table:
    table = Table(title=f"bundles of keyspace {keyspace}")
    for column in ("bundle", "alias", "state"):
        table.add_column(column, overflow="fold")
    for column in ("rows", "bytes", "age", "workers", "lag", "item vectors"):
        table.add_column(column, justify="right")
    table.add_column("updates topic", overflow="fold")
    for one in standings:
        lag = "" if one.lag is None else f"{one.lag:,}"
        texts = [one.bundle_id, one.alias or "", one.state, rows_text(one.rows, one.rows_error)]
        texts += [bytes_text(one.value_bytes), age_text(one.age_s), f"{one.workers}", lag]
        texts += [f"{one.item_vectors:,} of {one.items:,}", one.updates_topic]
        table.add_row(*map(Text, texts))
    return table


def switch_line(switch: Switch) -> str:
    """One switch of the history."""
    how = f"{switch.command}{' --force' if switch.is_forced else ''}"
    return f"{switch.switched_at}: {switch.bundle_id} in place of {switch.replaced} ({how})"


def rows_text(rows: int, error: int) -> str:
    return f"{rows:,} ± {error:,}" if error else f"{rows:,}"


def bytes_text(count: int) -> str:
    """A number of bytes with at least three digits and a decimal unit."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            value = count / factor
            return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return f"{count} B"


def age_text(age_s: float) -> str:
    """A time in its largest unit: days, hours, minutes or seconds."""
    for factor, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if age_s >= factor:
            return f"{age_s / factor:.1f} {unit}"
    return f"{age_s:.0f} s"
