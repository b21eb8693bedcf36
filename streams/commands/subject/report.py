"""What is held of a user, as one JSON document. Pure."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import numpy as np

FORMAT = 1
_VECTORS = {"representation": ">f4", "recent_items": ">i4", "recent_scores": ">f4", "bought_items": ">i4"}
_ITEMS = ("recent_items", "bought_items")


class HeldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a topic. Bytes are a text where they are UTF-8, and otherwise {"base64": "..."}.

    decoded: the events of a behaviour record, or the update of an updates record, as Thalweg reads the value. certain:
    False for a dead letter that may name the user somewhere in its content, and whose key is not the user.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    kind: str
    key: Any
    value: Any
    headers: list[tuple[str, Any]] = []
    decoded: Any = None
    certain: bool = True


class LookedAt(msgspec.Struct, frozen=True):
    """A place that was read to its end, and how much of the user was there."""

    place: str
    found: int


class NotLookedAt(msgspec.Struct, frozen=True):
    """A place that was not read, and the reason.

    kind: "failed" where the place could not be read, "open" where a transaction has not ended yet, "deleted" where
    retention has deleted what was there, "unlikely" where the rule of the producers puts no record of the user.
    """

    place: str
    kind: Literal["failed", "open", "deleted", "unlikely"]
    reason: str


class SubjectReport(msgspec.Struct, kw_only=True):
    """Everything that was found of a user. stored_id: the user's id in tables, outputs and archives.

    rows, pending_erasures: rows of tables, with the table's name. events, evaluations, updates, predictions,
    dead_letters: records of the topics. archive: rows of an archive, with its columns. updates_topics: the topics to
    which the bundles publish.
    """

    format: int = FORMAT
    user_id: str
    stored_id: str
    asked_at_ms: int
    updates_topics: list[str] = []
    rows: list[dict[str, Any]] = []
    pending_erasures: list[dict[str, Any]] = []
    events: list[HeldRecord] = []
    evaluations: list[HeldRecord] = []
    updates: list[HeldRecord] = []
    predictions: list[HeldRecord] = []
    dead_letters: list[HeldRecord] = []
    archive: list[dict[str, Any]] = []
    looked_at: list[LookedAt] = []
    not_looked_at: list[NotLookedAt] = []

    @property
    def is_complete(self) -> bool:
        """Whether everything was read that can be read and can hold records of the user."""
        return not any(one.kind in ("failed", "open") for one in self.not_looked_at)

    def counts(self) -> dict[str, int]:
        """How much of each kind was found."""
        names = (
            "rows",
            "pending_erasures",
            "events",
            "evaluations",
            "updates",
            "predictions",
            "dead_letters",
            "archive",
        )
        return {name: len(getattr(self, name)) for name in names}


def text_or_base64(value: bytes | None) -> Any:
    """Bytes as a value of JSON."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def held_record(record: Any, kind: str, decoded: Any = None, certain: bool = True, topic: str = "") -> HeldRecord:
    """A record of aiokafka as a part of the document. topic: of a decrypted dead letter, which has none."""
    return HeldRecord(
        topic=topic or record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        kind=kind,
        key=text_or_base64(record.key),
        value=text_or_base64(record.value),
        headers=[(name, text_or_base64(value)) for name, value in record.headers],
        decoded=decoded,
        certain=certain,
    )


def readable_row(table: str, row: Mapping[str, Any], items: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A row of a table as values of JSON.

    items: by bundle id, the item of each row of the bundle's item vectors. The recent and the bought items of another
    bundle stay numbers, because the tables do not tell their names.
    """
    found: dict[str, Any] = {"table": table}
    names = items.get(row["bundle_id"])
    for column, value in row.items():
        if isinstance(value, bytes) and column in _VECTORS:
            numbers = np.frombuffer(value, _VECTORS[column]).tolist()
            found[column] = numbers if names is None or column not in _ITEMS else _item_names(numbers, names)
        elif isinstance(value, bytes):
            found[column] = {"base64": base64.b64encode(value).decode()}
        else:
            found[column] = value.isoformat() + "Z" if isinstance(value, datetime) else value
    return found


def _item_names(numbers: Iterable[int], names: Sequence[str]) -> list[str | None]:
    """The name of each item. None stands for an empty place and for an item that the bundle does not know."""
    return [names[number] if 0 < number < len(names) else None for number in numbers]
