"""The receipt of an erasure: what was deleted where, and what holds data of the user until when. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from streams.commands.erase.proof import Verdict
from streams.commands.erase.retention import kept_until
from streams.commands.subject.archived import Removal
from streams.commands.subject.report import HeldRecord, SubjectReport
from streams.config.settings import Settings
from streams.store.bundles.held_rows import HeldRow
from streams.store.cql_schema import PENDING_ERASURES_TTL_S

FORMAT = 1
UNKNOWN = "unknown"


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is deleted. at: partition and offset of the null values that say so, in a topic."""

    place: str
    what: str
    bundle_id: str | None = None
    at: list[tuple[int, int]] = []
    rows: int | None = None  # of an archive


class Remaining(msgspec.Struct, frozen=True, kw_only=True):
    """Something that still holds data of the user. until: a time in UTC, by which it is gone, or `unknown`.

    records: how many records of the user the place holds, None where the place was not read.
    """

    place: str
    what: str
    records: int | None
    last_record_ms: int | None = None
    until: str
    why: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt. erasure: partition and offset of the erasure's records in the behaviour topic.

    archive_error: why the user could not be removed from the archive.
    """

    format: int = FORMAT
    user_id: str
    at: str
    is_proven: bool
    erasure: list[tuple[int, int]]
    bundles: tuple[str, ...]
    deleted: list[Deleted]
    remaining: list[Remaining]
    archive_error: str | None = None


def with_archive(receipt: Receipt, address: str, removal: Removal) -> Receipt:
    """The receipt with what was removed from an archive."""
    place = f"archive {address}"
    deleted = [
        Deleted(place=place, what=_written_anew(one.before, one.after, one.reasons), rows=one.rows)
        for one in removal.files
    ]
    left = Remaining(
        place=place,
        what="rows of the user from after the erasure",
        records=removal.rows_left,
        until="unlimited",
        why="an archive keeps its rows until an erasure",
    )
    return msgspec.structs.replace(
        receipt,
        deleted=[*receipt.deleted, *deleted],
        remaining=[*receipt.remaining, *([left] if removal.rows_left else [])],
    )


def without_archive(receipt: Receipt, address: str, error: str) -> Receipt:
    """The receipt where the user could not be removed from the archive."""
    place, why = f"archive {address}", f"not removed: {error}"
    left = Remaining(place=place, what="rows of the user", records=None, until="unlimited", why=why)
    return msgspec.structs.replace(receipt, remaining=[*receipt.remaining, left], archive_error=error)


def _written_anew(before: str, after: str | None, reasons: int) -> str:
    what = f"rows of {before}, " + (f"which {after} replaces" if after else "which is deleted")
    return what + (f"; {reasons} reasons that quoted the id" if reasons else "")


def make_receipt(
    settings: Settings,
    erasure: Mapping[int, int],
    rows_before: Sequence[HeldRow],
    verdict: Verdict,
    left: SubjectReport,
    retention: Mapping[str, Mapping[str, str]],
    gc_grace_s: Mapping[str, int],
) -> Receipt:
    """The receipt of an erasure that was applied.

    erasure: the offset of the erasure, by partition. rows_before: the user's rows before. left: what is held of the
    user after the erasure. retention: the settings of each topic. gc_grace_s: by table.
    """
    return Receipt(
        user_id=left.user_id,
        at=_utc(left.asked_at_ms),
        is_proven=verdict.is_proven,
        erasure=sorted(erasure.items()),
        bundles=verdict.lines,
        deleted=list(_deleted(settings, rows_before, left)),
        remaining=[
            *_in_topics(settings, left, retention),
            *_in_tables(settings, left, gc_grace_s),
            *_not_read(left),
            *_in_bundles(verdict),
            *ELSEWHERE,
        ],
    )


ELSEWHERE = (
    Remaining(
        place="monitor_folder of thalweg monitor",
        what="the user's id in open blocks of compared bundles, and predictions that wait for the user",
        records=None,
        until=UNKNOWN,
        why="a monitor with --bundle forgets the user with the null value of the updates topic; without --bundle, the "
        "user goes when newer users take the place",
    ),
    Remaining(
        place="archives that --archive did not name",
        what="rows of the user",
        records=None,
        until="unlimited",
        why="an archive keeps its rows until `thalweg erase --archive`",
    ),
    Remaining(
        place="sources of thalweg rekey, and their dead-letter topics",
        what="records of the user that the command has read, and those that it could not read",
        records=None,
        until=UNKNOWN,
        why="the settings do not name these topics, and their retention decides",
    ),
    Remaining(
        place="backups, snapshots and copies of the topics",
        what="what they held of the user when they were made",
        records=None,
        until=UNKNOWN,
        why="Thalweg does not know them",
    ),
)


def _deleted(settings: Settings, rows_before: Sequence[HeldRow], left: SubjectReport) -> Iterator[Deleted]:
    still = {row["bundle_id"] for row in left.rows}
    for row in rows_before:
        if row.bundle_id not in still:
            place = f"keyspace {settings.keyspace}, the bundle's table of representations"
            yield Deleted(place=place, what="the user's row", bundle_id=row.bundle_id)
    by_key: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for record in left.updates:
        if record.kind == "tombstone":
            by_key.setdefault((record.topic, record.key), []).append((record.partition, record.offset))
    for (topic, key), at in by_key.items():
        bundle_id = key.partition("/")[0] if "/" in key else None
        yield Deleted(place=f"topic {topic}", what="the user's updates, by null values", bundle_id=bundle_id, at=at)


def _in_topics(
    settings: Settings, left: SubjectReport, retention: Mapping[str, Mapping[str, str]]
) -> Iterator[Remaining]:
    held: list[tuple[str, str, list[HeldRecord], bool]] = [
        (settings.behavior_topic, "events of the user, and the erasure", left.events, True),
        (settings.evaluation_topic, "evaluation events of the user", left.evaluations, True),
        (settings.dead_letter_topic, "dead letters that may name the user, and the marker", left.dead_letters, True),
        (settings.predictions_topic, "predictions of other systems for the user", left.predictions, True),
    ]
    replaced, others = _by_replacement(left.updates)
    for name in left.updates_topics:
        what = "updates of the user, and null values under the user's keys"
        held.append((name, what, [one for one in replaced if one.topic == name], True))
        held.append((name, "updates without a later null value", [one for one in others if one.topic == name], False))
    for topic, what, records, is_replaced in held:
        if records:
            last_ms = max(record.timestamp_ms for record in records)
            until = kept_until(retention.get(topic, {}), last_ms, is_replaced)
            yield Remaining(
                place=f"topic {topic}",
                what=what,
                records=len(records),
                last_record_ms=last_ms,
                until=_until(until.at_ms, until.why),
                why=until.why,
            )


def _by_replacement(updates: Sequence[HeldRecord]) -> tuple[list[HeldRecord], list[HeldRecord]]:
    """The null values with the updates before them, and the other updates.

    A compaction compares the records of one partition. A user whose partition has changed has updates in the earlier
    one, and the erasure writes null values in the present one alone.
    """
    last: dict[tuple[str, int, str], int] = {}
    for one in updates:
        if one.kind == "tombstone":
            place = one.topic, one.partition, one.key
            last[place] = max(one.offset, last.get(place, 0))
    found: tuple[list[HeldRecord], list[HeldRecord]] = ([], [])
    for one in updates:
        found[one.offset > last.get((one.topic, one.partition, one.key), -1)].append(one)
    return found


def _not_read(left: SubjectReport) -> Iterator[Remaining]:
    """An entry for each place that may hold data of the user and was not read."""
    for one in left.not_looked_at:
        if one.kind in ("failed", "open"):
            why = f"the place was not read: {one.reason}"
            yield Remaining(place=one.place, what="what there is of the user", records=None, until=UNKNOWN, why=why)


def _in_bundles(verdict: Verdict) -> Iterator[Remaining]:
    for bundle_id in verdict.unread:
        yield Remaining(
            place=f"bundle {bundle_id}",
            what="a row that is written before the bundle reads the erasure",
            records=None,
            until=UNKNOWN,
            why="the bundle has no worker and has not read up to the erasure: a backfill that runs now, and workers "
            "that start later, write the user's row, and the workers delete it when they read the erasure; `thalweg "
            "retire` makes sure that nobody writes the row",
        )


def _in_tables(settings: Settings, left: SubjectReport, gc_grace_s: Mapping[str, int]) -> Iterator[Remaining]:
    for row in [*left.rows, *left.pending_erasures]:
        place, what = f"table {settings.keyspace}.{row['table']}", f"a row of bundle {row['bundle_id']}"
        if row in left.rows:
            why, until = "an event after the erasure began a new history, or the erasure is not proven", UNKNOWN
        else:
            why = "a worker has not taken out the entry of a committed erasure, and the entry expires"
            until = _utc(left.asked_at_ms + 1000 * PENDING_ERASURES_TTL_S)
        yield Remaining(place=place, what=what, records=1, until=until, why=why)
    for looked in left.looked_at:
        table = looked.place.removeprefix("table ")
        if looked.place.startswith("table ") and table in gc_grace_s:
            earliest_ms = left.asked_at_ms + 1000 * gc_grace_s[table]
            yield Remaining(
                place=f"data files of table {settings.keyspace}.{table}",
                what="the user's key, and cells that are deleted",
                records=None,
                until=UNKNOWN,
                why="the first compaction of these files deletes the cells, and the first compaction after "
                f"{_utc(earliest_ms)} (gc_grace_seconds {gc_grace_s[table]}) deletes the key; the commit log "
                "keeps both until Cassandra deletes the log's files",
            )


def _until(at_ms: int | None, why: str) -> str:
    if at_ms is None:
        return "unlimited" if why.startswith("unlimited") else UNKNOWN
    return _utc(at_ms)


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
