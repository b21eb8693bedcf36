"""What `thalweg erase` finds in a keyspace."""

from typing import Any

from streams.store.bundles.held_rows import HeldRows

TABLES = ["bundles", "representations_67", "sources"]


class Session:
    """Answers as Cassandra does, which keeps the name of a keyspace in lower case."""

    def execute(self, doing: str, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if "system_schema.tables" in query:
            return [(name,) for name in TABLES] if parameters == ["shop"] else []
        if "SELECT JSON * FROM Shop.bundles" in query:
            begun = '"retirement_began_at": "2026-11-29 09:00:00.000Z"'
            row = '"width": 67, "items": 5, "first_served_at": "2026-11-29 08:00:00.000Z"'
            return [(f'{{"bundle_id": "gru-a", {row}}}',), (f'{{"bundle_id": "gru-b", {row}, {begun}}}',)]
        if "FROM Shop.bundles" in query:
            return [("gru-a",)]
        assert "FROM Shop.representations_67" in query
        return [("gru-a", None, None)]


def test_rows_and_bundles_of_a_keyspace_with_capital_letters_are_found() -> None:
    held = HeldRows(Session(), "Shop")  # type: ignore[arg-type]  # the two methods need one method of a session
    assert held.bundle_ids() == ["gru-a"]
    assert [row.bundle_id for row in held.rows("ann")] == ["gru-a"]
    assert held.retired_ids() == {"gru-b"}
