"""Asks the judge of the event contract about the rows of files."""

import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from encoder.data.contract.incoming_event import MAX_AHEAD_MS
from encoder.data.contract.judge import DroppedField, Verdict, judge_fields, judge_value, read_object
from encoder.data.contract.rejection import Rejection
from encoder.data.events import BehaviorEvent
from encoder.data.loaders.row_batches import JudgedBatch, LogFormat, RawEvent, RowBatch, UnusableRow, user_id_or_empty
from encoder.errors import InputError

_USER_ID = re.compile(rb'"user_id"\s*:\s*"([^"\\]+)"')  # finds the user id in a line that is not valid JSON
# How the names of logs end. Another name may be that of a topic, which may have dots.
_LOG_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".txt", ".dat", ".parquet", ".gz", ".gzip", ".zst")


def validated_batches(log_format: LogFormat, path: Path) -> Iterator[JudgedBatch]:
    """Yield the file's batches, with an `UnusableRow` in the place of each row that is not an event.

    Raises InputError when the file cannot be read.
    """
    latest_ms = latest_time_ms()
    with reading(path):
        for batch in log_format.batches(path):
            yield judged(batch, latest_ms)


def latest_time_ms() -> int:
    """The latest time of an event that is accepted now.

    A worker compares the time of an event with the timestamp of its record, which a replay sets to the clock.
    """
    return int(time.time() * 1000) + MAX_AHEAD_MS


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise InputError in the place of an error of reading, and when the path is a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, and a log is one file: name a file, or join the files of the folder")
    try:
        yield
    except FileNotFoundError as error:
        if len(path.parts) > 1 or path.suffix in _LOG_SUFFIXES:
            raise InputError(f"cannot read the event log {path}: {error}; check the path") from None
        raise InputError(
            f"cannot read the event log {path}: there is no such file; where {path} is a topic, write its events to a "
            f"file with `thalweg map {path} --mapping PRESET|FILE --events FILE`"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"cannot read the event log {path}: {error}; check the path and that the file is whole"
        ) from None


def judged(batch: RowBatch, latest_ms: int) -> JudgedBatch:
    """The rows after the judge of the event contract. Events later than `latest_ms` are rejected."""
    events: list[BehaviorEvent | UnusableRow] = []
    dropped: list[tuple[int, DroppedField]] = []
    for line, content in zip(batch.lines, batch.contents, strict=True):
        if isinstance(content, UnusableRow):
            events.append(content)
            continue
        outcome, lost = content if isinstance(content, Verdict) else _judge(content)
        if isinstance(outcome, Rejection):
            events.append(UnusableRow(outcome.reason, _user_id(content)))
        elif outcome.event_time_ms > latest_ms:
            reason = f"event_time_ms {outcome.event_time_ms} is more than a day ahead of the clock"
            events.append(UnusableRow(reason, outcome.user_id))
        else:
            events.append(outcome)
            dropped += [(line, one) for one in lost]
    return JudgedBatch(batch.lines, batch.raw, events, dropped, batch.skipped)


def _judge(content: bytes | RawEvent) -> Verdict:
    return judge_value(content) if isinstance(content, bytes) else judge_fields(content)


def _user_id(content: bytes | RawEvent | Verdict) -> str:
    if isinstance(content, Verdict):
        return ""
    if not isinstance(content, bytes):
        return user_id_or_empty(content.get("user_id"))
    fields = read_object(content)
    if fields is not None:
        return user_id_or_empty(fields.get("user_id"))
    found = _USER_ID.search(content)
    return found[1].decode(errors="replace") if found else ""
