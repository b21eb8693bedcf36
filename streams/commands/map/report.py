"""What `thalweg map` shows of a sample: ten events, and what becomes of all records. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from encoder.data.contract.quoting import without_controls
from encoder.data.mapping import SourceRecord
from encoder.data.mapping.proposals import Reading

_MOST_SHOWN = 10  # kinds of skipped and of rejected records
_COLUMNS = ("event_id", "user_id", "item_id", "action", "time (UTC)", "price", "category", "attributes")


def event_table(reading: Reading) -> Table:
    """The first events of a sample as they would be read."""
    table = Table(title=f"the first {len(reading.first_events)} of {reading.events:,} events")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for event in reading.first_events:
        attributes = ", ".join(f"{name}={value}" for name, value in (event.attributes or {}).items())
        cells = (
            event.event_id,
            event.user_id,
            event.item_id,
            event.action,
            _time_text(event.event_time_ms),
            "" if event.price is None else f"{event.price:g}",
            event.category or "",
            attributes,
        )
        table.add_row(*(Text(without_controls(cell)) for cell in cells))
    return table


def _time_text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")[:23]


def count_lines(reading: Reading) -> list[str]:
    """How many records become events, are skipped, and are rejected, with reasons."""
    skipped, rejected = reading.skipped.total(), reading.rejected.total()
    lines = [
        f"{reading.records:,} records: {reading.read:,} give {reading.events:,} events, {skipped:,} are skipped, "
        f"{rejected:,} would become dead letters"
    ]
    by_value = [(f"skipped ({one.reason}), {one.value}", count) for one, count in reading.skipped.most_common()]
    lines += _counted(by_value)
    by_reason = [
        (f"as dead letters, for example: {reading.reasons[kind]}", n) for kind, n in reading.rejected.most_common()
    ]
    lines += _counted(by_reason)
    lines += _counted((f"events without {path}", count) for path, count in reading.dropped.most_common())
    return lines


def _counted(kinds: Iterable[tuple[str, int]]) -> list[str]:
    kinds = list(kinds)
    lines = [f"  {count:,} {without_controls(text)}" for text, count in kinds[:_MOST_SHOWN]]
    others = sum(count for _, count in kinds[_MOST_SHOWN:])
    return [*lines, f"  {others:,} of other kinds"] if others else lines


def key_lines(reading: Reading, records: Sequence[object], partitions: Sequence[int]) -> list[str]:
    """Whether the keys of a topic's records are their users, and what to do where they are not."""
    events = [
        (user, record, partition)
        for user, record, partition in zip(reading.users, records, partitions, strict=True)
        if user is not None and isinstance(record, SourceRecord)
    ]
    with_other_key = sum(record.key != user.encode() for user, record, _ in events)
    if not with_other_key:
        return []
    homes = Counter(user for user, _ in {(user, partition) for user, _, partition in events})
    scattered = sum(count > 1 for count in homes.values())
    text = f"the key of {with_other_key:,} of {len(events):,} records with events is not the user"
    if not scattered:
        return [f"{text}; in this sample, the records of each user stand in one partition"]
    return [
        f"{text}, and the records of {scattered:,} of {len(homes):,} users stand in several partitions, so their order "
        "is not known: a worker applies the events of one partition of each user and makes dead letters of the others; "
        "let the producers use the user as the key, or write such a topic with `thalweg rekey`"
    ]
