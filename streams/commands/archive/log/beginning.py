"""The beginning of an archive with a log, step by step.

1. The topic is read up to its present end. The archive will copy its records from an hour before the boundary on, so
   their events are left out of the log. Erasures before are noted.
2. The log is read and sorted by partition and time. Events that come twice are left out.
3. The log's events are written as segments.
4. The description makes the archive known. `Archiving` then copies the topic from where the log part ends.
"""

import argparse
import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from encoder.commands.log_arguments import check_unparsable
from encoder.data.loaders import LogPaths
from streams.archive.files import ArchiveFiles
from streams.archive.layout import FORMAT_WITH_LOG, Description, Log
from streams.archive.log_part import check_new, complete, delete_unfinished, write_log_part
from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.decoding.record_decoder import open_decoder
from streams.broker.partitioners.choice import choose_partitioner
from streams.broker.partitioners.rules import PARTITIONERS
from streams.broker.topics import Topic, describe_topic
from streams.commands.archive.log.event_runs import EventRuns
from streams.commands.archive.log.log_events import LogCounts, LogEvents
from streams.commands.archive.log.survey import OVERLAP_MS, Survey, Surveyor
from streams.config.errors import InputError
from streams.config.settings import Settings

ID_BYTES = 8  # of the log, made by chance


class Beginning:
    """Begins an archive with a log."""

    def __init__(
        self, settings: Settings, files: ArchiveFiles, paths: LogPaths, args: argparse.Namespace, console: Console
    ) -> None:
        """args: `until_ms`, `accept_gaps`, `max_unparsable`, and those of `LogEvents`. console: takes the report on the
        rows of the log, and a line of progress.
        """
        self._settings = settings
        self._files = files
        self._paths = paths
        self._args = args
        self._console = console

    def run(self) -> LogCounts:
        """Write the log part of the archive.

        Raises InputError where the archive is not new, where the log does not fit the topic or has no event before the
        boundary, where the topic lacks records behind the boundary, and where too many rows are no events. Raises
        SettingsError, ArchiveError, BrokerError.
        """
        args, settings = self._args, self._settings
        check_until(args.until_ms, int(time.time() * 1000))
        check_new(self._files)
        LogEvents(self._paths, args, args.until_ms, {})  # Files that are no log are found before the topic is read.
        decoder = open_decoder(settings)
        plain = open_decoder(msgspec.structs.replace(settings, pseudonym_key=None))
        topic = describe_topic(settings, settings.behavior_topic)
        rule = PARTITIONERS[choose_partitioner(settings, topic.name)]
        partition_of = partial(_partition_of, rule, topic.partitions)
        with self._files.lock(of_removal=True), self._console.status("") as status:
            delete_unfinished(self._files)
            surveyor = Surveyor(settings, topic, plain, args.until_ms, partition_of)
            found = asyncio.run(
                surveyor.survey(args.accept_gaps, lambda read: status.update(f"{read:,} records of the topic read"))
            )
            with tempfile.TemporaryDirectory(prefix="thalweg-archive-") as folder:
                counts = self._write(topic, found, partition_of, Path(folder), status.update)
            log = Log(id=secrets.token_hex(ID_BYTES), until_ms=args.until_ms)
            complete(
                self._files,
                Description(
                    format=FORMAT_WITH_LOG,
                    topic=topic.name,
                    topic_id=str(topic.topic_id),
                    decoder=decoder.name,
                    log=log,
                ),
            )
        return counts

    def _write(
        self,
        topic: Topic,
        found: Survey,
        partition_of: Callable[[str], int],
        folder: Path,
        tell: Callable[[str], None],
    ) -> LogCounts:
        args, pseudonyms = self._args, open_pseudonyms(self._settings)
        events = LogEvents(self._paths, args, args.until_ms, found.erased)
        runs = EventRuns(folder, events.source, partition_of, str if pseudonyms is None else pseudonyms.of)
        try:
            for batch in events:
                runs.add(batch)
                tell(f"{events.report.kept:,} events of the log read")
            check_unparsable(events.report, args.max_unparsable, self._paths, self._console)
            if events.report.kept == events.counts.later:
                raise InputError(f"no event of {self._paths} is before --until: check the time and the log")
            left_out, counts = runs.finish(found.by_id, found.by_content), events.counts
            check_recognised(events.recent, found.recent, left_out.in_topic)
            counts.duplicates, counts.in_topic = left_out.duplicates, left_out.in_topic
            for partition, end in found.begins.items():
                rows = counts.partitions[partition] = runs.counts[partition]
                tables = runs.tables(partition)
                for segment in write_log_part(self._files, topic.name, partition, rows, tables, end):
                    counts.events += sum(file.rows for file in segment.files)
                    tell(f"{counts.events:,} events of the log written")
        finally:
            runs.close()
        return counts


def check_until(until_ms: int, now_ms: int) -> None:
    """Raises InputError for a boundary before which events may still be recorded."""
    if until_ms > now_ms - OVERLAP_MS:
        raise InputError(
            f"--until {np.datetime64(until_ms, 'ms')}Z is less than an hour ago, and events before that time may still "
            "come to the topic: give an earlier time, or run the command later"
        )


def check_recognised(of_log: int, of_topic: int, in_both: int) -> None:
    """Raises InputError where log and topic have events of the same hour, and no event in common.

    of_log, of_topic: events of the last OVERLAP_MS before the boundary. in_both: events that both have.
    """
    if of_log and of_topic and not in_both:
        raise InputError(
            f"the log has {of_log:,} events of the hour before --until and the copied part of the topic {of_topic:,}, "
            "and none is the same by user_id and event_id, or by user_id, item_id, action and event_time_ms where the "
            "log has no event_id: every event of this hour would count twice; give a log with the topic's event ids "
            "(--columns event_id=COLUMN), or with times in milliseconds"
        )


def _partition_of(rule: Callable[[bytes, int], int], partitions: int, user_id: str) -> int:
    return rule(user_id.encode(), partitions)
