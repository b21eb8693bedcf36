"""Which offsets of an archive a backfill steps, and where it refuses. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from streams.broker.topics import Topic
from streams.config.errors import InputError
from streams.engine.epochs import EpochView


class Covered(NamedTuple):
    """The offsets of a partition that an archive covers without a gap. end: the offset behind the last one."""

    first: int
    end: int


_NOTHING = Covered(0, 0)


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
