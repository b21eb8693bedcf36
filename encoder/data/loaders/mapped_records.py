"""JSON Lines whose lines are the records of a foreign topic: a mapping reads each line as events."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from encoder.data.contract.judge import DroppedField, Verdict, read_object
from encoder.data.contract.rejection import Rejection, why_not_an_object
from encoder.data.loaders.row_batches import RawEvent, RowBatch, UnusableRow
from encoder.data.loaders.text.lines import line_batches, numbered_lines, open_bytes
from encoder.data.mapping import Mapping, Skipped, SourceRecord

_decode = msgspec.json.Decoder().decode


class MappedRecords:
    """The log format of JSON Lines that `mapping` reads. A line has neither a key nor headers nor a timestamp.

    Each event of a line becomes a row of its own with the number of the line. A line that the mapping skips is no row.
    """

    rows_are_records = False

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping

    def batches(self, path: Path) -> Iterator[RowBatch]:
        with open_bytes(path) as file:
            for lines, raw in line_batches(numbered_lines(file)):
                yield self._batch(lines, raw)

    def _batch(self, lines: list[int], texts: list[bytes]) -> RowBatch:
        row_lines: list[int] = []
        raw: list[bytes] = []
        contents: list[bytes | RawEvent | UnusableRow | Verdict] = []
        skipped: list[Skipped] = []
        for line, text in zip(lines, texts, strict=True):
            found = self._judged(text)
            if isinstance(found, Skipped):
                skipped.append(found)
                continue
            contents += found
            row_lines += [line] * len(found)
            raw += [text] * len(found)
        return RowBatch(row_lines, raw, contents, skipped)

    def _judged(self, text: bytes) -> list[Verdict] | list[UnusableRow] | Skipped:
        try:
            value = _decode(text)
        except (ValueError, RecursionError):
            value = read_object(text)
            if value is None:
                return [UnusableRow(why_not_an_object(text).reason)]
        lost: list[DroppedField] = []
        judged = self._mapping.judge(SourceRecord(value), lost)
        if isinstance(judged, Skipped):
            return judged
        if isinstance(judged, Rejection):
            return [UnusableRow(judged.reason)]
        first, *others = judged
        return [Verdict(first, lost), *map(Verdict, others)]
