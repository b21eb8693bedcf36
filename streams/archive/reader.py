"""Reads an archive in the order of its partitions' offsets."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from streams.archive.files import ArchiveFiles, open_files
from streams.archive.layout import (
    DESCRIPTION,
    FORMAT,
    FORMAT_WITH_LOG,
    GAPS,
    SEGMENTS,
    Description,
    Segment,
    SegmentFile,
    Span,
    parse_span,
    segment_path,
)
from streams.archive.schema import SCHEMA
from streams.config.errors import ArchiveError, InputError
from streams.engine.codec import is_same_decoder
from streams.engine.payload.pseudonym_decoder import WITH_PSEUDONYMS

READ_ROWS = 10_000
_ATTEMPTS = 5  # to read a segment whose files a removal replaces meanwhile
_decode_segment = msgspec.json.Decoder(Segment).decode


class ArchiveReader:
    """The segments that an archive had when the reader was made, or when `refresh` was called last."""

    def __init__(self, files: ArchiveFiles, description: Description) -> None:
        self.files = files
        self.description = description
        self._spans: dict[int, list[Span]] = {}
        self._gaps: dict[int, list[Span]] = {}
        self.refresh()

    @classmethod
    def open(cls, address: str) -> "ArchiveReader":
        """Open the archive in a folder, or at an address `s3://BUCKET/PREFIX`.

        Raises InputError where there is no archive of this format, SettingsError where a package is missing, and
        ArchiveError.
        """
        files = open_files(address)
        description = read_description(files)
        if description is None:
            raise InputError(f"there is no archive at {address}: `thalweg archive --to {address}` makes one")
        return cls(files, description)

    def check(self, topic: str, topic_id: object, decoder: str) -> None:
        """Raises InputError where the archive belongs to another topic incarnation or another decoder.

        decoder: the name of a `RecordDecoder`.
        """
        check_description(self.files.address, self.description, topic, topic_id, decoder)

    def check_end(self, partition: int, stable: int) -> None:
        """Raises InputError where the archive covers offsets that the topic has not reached.

        stable: the last stable offset of the partition in the topic.
        """
        end = self.end(partition)
        if end is not None and end > stable:
            raise InputError(
                f"archive {self.files.address} covers partition {partition} of topic {self.description.topic} up to "
                f"offset {end - 1}, and the partition ends before offset {stable}: the partition was cut, so name "
                "another archive"
            )

    def refresh(self) -> None:
        """Read again which segments there are. Raises ArchiveError where segments do not join."""
        self._spans, self._gaps = _spans(self.files, SEGMENTS), _spans(self.files, GAPS)
        for partition, spans in self._spans.items():
            for one, following in itertools.pairwise(spans):
                if following.first != one.last + 1:
                    raise ArchiveError(
                        f"archive {self.files.address} is damaged: partition {partition} has a segment up to offset "
                        f"{one.last}, and the following segment begins at offset {following.first}"
                    )

    @property
    def partitions(self) -> list[int]:
        """The partitions that have a segment, ascending."""
        return sorted(self._spans)

    def begin(self, partition: int) -> int | None:
        """The first offset that the archive covers; None where the partition has no segment."""
        spans = self._spans.get(partition)
        return spans[0].first if spans else None

    def end(self, partition: int) -> int | None:
        """The offset behind the last one that the archive covers; None where the partition has no segment."""
        spans = self._spans.get(partition)
        return spans[-1].last + 1 if spans else None

    def complete_from(self, partition: int) -> int | None:
        """The offset from which no record is missing that the topic had; None where the partition has no segment."""
        begin = self.begin(partition)
        return None if begin is None else max([begin, *(gap.last + 1 for gap in self._gaps.get(partition, ()))])

    def log_end(self, partition: int) -> int | None:
        """The offset at which the archive begins to copy the topic; None where the partition begins without a log."""
        of_log = [span for span in self.spans(partition) if span.is_of_log]
        return of_log[-1].last + 1 if of_log else None

    def records_from(self, partition: int, first: int | None) -> int:
        """The number of offsets from `first` on that may hold rows. first: None for the beginning of the archive."""
        spans = self.spans(partition)
        return sum(max(0, one.last_row + 1 - (one.first if first is None else max(first, one.first))) for one in spans)

    def spans(self, partition: int) -> list[Span]:
        """The offsets of each segment of a partition, in order."""
        return self._spans.get(partition, [])

    def segments(self, partition: int) -> Iterator[Segment]:
        """The segments of a partition, in order. Raises ArchiveError."""
        for span in self.spans(partition):
            yield self.segment(partition, span)

    def segment(self, partition: int, span: Span) -> Segment:
        """A segment as it is now. Raises ArchiveError."""
        path = segment_path(partition, span)
        try:
            return _decode_segment(self.files.read(path))
        except (FileNotFoundError, msgspec.MsgspecError) as error:
            raise ArchiveError(f"archive {self.files.address} is damaged: {path}: {error}") from error

    def read(
        self,
        partition: int,
        first: int | None = None,
        last: int | None = None,
        rows: int = READ_ROWS,
        columns: Sequence[str] = tuple(SCHEMA.names),
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a partition between two offsets, both included, in order, as batches of SCHEMA.

        first, last: None for the beginning and the end of the archive.

        rows: of a batch. A batch holds more where a record has more, since a batch holds all rows of its records. One
        segment at a time is in memory. columns: those to read, `offset` and `line` among them. Raises ArchiveError.
        """
        for span in self.spans(partition):
            if (first is not None and span.last < first) or (last is not None and span.first > last):
                continue
            table = self._load(partition, span, list(columns))
            offsets = table.column("offset").to_numpy()
            start = 0 if first is None else int(np.searchsorted(offsets, first))
            end = len(offsets) if last is None else int(np.searchsorted(offsets, last, side="right"))
            yield from batches_of(table.slice(start, end - start), rows)

    def _load(self, partition: int, span: Span, columns: list[str]) -> pa.Table:
        """All rows of a segment, sorted by offset and line. A removal may replace files of the segment meanwhile."""
        for attempt in range(_ATTEMPTS):
            segment = self.segment(partition, span)
            try:
                tables = [read_rows(self.files, file, columns) for file in segment.files]
                break
            except FileNotFoundError as error:
                if attempt == _ATTEMPTS - 1:
                    raise ArchiveError(f"archive {self.files.address} is damaged: {error}") from error
        table = pa.concat_tables([SCHEMA.empty_table().select(columns), *tables]).unify_dictionaries().combine_chunks()
        if len(tables) < 2:
            return table
        keys = [("offset", "ascending"), ("line", "ascending")]
        return table.take(pc.sort_indices(table.select(["offset", "line"]), keys))


