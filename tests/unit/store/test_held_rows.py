"""What `thalweg erase` finds in a keyspace."""

from typing import Any

import msgspec
import pytest

from streams.store.bundle_record import BundleRecord
from streams.store.bundles.held_rows import HeldRows

TABLES = ["bundles", "representations_67", "sources"]


class Session:
    """Answers as Cassandra does, which keeps the name of a keyspace in lower case."""

    def __init__(self, *records: BundleRecord) -> None:
        self.records = records

    def execute(self, doing: str, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if "system_schema.tables" in query:
            return [(name,) for name in TABLES] if parameters == ["shop"] else []
        if "SELECT JSON * FROM Shop.bundles" in query:
            return [(msgspec.json.encode(one),) for one in self.records]
        if "FROM Shop.bundles" in query:
            return [("gru-a",)]
        assert "FROM Shop.representations_67" in query
        return [("gru-a", None, None)]


def held_rows(*records: BundleRecord) -> HeldRows:
    session: Any = Session(*records)
    return HeldRows(session, "Shop")


def test_rows_and_bundles_of_a_keyspace_with_capital_letters_are_found() -> None:
    held = held_rows(record("gru-a", "u"))
    assert held.bundle_ids() == ["gru-a"]
    assert [row.bundle_id for row in held.rows("ann")] == ["gru-a"]


def record(bundle_id: str, updates_topic: str | None, is_retired: bool = False) -> BundleRecord:
    at = "2026-11-29 08:00:00.000Z"
    topic = {"updates_topic": updates_topic, "retired_at": at if is_retired else None}
    return BundleRecord(bundle_id=bundle_id, width=67, items=5, first_served_at=at, **topic)


@pytest.mark.parametrize(
    ("records", "topics"),
    [
        ([], ["u"]),
        ([record("a", "u"), record("b", "u.b")], ["u", "u.b"]),
        ([record("a", "u", is_retired=True), record("b", "u.b"), record("c", "u.c", is_retired=True)], ["u.b"]),
        ([record("a", "u", is_retired=True), record("b", None)], ["u"]),
        ([record("a", "u", is_retired=True)], []),
    ],
)
def test_the_topics_with_updates_are_those_of_the_bundles_that_are_not_retired(
    records: list[BundleRecord], topics: list[str]
) -> None:
    held = held_rows(*records)
    assert held.updates_topics("u") == topics


def test_a_bundle_whose_retirement_began_counts_as_retired() -> None:
    begun = msgspec.structs.replace(record("gru-b", "u.b"), retirement_began_at="2026-11-29 09:00:00.000Z")
    assert held_rows(record("gru-a", "u"), begun).retired_ids() == {"gru-b"}
