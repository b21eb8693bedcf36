"""Which offsets of an archive a backfill steps, and where it refuses. Pure."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from streams.broker.topics import Topic
from streams.config.errors import InputError, StoreBehindError
from streams.engine.epochs import EpochView
from streams.store.positions.stored_positions import NO_POSITIONS, Positions

if TYPE_CHECKING:
    from streams.archive.reader import ArchiveReader  # loads pyarrow, which is an extra


class Covered(NamedTuple):
    """The offsets of a partition that an archive covers without a gap. end: the offset behind the last one.

    log_end: where the archive begins to copy the topic, None where the partition begins without a log.
    """

    first: int
    end: int
    log_end: int | None = None


_NOTHING = Covered(0, 0)


def covered_by(archive: "ArchiveReader") -> dict[int, Covered]:
    """By partition, what an archive covers without a gap. An erasure in a gap would bring its user back."""
    return {
        one: Covered(archive.complete_from(one) or 0, archive.end(one) or 0, archive.log_end(one))
        for one in archive.partitions
    }


def check_hand_over(topic: Topic, covered: Mapping[int, Covered], address: str) -> None:
    """Raises InputError where archive and topic do not join, or the group is beyond the archive everywhere.

    covered: by partition, for the partitions that the archive has.
    """
    beyond = _beyond(topic, covered)
    if len(beyond) == topic.partitions:
        raise InputError(
            f"workers of the bundle have read every partition of {topic.name} beyond the end of archive {address}: a "
            "backfill has nothing to do; start the workers"
        )
    check_reach(topic, covered, address)
    for partition in sorted(set(range(topic.partitions)) - beyond):
        first = covered.get(partition, _NOTHING).first
        start, committed = topic.start_offsets[partition], topic.committed.get(partition)
        where = f"partition {partition} of {topic.name}"
        if committed is None and start < first:
            raise InputError(
                f"archive {address} has every record from offset {first} of {where} on, and the topic still holds "
                f"earlier records, from offset {start} on: run `thalweg archive` from the topic's beginning into "
                "another archive"
            )
        if committed is not None and committed < first:
            raise InputError(
                f"workers of the bundle have read {where} up to offset {committed}, and archive {address} has every "
                f"record from offset {first} on: the records between are missing; name an archive that has these "
                "records"
            )


def check_reach(topic: Topic, covered: Mapping[int, Covered], address: str) -> None:
    """Raises InputError where retention has deleted records behind the archive that the group has not read."""
    for partition in sorted(set(range(topic.partitions)) - _beyond(topic, covered)):
        end, start = covered.get(partition, _NOTHING).end, topic.start_offsets[partition]
        if start > end:
            raise InputError(
                f"archive {address} ends before offset {end} of partition {partition} of {topic.name}, and the topic "
                f"begins at offset {start}: the records from offset {end} to {start - 1} are in neither, so workers of "
                "the bundle would never read them; run `thalweg archive`, or name an archive that reaches further, and "
                "run this command again"
            )


def _beyond(topic: Topic, covered: Mapping[int, Covered]) -> set[int]:
    """The partitions that workers of the bundle have read beyond the archive, so that nothing is left to step."""
    return {
        partition
        for partition, committed in topic.committed.items()
        if committed > covered.get(partition, _NOTHING).end
    }


def check_beginning(
    topic: Topic, covered: Mapping[int, Covered], backfilled: Collection[int], address: str, group_id: str
) -> None:
    """Raises InputError where the group began without the archive, and may have begun behind the archive's beginning.

    backfilled: the partitions whose history began with a backfill. A group that read the topic from its beginning has
    the whole history as long as the topic still has that beginning. Nobody knows what a topic had lost before.
    """
    for partition in sorted(topic.committed.keys() & covered.keys()):
        start, first = topic.start_offsets[partition], covered[partition].first
        if partition not in backfilled and start > first:
            raise InputError(
                f"group {group_id} has read partition {partition} of {topic.name} without archive {address}, and the "
                f"topic begins at offset {start} now: the rows may lack the events from offset {first} on. Stop the "
                f"workers, and `thalweg verify --archive {address} --repair` writes the rows of the whole history; "
                "then go on without the archive"
            )


def check_positions(topic: Topic, known: Mapping[int, Positions], address: str, group_id: str) -> None:
    """Raises StoreBehindError where Cassandra does not say that the rows hold what the group has committed.

    known: by partition, the stored positions of the bundle. A backfill that went on from the commit would hide from
    the workers that Cassandra was restored.
    """
    for partition, committed in sorted(topic.committed.items()):
        if committed > (stored := known.get(partition, NO_POSITIONS).last()):
            raise StoreBehindError(
                f"group {group_id} has committed partition {partition} of {topic.name} up to offset {committed}, and "
                f"by the table stored_positions the rows hold the records before offset {stored}: Cassandra was "
                "restored to an older state, or an earlier version of Thalweg has committed. Run `thalweg verify "
                f"--repair --archive {address}`, which compares all rows, and then this command again; see "
                "docs/operating.md#backup-and-restore"
            )


def check_from_beginning(
    topic: Topic, covered: Mapping[int, Covered], view: EpochView, has_rows: bool, address: str
) -> None:
    """Raises InputError where rows may hold history that the archive lacks, or where a part is committed.

    has_rows: the bundle may have rows. Without commits and without history elsewhere, rows are those of an earlier
    backfill of the same history, and are written again.
    """
    instead = "run `thalweg backfill` without --spark, which goes on from the rows"
    for partition, committed in topic.committed.items():
        if committed > 0:
            raise InputError(
                f"the bundle has rows up to offset {committed} of partition {partition} of {topic.name}, and Spark "
                f"steps each history from its beginning: {instead}"
            )
    if not has_rows:
        return
    if view.incarnation > 0:
        raise InputError(
            f"the bundle has rows, and {topic.name} was deleted and made again, so the rows may hold history from "
            f"before: {instead}"
        )
    for partition, (first, _, _) in covered.items():
        if first > 0:
            raise InputError(
                f"the bundle has rows, and archive {address} begins at offset {first} of partition {partition} of "
                f"{topic.name}, so the rows may hold earlier history: {instead}"
            )


def check_log(topic: Topic, known: str | None, log: str | None, has_rows: bool, address: str) -> None:
    """Raises InputError where the bundle's rows do not begin with the log with which the archive begins.

    known: the id of the log with which the rows begin, None for the topic alone. log: the id of the archive's log, None
    where the archive has none. has_rows: the bundle may have rows.
    """
    if known == log:
        return
    if known is not None:
        raise InputError(
            f"the rows of the bundle begin with the events of a log of another archive than {address}: name that "
            "archive, or retire the bundle and export the model again with other options"
        )
    if topic.committed or has_rows:
        raise InputError(
            f"archive {address} begins with a log, and the bundle has rows of {topic.name} without the events of this "
            "log: retire the bundle, and export the model again with other options, which gives another bundle"
        )


def check_log_order(view: EpochView, covered: Mapping[int, Covered]) -> None:
    """Raises InputError where users of a log would get records of the topic before the events of the log.

    The log's events stand in the partitions of the topic's present number. Records from before partitions were added
    stand elsewhere, and they would be stepped first.
    """
    held = [partition for partition in view.held if partition in covered and covered[partition].log_end is not None]
    if not held:
        return
    ends = {partition: one.log_end for partition, one in covered.items() if one.log_end is not None}
    if not view.barrier or any(barrier > ends.get(partition, 0) for partition, barrier in enumerate(view.barrier)):
        raise InputError(
            f"partitions {sorted(held)} were added to the topic after the time until which the archive's log goes, so "
            "earlier records of their users stand in other partitions than the events of the log: begin another "
            "archive with a log until a time after the addition"
        )


def passed_offsets(topic: Topic, covered: Mapping[int, Covered], position: Mapping[int, int]) -> dict[int, int]:
    """By partition, the offset before which the backfill has nothing left to step.

    The beginning of the topic says nothing, because the archive holds what retention has deleted there. position: as of
    `stage`.
    """
    return {
        partition: position.get(partition, covered[partition].first if partition in covered else start)
        for partition, start in topic.start_offsets.items()
    }


def stage(
    partitions: int, covered: Mapping[int, Covered], position: Mapping[int, int], view: EpochView
) -> dict[int, Covered]:
    """By partition, the offsets to step before the group may begin another epoch, or at the end of the archive.

    partitions: of the topic. position: by partition, the offset up to which everything is stepped.
    """
    found = {}
    for partition in range(partitions):
        if partition in view.held or partition not in covered:
            continue
        end = covered[partition].end
        if view.held and partition < len(view.barrier):
            end = min(end, view.barrier[partition])
        first = max(position.get(partition, covered[partition].first), covered[partition].first)
        if first < end:
            found[partition] = Covered(first, end)
    return found
