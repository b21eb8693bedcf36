"""Sorts records by time within a bounded memory: an external merge sort.

Source: Knuth, The Art of Computer Programming, volume 3, section 5.4. While runs are sorted, RUN_RECORDS records are in
memory. While runs are merged, CHUNK_RECORDS records of each run are in memory. More than RUN_RECORDS records are
written once, compressed, to a temporary file in the folder that TMPDIR names.
"""

import heapq
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import IO, NamedTuple

import msgspec
from cramjam import lz4

from streams.config.errors import InputError

RUN_RECORDS = 250_000  # about 150 MB of records with 350 bytes each; see docs/decisions.md#order-of-a-replay
CHUNK_RECORDS = 1_000
LENGTH_BYTES = 4  # before each chunk: the number of its compressed bytes


class TimedRecord(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record of the behaviour topic and its place in time."""

    time_ms: int
    key: bytes
    value: bytes
    content_id: str | None = None  # see `encoder.data.event_ids`; None: the id of the record is final


class _Run(NamedTuple):
    """Records in order of time, which are the bytes `begin` to `end` of the temporary file."""

    begin: int
    end: int
    first_ms: int
    last_ms: int


_time_ms = attrgetter("time_ms")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[TimedRecord]).decode


def in_order_of_time(records: Iterable[TimedRecord], run_records: int = RUN_RECORDS) -> Iterator[TimedRecord]:
    """Yield the records in order of time. Records of equal times keep their order.

    run_records: how many records are sorted in memory. All records are read before the first one is yielded. Raises
    InputError when the temporary file cannot be written.
    """
    records = iter(records)
    run = sorted(islice(records, run_records), key=_time_ms)
    following = next(records, None)
    if following is None:
        yield from run
        return
    with _temporary_file() as file:
        runs = [_write(file, run)]
        del run  # the next run takes the memory of this one
        rest = chain([following], records)
        while (written := _write_next(file, rest, run_records)) is not None:
            runs.append(written)
        # heapq.merge is stable: of equal times, the records of the earlier sequence come first.
        yield from heapq.merge(*(_read(file, sequence) for sequence in _sequences(runs)), key=_time_ms)


def _temporary_file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="thalweg-replay-")
    except OSError as error:
        raise _unwritable(error) from None


def _unwritable(error: OSError) -> InputError:
    return InputError(
        f"cannot write the temporary file that sorts the log by time: {error}; name a folder that has room for the "
        "compressed log with TMPDIR"
    )


def _write_next(file: IO[bytes], records: Iterator[TimedRecord], run_records: int) -> _Run | None:
    run = sorted(islice(records, run_records), key=_time_ms)
    return _write(file, run) if run else None


def _write(file: IO[bytes], run: list[TimedRecord]) -> _Run:
    begin = file.tell()
    try:
        for at in range(0, len(run), CHUNK_RECORDS):
            chunk = bytes(lz4.compress_block(_encode(run[at : at + CHUNK_RECORDS])))
            file.write(len(chunk).to_bytes(LENGTH_BYTES, "big") + chunk)
        file.flush()  # `_read` does not look into the buffer of the file
    except OSError as error:
        raise _unwritable(error) from None
    return _Run(begin, file.tell(), run[0].time_ms, run[-1].time_ms)


def _sequences(runs: list[_Run]) -> list[list[_Run]]:
    """Join neighbouring runs that follow each other in time. The runs of a sorted log are one sequence."""
    sequences = [[runs[0]]]
    for run in runs[1:]:
        if run.first_ms >= sequences[-1][-1].last_ms:
            sequences[-1].append(run)
        else:
            sequences.append([run])
    return sequences


def _read(file: IO[bytes], sequence: list[_Run]) -> Iterator[TimedRecord]:
    """Yield the records of a sequence. Several sequences can be read by turns."""
    for run in sequence:
        at = run.begin
        while at < run.end:
            length = int.from_bytes(os.pread(file.fileno(), LENGTH_BYTES, at), "big")
            at += LENGTH_BYTES + length
            yield from _decode(bytes(lz4.decompress_block(os.pread(file.fileno(), length, at - length))))
