"""The list of migrations, which keyspaces a version works with, and the statements of a file."""

import pytest

from streams.config.errors import SettingsError
from streams.store import cql_schema
from streams.store.migrations.migrations import (
    LAST,
    MIGRATIONS,
    Applied,
    check_not_newer,
    missing,
    read_migration,
)

TEXT = """\
-- Migration 7: a column more.
-- Works with: 6

-- A comment; with a semicolon.
ALTER TABLE thalweg.bundles ADD IF NOT EXISTS (note text); -- thalweg.
"""


def test_the_numbers_have_no_gap_and_each_migration_works_with_the_one_before() -> None:
    """A step that takes something away has to come a minor version later, and needs a line here that says so."""
    assert [one.number for one in MIGRATIONS] == list(range(1, LAST + 1))
    assert all(one.works_with == one.number - 1 for one in MIGRATIONS)


def test_a_second_run_of_any_statement_changes_nothing() -> None:
    statements = [text for one in MIGRATIONS for text in one.statements("shop")]
    assert len(statements) > 10
    # To set a property of a table again changes nothing.
    assert [text for text in statements if "IF NOT EXISTS" not in text and " WITH " not in text] == []


def test_the_statements_of_a_file_name_the_keyspace() -> None:
    migration = read_migration("0007_note.cql", TEXT.replace("; -- thalweg.", ";"))
    assert (migration.number, migration.what, migration.works_with) == (7, "a column more", 6)
    [statement] = migration.statements("shop")
    assert statement == "ALTER TABLE shop.bundles ADD IF NOT EXISTS (note text)"
    assert migration.tables() == {"bundles"}
    assert migration.added_columns() == {"bundles": {"note": "text"}}
    assert str(migration) == "7 (a column more)"


def test_the_columns_of_several_lines_are_read() -> None:
    added = MIGRATIONS[0].added_columns()
    assert set(added) == {"bundles", "mappings", "active_bundle"}
    assert added["bundles"]["backfilled_partitions"] == "set<int>"
    assert len(added["bundles"]) == 5
    assert added["mappings"] == {"last_used_at": "timestamp"}


@pytest.mark.parametrize(
    ("name", "text"), [("0008_note.cql", TEXT), ("7_note.cql", TEXT), ("0007_note.cql", TEXT.replace("6", "six"))]
)
def test_a_file_whose_name_and_head_do_not_fit_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match="two lines"):
        read_migration(name, text)


def test_a_migration_that_nobody_has_finished_is_missing() -> None:
    assert [one.number for one in missing([])] == [one.number for one in MIGRATIONS]
    applied = [Applied(1, 0, is_finished=True), Applied(2, 1, is_finished=False)]
    assert [one.number for one in missing(applied)] == list(range(2, LAST + 1))


def test_a_keyspace_one_step_ahead_is_accepted_and_a_keyspace_that_lost_what_this_version_needs_is_refused() -> None:
    ours = [Applied(one.number, one.works_with, is_finished=True) for one in MIGRATIONS]
    check_not_newer("shop", [*ours, Applied(LAST + 1, LAST, is_finished=True)])
    with pytest.raises(SettingsError, match=rf"migration {LAST + 2} work with, .* up to {LAST}:"):
        check_not_newer("shop", [*ours, Applied(LAST + 2, LAST + 2, is_finished=False)])


def test_the_time_to_live_of_pending_erasures_is_that_of_receipts() -> None:
    table = cql_schema.create_tables("shop", 8, 0, 0)["pending_erasures"]
    assert f"default_time_to_live = {cql_schema.PENDING_ERASURES_TTL_S}" in table
