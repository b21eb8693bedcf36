"""Which offsets of an archive a backfill steps, and where it refuses. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from streams.broker.topics import Topic
from streams.config.errors import InputError
from streams.engine.epochs import EpochView


class Covered(NamedTuple):
    """The offsets of a partition that an archive covers. end: the offset behind the last one."""

    first: int
    end: int


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
    for partition, (first, _) in covered.items():
        if first > 0:
            raise InputError(
                f"the bundle has rows, and archive {address} begins at offset {first} of partition {partition} of "
                f"{topic.name}, so the rows may hold earlier history: {instead}"
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
