"""What became of the rows of a log."""

import re
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from encoder.data.contract.judge import DroppedField
from encoder.data.contract.quoting import quote_json, without_controls
from encoder.data.loaders.row_batches import JudgedBatch, UnusableRow
from encoder.data.mapping import Skipped

_MAX_EXAMPLES = 5
_MAX_KINDS = 20  # kinds of dropped fields, and of skipped records, in a report
_KIND_LENGTH = 60  # characters of a reason, without its values, that tell the kind of the reason
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\d+")


@dataclass
class _Kind:
    """The dropped fields, or the unparsable rows, of one kind."""

    count: int
    example: str


@dataclass
class LogReport:
    """The number of rows by outcome: `rows == kept + duplicates + unparsable + not_sampled`."""

    kept: int = 0
    duplicates: int = 0  # rows with the user id and event id of an earlier row
    unparsable: int = 0
    not_sampled: int = 0  # events of users outside the sample
    counts_duplicates: bool = True  # False: duplicates count as kept, because the reader recognises them later
    file: str = ""  # the file that is read, for the examples; "" where a log is one file
    examples: list[str] = field(default_factory=list)  # the first unparsable lines, each with its number and the reason
    dropped: dict[tuple[str, str], _Kind] = field(default_factory=dict)  # (field or attributes.NAME, reason) -> kind
    reasons: dict[str, _Kind] = field(default_factory=dict)  # reason without its values -> unparsable rows
    skipped: Counter[Skipped] = field(default_factory=Counter)  # records that are no events by a mapping, and no rows

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return self.kept + self.duplicates + self.unparsable + self.not_sampled

    @property
    def unparsable_share(self) -> float:
        """The share of the rows that are no events, from 0 to 1."""
        return self.unparsable / self.rows if self.rows else 0.0

    def count_unused(self, rows: JudgedBatch | None) -> None:
        """Count what a part of a file holds beside events: rows that are no events, lost fields, skipped records."""
        if rows is None:
            return
        for line, raw, event in zip(rows.lines, rows.raw, rows.events, strict=True):
            if isinstance(event, UnusableRow):
                self.add_unparsable(line, raw, event.reason)
        for line, one in rows.dropped:
            self.add_dropped(line, one)
        for skipped in rows.skipped:
            self.add_skipped(skipped)

    def add_unparsable(self, line: int, raw: bytes, reason: str) -> None:
        """Count a row that is not an event, and keep the first such rows as examples."""
        self.unparsable += 1
        kind = _VALUES.sub("", reason)[:_KIND_LENGTH]
        is_new = kind not in self.reasons
        if is_new or len(self.examples) < _MAX_EXAMPLES:
            example = f"{self._place(line)}: {reason}"
            if not _shows(reason, raw):
                example += f": {without_controls(raw[:120].decode(errors='replace'))}"
            if len(self.examples) < _MAX_EXAMPLES:
                self.examples.append(example)
            self.reasons.setdefault(kind, _Kind(0, example))
        self.reasons[kind].count += 1

    def add_dropped(self, line: int, one: DroppedField) -> None:
        """Count an optional field that an event lost, and keep the first value of each field and reason."""
        kind = self.dropped.setdefault((one.path, one.reason), _Kind(0, f"{self._place(line)}: {one.value}"))
        kind.count += 1

    def add_skipped(self, one: Skipped) -> None:
        """Count a record that is no event by a mapping. Values beyond _MAX_KINDS are counted together."""
        is_known = one in self.skipped or len(self.skipped) < _MAX_KINDS
        self.skipped[one if is_known else Skipped(one.reason, "other values")] += 1

    def _place(self, line: int) -> str:
        return f"{self.file} line {line}" if self.file else f"line {line}"

    def most_frequent_reason(self) -> tuple[int, str]:
        """The number of rows with the most frequent reason, and the first such line. There must be such a row."""
        kind = max(self.reasons.values(), key=lambda kind: kind.count)
        return kind.count, kind.example

    def counts(self) -> dict[str, int]:
        """The counts by name, as a checkpoint stores them."""
        counts = {
            "rows": self.rows,
            "kept": self.kept,
            "duplicates": self.duplicates,
            "unparsable": self.unparsable,
        }
        further = {"not_sampled": self.not_sampled, "skipped": self.skipped.total()}
        return {**counts, **{name: count for name, count in further.items() if count}}

    def __str__(self) -> str:
        duplicates = f"{self.duplicates:,} duplicates, " if self.counts_duplicates else ""
        text = f"{self.rows:,} rows: {self.kept:,} kept, {duplicates}{self.unparsable:,} unparsable"
        if self.not_sampled:
            text += f", {self.not_sampled:,} of users outside the sample"
        if self.skipped:
            text += f", and {self.skipped.total():,} records that are no events by the mapping"
        skipped = [f"  skipped ({one.reason}): {count:,} with {one.value}" for one, count in self.skipped.most_common()]
        return "\n".join([text, *(f"  {example}" for example in self.examples), *skipped, *self._dropped_lines()])

    def _dropped_lines(self) -> list[str]:
        kinds = sorted(self.dropped.items(), key=lambda entry: -entry[1].count)
        lines = [
            f"  without {path} ({reason.replace('_', ' ')}): {kind.count:,} events, first {kind.example}"
            for (path, reason), kind in kinds[:_MAX_KINDS]
        ]
        others = sum(kind.count for _, kind in kinds[_MAX_KINDS:])
        return [*lines, f"  and {others:,} fields of other names or reasons"] if others else lines


def _shows(reason: str, raw: bytes) -> bool:
    """Whether the reason already shows the row, as a mapping's reason of a missing field does."""
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and quote_json(value) in reason
