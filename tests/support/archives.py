"""Small archives in local folders."""

from collections.abc import Sequence
from pathlib import Path

from encoder.data.events import BehaviorEvent
from streams.archive.columns import ArchivedRecord
from streams.archive.files import open_files
from streams.archive.layout import Description, Segment
from streams.archive.writer import SegmentWriter, open_archive
from streams.engine.codec import Outcome

DESCRIPTION = Description(format=1, topic="events", topic_id="1-2", decoder="the event contract")


def view(user_id: str, number: int) -> BehaviorEvent:
    return BehaviorEvent(
        event_id=f"e{number}", user_id=user_id, item_id=f"i{number % 5 + 1}", action="view", event_time_ms=number * 1000
    )


def write_segment(
    folder: Path, partition: int, first: int, times_ms: Sequence[int], outcomes: Sequence[Outcome] | None = None
) -> Segment:
    """Write a segment with one record at each offset from `first`. outcomes: by default one view of a user each."""
    files = open_files(str(folder))
    open_archive(files, DESCRIPTION)
    segment = SegmentWriter(files, "events", partition, first)
    records = [ArchivedRecord(first + at, time_ms) for at, time_ms in enumerate(times_ms)]
    segment.add(records, outcomes or [view(f"u{one.offset % 3}", one.offset) for one in records])
    return segment.commit(first + len(times_ms) - 1)
