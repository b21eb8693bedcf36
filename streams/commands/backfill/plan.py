"""Which offsets of an archive a backfill steps, and where it refuses. Pure."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from streams.broker.topics import Topic
from streams.config.errors import InputError
from streams.engine.epochs import EpochView

if TYPE_CHECKING:
    from streams.archive.reader import ArchiveReader  # loads pyarrow, which is an extra


class Covered(NamedTuple):
    """The offsets of a partition that an archive covers. end: the offset behind the last one."""

    first: int
    end: int


def covered_by(archive: "ArchiveReader") -> dict[int, Covered]:
    """By partition, the offsets that an archive covers."""
    return {one: Covered(archive.begin(one) or 0, archive.end(one) or 0) for one in archive.partitions}


def check_hand_over(topic: Topic, covered: Mapping[int, Covered], address: str) -> None:
    """Raises InputError where archive and topic do not join, or the group is beyond the archive.

    covered: by partition, for the partitions that the archive has.
    """
    for partition in range(topic.partitions):
        first, end = covered.get(partition, Covered(0, 0))
        start, committed = topic.start_offsets[partition], topic.committed.get(partition)
        where = f"partition {partition} of {topic.name}"
        if start > end:
            raise InputError(
                f"archive {address} ends at offset {end} of {where}, and the topic begins at offset {start}: the "
                "records between are in neither; name an archive that reaches further"
            )
        if committed is None and start < first:
            raise InputError(
                f"archive {address} begins at offset {first} of {where}, and the topic still holds earlier records, "
                f"from offset {start} on: run `thalweg archive` from the topic's beginning into another archive"
            )
        if committed is not None and committed > end:
            raise InputError(
                f"workers of the bundle have read {where} up to offset {committed}, and archive {address} ends at "
                f"offset {end}: a backfill has nothing to do there; start the workers"
            )
        if committed is not None and committed < first:
            raise InputError(
                f"workers of the bundle have read {where} up to offset {committed}, and archive {address} begins at "
                f"offset {first}: the records between are missing; name an archive that begins earlier"
            )


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
        first = max(position.get(partition, 0), covered[partition].first)
        if first < end:
            found[partition] = Covered(first, end)
    return found