def batches_of(table: pa.Table, rows: int) -> Iterator[pa.RecordBatch]:
    """A partition's rows in order, in batches of so many rows. A batch holds more where its last record has more."""
    offsets = table.column("offset").to_numpy()
    start, end = 0, len(offsets)
    while start < end:
        stop = min(start + rows, end)
        stop = int(np.searchsorted(offsets, offsets[stop - 1], side="right"))
        yield from table.slice(start, stop - start).combine_chunks().to_batches()
        start = stop


def read_rows(files: ArchiveFiles, file: SegmentFile, columns: list[str] | None = None) -> pa.Table:
    """The rows of one file. Raises FileNotFoundError, and ArchiveError for a file that is not as its segment says."""
    try:
        with files.open(file.path) as opened:
            table = pq.read_table(opened, columns=columns)
    except pa.ArrowException as error:
        raise ArchiveError(f"archive {files.address} is damaged: {file.path}: {error}") from error
    if table.num_rows != file.rows:
        raise ArchiveError(
            f"archive {files.address} is damaged: {file.path} has {table.num_rows} rows instead of {file.rows}"
        )
    return table


def read_description(files: ArchiveFiles) -> Description | None:
    """What the archive holds; None where there is no archive. Raises InputError for another format."""
    try:
        content = files.read(DESCRIPTION)
    except FileNotFoundError:
        return None
    try:
        found = msgspec.json.decode(content, type=Description)
    except msgspec.MsgspecError as error:
        raise InputError(f"{DESCRIPTION} of archive {files.address} cannot be read: {error}") from error
    if found.format not in (FORMAT, FORMAT_WITH_LOG):
        raise InputError(
            f"archive {files.address} has format {found.format}, and this version of Thalweg reads the formats "
            f"{FORMAT} and {FORMAT_WITH_LOG}"
        )
    return found


def check_description(address: str, found: Description, topic: str, topic_id: object, decoder: str) -> None:
    """Raises InputError where an archive belongs to another topic incarnation or another decoder."""
    if found.topic != topic:
        raise InputError(
            f"archive {address} holds topic {found.topic}, and the setting behavior_topic is {topic}: name another "
            "archive"
        )
    if found.topic_id != str(topic_id):
        raise InputError(
            f"archive {address} holds topic {topic} with the id {found.topic_id}, and the topic's id is {topic_id}: "
            "the topic was deleted and made again, so name another archive"
        )
    if not is_same_decoder(found.decoder, decoder):
        setting = _differing_setting(found.decoder, decoder)
        raise InputError(
            f"archive {address} holds records as {found.decoder} reads them, and the settings name {decoder}: name "
            f"another archive, or give this command the setting {setting} of the archive"
        )


def _differing_setting(one: str, other: str) -> str:
    """The setting by which two decoders differ: the mapping, or the key of pseudonyms where the rest is the same."""
    rules, others = (name.partition(WITH_PSEUDONYMS)[0] for name in (one, other))
    if is_same_decoder(rules, others):
        return "pseudonym_key (THALWEG_PSEUDONYM_KEY)"
    return "mapping (THALWEG_MAPPING)"


def _spans(files: ArchiveFiles, folder: str) -> dict[int, list[Span]]:
    found: dict[int, list[Span]] = defaultdict(list)
    for parsed in map(parse_span, files.names(folder)):
        if parsed is not None:
            found[parsed[0]].append(parsed[1])
    return {partition: sorted(spans) for partition, spans in found.items()}
