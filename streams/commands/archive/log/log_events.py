"""Reads the events of a log that belong to the history before the topic."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from encoder.data.events import BehaviorEvent
from encoder.data.loaders import LogPaths, LogReport
from encoder.data.loaders.formats import choose_format
from encoder.data.loaders.log_paths import common_format, log_paths
from encoder.data.loaders.row_batches import UnusableRow
from encoder.data.loaders.validation import reading, validated_batches
from streams.commands.archive.log.survey import OVERLAP_MS


class LogCounts(msgspec.Struct, kw_only=True):
    """What became of the events of a log."""

    events: int = 0  # at the beginning of the archive
    later: int = 0  # at or after --until
    erased: int = 0  # of users whom the topic erased afterwards
    duplicates: int = 0  # rows with the user id and the event id of an earlier row
    in_topic: int = 0  # stand among the topic's records that the archive copies
    partitions: dict[int, int] = {}  # events by partition


class LogEvents:
    """The events of the files of a log. The object is iterated once.

    counts: `later` and `erased` grow while the events are read. recent: events of the last OVERLAP_MS before the
    boundary. report: what became of all rows.
    """

    def __init__(self, paths: LogPaths, args: argparse.Namespace, until_ms: int, erased: Mapping[str, int]) -> None:
        """args: `format`, `columns` and `mapping`. erased: by user, the time of the last erasure before the boundary.

        Raises InputError for files that are not there or are no log.
        """
        self._paths: Sequence[Path] = log_paths(paths)
        for path in self._paths:
            with reading(path):
                path.stat()
        self.source = common_format(self._paths, args.format)
        self._format = choose_format(self._paths[0], self.source, args.columns, args.mapping)
        self._until_ms = until_ms
        self._erased = erased
        self.report = LogReport(counts_duplicates=False)
        self.counts = LogCounts()
        self.recent = 0

    def __iter__(self) -> Iterator[list[BehaviorEvent]]:
        """Raises InputError where a file cannot be read."""
        for path in self._paths:
            self.report.file = path.name if len(self._paths) > 1 else ""
            for batch in validated_batches(self._format, path):
                self.report.count_unused(batch)
                events = [one for one in batch.events if not isinstance(one, UnusableRow)]
                self.report.kept += len(events)
                yield [one for one in events if self._belongs(one)]

    def _belongs(self, event: BehaviorEvent) -> bool:
        if event.event_time_ms >= self._until_ms:
            self.counts.later += 1
            return False
        if event.event_time_ms <= self._erased.get(event.user_id, -1):
            self.counts.erased += 1
            return False
        self.recent += event.event_time_ms >= self._until_ms - OVERLAP_MS
        return True
