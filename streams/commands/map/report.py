"""What `thalweg map` shows: ten events, what becomes of all records, and what may be wrong. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches

from rich.table import Table
from rich.text import Text

from encoder.data.contract.quoting import quote_json, without_controls
from encoder.data.contract.rejection import Rejection
from encoder.data.mapping import SkipReason, SourceRecord
from encoder.data.mapping.proposals import Reading, Usage, closest_paths
from encoder.wording import counted
from streams.commands.map.counts import UserCounts, UserPartitions

_MOST_SHOWN = 10  # kinds of skipped and of rejected records
_CLOSE = 0.8  # similarity of two actions, of which one may be a typing error of the other
_REMEDY = (
    "the order of records in several partitions is not known: a worker applies the events of one partition of each "
    "user and makes dead letters of the others; let the producers use the user as the key, or write such a topic with "
    "`thalweg rekey`"
)
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


def count_lines(reading: Reading, *, are_written: bool = False) -> list[str]:
    """How many records become events, are skipped, and are rejected, with reasons.

    are_written: the rejected records became dead letters. False: they would.
    """
    skipped, rejected = reading.skipped.total(), reading.rejected.total()
    become = "became" if are_written else "would become"
    lines = [
        f"{reading.records:,} records: {reading.read:,} give {reading.events:,} events, {skipped:,} are skipped, "
        + (f"{rejected:,} {become} dead letters" if rejected != 1 else f"1 {become} a dead letter")
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


def key_lines(partitions: UserPartitions, *, is_sample: bool) -> list[str]:
    """Whether the records of each user stand in one partition, and what to do where they do not.

    is_sample: the records are a part of the topic, so that many users have one record in it.
    """
    counts = partitions.of_users()
    if not partitions.with_other_key and not counts.scattered:
        return []
    key = (
        f"the key of {partitions.with_other_key:,} of {partitions.records:,} records with events is not the user"
        if partitions.with_other_key
        else "the key of each record with events is the user"
    )
    where = _where_in_sample(counts) if is_sample else _where_in_topic(counts, partitions.records)
    return [f"{key}; {where}", *([_REMEDY] if counts.scattered else [])]


def _where_in_sample(counts: UserCounts) -> str:
    if not counts.with_several_records:
        return (
            "no user has several records in this sample, so the sample does not tell whether the records of a user "
            "stand in one partition: a larger --sample shows more"
        )
    of = f"of the {counted(counts.with_several_records, 'user')} with several records in this sample"
    if not counts.scattered:
        return f"the records of each {of} stand in one partition; a larger --sample shows more"
    return f"the records of {counts.scattered:,} {of} stand in several partitions; a larger --sample shows more"


def _where_in_topic(counts: UserCounts, records: int) -> str:
    if not counts.scattered:
        return "the records of each user stand in one partition"
    return (
        f"the records of {counts.scattered:,} of {counted(counts.users, 'user')} stand in several partitions: "
        f"{counts.records_of_scattered:,} of {records:,} records with events "
        f"({counts.records_of_scattered / records:.1%}), and {counts.outside:,} "
        f"({counts.outside / records:.1%}) are outside the partition with most records of their user"
    )


def usage_lines(usage: Usage, reading: Reading, records: Sequence[SourceRecord | Rejection] = ()) -> list[str]:
    """The optional fields and actions of the mapping that no record has, and times that a wrong unit may have made.

    records: where a name that is meant may stand.
    """
    lines = _early_lines(usage, reading)
    if reading.events:
        absent = usage.absent_fields({dropped.partition(" (")[0] for dropped in reading.dropped})
        near = closest_paths(absent.values(), records)
        lines += [
            f"no event has the field {key}: nothing stands at {source.shown}"
            + (f"; did you mean {path}?" if path else "")
            for (key, source), path in zip(absent.items(), near, strict=True)
        ]
    return [without_controls(line) for line in [*lines, *_action_lines(usage, reading)]]


def _early_lines(usage: Usage, reading: Reading) -> list[str]:
    if usage.first_early_ms is None:
        return []
    return [
        f"warning: {usage.early:,} of {reading.events:,} events have a time before 2001-09-09, the first is "
        f'{_time_text(usage.first_early_ms)}: check unit = "{usage.unit}" of the key "time" in the mapping'
    ]


def _action_lines(usage: Usage, reading: Reading) -> list[str]:
    unseen = list(usage.unseen_actions)
    if not unseen:
        return []
    skipped = [one.value for one in reading.skipped if one.reason == SkipReason.ACTION]
    shown = []
    for action in unseen[:_MOST_SHOWN]:
        near = get_close_matches(quote_json(action), skipped, n=1, cutoff=_CLOSE)
        shown.append(quote_json(action) + (f" (did you mean {near[0]}?)" if near else ""))
    others = f", and {len(unseen) - _MOST_SHOWN:,} others" if len(unseen) > _MOST_SHOWN else ""
    return [
        f"{len(unseen):,} of the {usage.actions:,} actions in the mapping do not occur in these records: "
        f"{', '.join(shown)}{others}"
    ]
