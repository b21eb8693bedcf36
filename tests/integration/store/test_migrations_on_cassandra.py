"""Migrations on a real Cassandra: a keyspace of the first version, several programs at once, and newer keyspaces.

The file `first_version.cql` is the schema of the first version (commit 3129244a), for bundles of width 67.
"""

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

from export.runtime.bundle import Bundle, Manifest
from streams.config.errors import SettingsError
from streams.config.settings import Settings
from streams.local import LocalServices
from streams.store.migrations import claim as migration_claim
from streams.store.migrations.claim import MigrationClaim
from streams.store.migrations.migrations import LAST, MIGRATIONS
from streams.store.schema_creation import applied_migrations, create_missing, migrate
from streams.store.session import Session
from tests.support.bundles import tiny_bundle
from tests.support.deployment import run_thalweg

FIRST_VERSION = (Path(__file__).parent / "first_version.cql").read_text()
WIDTH, PLACES = 67, 10


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("bundle"), items=20)


@pytest.fixture
def settings(services: LocalServices, bundle: Bundle) -> Settings:
    name = f"m{uuid.uuid4().hex[:10]}"
    return Settings(**services.client_settings, keyspace=name, bundle=str(bundle.path.absolute()))


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    opened = Session(settings)
    yield opened
    opened.execute("drop the keyspace", f"DROP KEYSPACE IF EXISTS {settings.keyspace}")
    opened.close()


def columns(session: Session, keyspace: str) -> set[tuple[str, str, str, str]]:
    query = "SELECT table_name, column_name, type, kind FROM system_schema.columns WHERE keyspace_name = %s"
    return set(session.execute("read the schema", query, [keyspace]))


def test_a_keyspace_of_the_first_version_becomes_one_of_this_version_and_keeps_its_rows(
    settings: Settings, session: Session, bundle: Bundle
) -> None:
    for statement in FIRST_VERSION.replace("thalweg.", f"{settings.keyspace}.").split(";\n"):
        if statement.strip():
            session.execute(
                "make the first version", statement.replace("EXISTS thalweg ", f"EXISTS {settings.keyspace} ")
            )
    insert = f"INSERT INTO {settings.keyspace}.bundles (bundle_id, width, updates_topic) VALUES ('gru-1', 67, 'u')"
    session.execute("enter a bundle", insert)

    doctor = run_thalweg(settings, "doctor").stdout
    assert f"lacks {', '.join(map(str, MIGRATIONS))}" in doctor
    migrated = run_thalweg(settings, "doctor", "--migrate").stdout
    assert [f"{one} is applied to keyspace {settings.keyspace}" in migrated for one in MIGRATIONS] == [True] * LAST
    assert f"keyspace {settings.keyspace} has all {LAST}" in migrated
    assert migrate(session, settings) == []

    rows = session.execute("read", f"SELECT bundle_id, width, updates_topic FROM {settings.keyspace}.bundles")
    assert list(rows) == [("gru-1", 67, "u")]
    fresh = msgspec.structs.replace(settings, keyspace=f"{settings.keyspace}_fresh")
    try:
        create_missing(session, fresh, manifest_of_width(bundle.manifest))
        assert columns(session, settings.keyspace) == columns(session, fresh.keyspace)
    finally:
        session.execute("drop the keyspace", f"DROP KEYSPACE {fresh.keyspace}")


def manifest_of_width(manifest: Manifest) -> Manifest:
    return msgspec.structs.replace(manifest, representation_width=WIDTH, recent_places=PLACES, bought_places=PLACES)


def test_several_programs_that_come_at_once_make_everything_once(
    settings: Settings, session: Session, bundle: Bundle
) -> None:
    create = "WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
    session.execute("make the keyspace", f"CREATE KEYSPACE {settings.keyspace} {create}")
    sessions = [Session(settings) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: create_missing(one, settings, bundle.manifest), sessions))
    for one in sessions:
        one.close()
    applied = applied_migrations(session, settings)
    assert [(one.number, one.is_finished) for one in applied] == [(one.number, True) for one in MIGRATIONS]
    names = session.execute("look for claims", f"SELECT name FROM {settings.keyspace}.migrations")
    assert {name for (name,) in names} == {"keyspace"}, "no claim is left"


def test_a_claim_on_the_tables_of_a_width_by_a_program_that_was_killed_passes(
    settings: Settings, session: Session, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_claim, "ABANDONED_AFTER_S", 2.0)
    migrate(session, settings)
    name = f"width {bundle.manifest.representation_width}"
    insert = f"INSERT INTO {settings.keyspace}.migrations (name, number, began_at) VALUES (%s, 0, %s) IF NOT EXISTS"
    session.execute("leave a claim", insert, [name, datetime.now(UTC)])
    create_missing(session, settings, bundle.manifest)
    assert f"representations_{bundle.manifest.representation_width}" in {
        table for table, *_ in columns(session, settings.keyspace)
    }


@pytest.mark.usefixtures("_short_limits")
def test_a_program_that_stood_still_executes_no_statement_beside_its_successor(
    settings: Settings, session: Session
) -> None:
    migrate(session, settings)
    stood_still, successor = claims(settings, session)
    assert stood_still.take()
    assert stood_still.holds()
    assert successor.take()
    assert not stood_still.holds()
    successor.end()
    assert stood_still.take() is False


@pytest.fixture
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration_claim, "RENEWED_EVERY_S", 0.5)
    monkeypatch.setattr(migration_claim, "ABANDONED_AFTER_S", 3.0)


@pytest.mark.parametrize("hours", [-24, 0, 24])
@pytest.mark.usefixtures("_short_limits")
def test_a_migration_whose_program_was_killed_is_applied_whatever_its_clock_said(
    settings: Settings, session: Session, hours: int
) -> None:
    migrate(session, settings)
    table = f"{settings.keyspace}.migrations"
    session.execute("undo", f"DROP TABLE {settings.keyspace}.stored_positions")
    assert f"{settings.keyspace}.stored_positions is gone" in run_thalweg(settings, "doctor").stdout
    began = datetime.now(UTC) + timedelta(hours=hours)
    statement = f"UPDATE {table} SET applied_at = NULL, began_at = %s WHERE name = 'keyspace' AND number = 2 IF EXISTS"
    session.execute("undo", statement, [began])
    assert migrate(session, settings) == [MIGRATIONS[1]]
    assert "stored_positions" in {table for table, *_ in columns(session, settings.keyspace)}


def claims(settings: Settings, session: Session) -> tuple[MigrationClaim, MigrationClaim]:
    """Undo the second migration's row, and return two programs' claims on the migration."""
    table = f"{settings.keyspace}.migrations"
    session.execute("undo", f"DELETE FROM {table} WHERE name = 'keyspace' AND number = 2 IF EXISTS")
    execute = partial(session.execute, "enter a migration")
    one, other = (MigrationClaim(execute, settings.keyspace, "keyspace", MIGRATIONS[1]) for _ in range(2))
    return one, other


@pytest.mark.usefixtures("_short_limits")
def test_no_program_takes_over_while_a_slow_program_still_works(settings: Settings, session: Session) -> None:
    migrate(session, settings)
    slow, waiting = claims(settings, session)
    with ThreadPoolExecutor(1) as threads:
        assert slow.take()
        with slow.kept():
            outcome = threads.submit(waiting.take)
            time.sleep(2.5 * migration_claim.ABANDONED_AFTER_S)
            assert not outcome.done()
        slow.end()
        assert outcome.result() is False


@pytest.mark.usefixtures("_short_limits")
def test_a_program_that_was_taken_for_dead_does_not_undo_the_claim_of_its_successor(
    settings: Settings, session: Session
) -> None:
    migrate(session, settings)
    paused, successor = claims(settings, session)
    assert paused.take()
    assert successor.take()  # nobody has renewed the first claim
    paused.give_up()
    assert {one.number: one.is_finished for one in applied_migrations(session, settings)}[2] is False
    successor.end()
    assert applied_migrations(session, settings)[1].is_finished


def test_a_keyspace_one_version_ahead_is_used_and_a_keyspace_two_versions_ahead_is_refused(
    settings: Settings, session: Session, bundle: Bundle
) -> None:
    migrate(session, settings)
    insert = (
        f"INSERT INTO {settings.keyspace}.migrations (name, number, works_with, began_at) "
        "VALUES ('keyspace', %s, %s, toTimestamp(now()))"
    )
    session.execute("add a column", insert, [LAST + 1, LAST])
    create_missing(session, settings, bundle.manifest)
    session.execute("take a column away", insert, [LAST + 2, LAST + 2])
    with pytest.raises(SettingsError, match="use the version of Thalweg that the other programs have"):
        create_missing(session, settings, bundle.manifest)
    doctor = run_thalweg(settings, "doctor")
    assert f"only versions with migration {LAST + 2} work with" in doctor.stdout
    assert doctor.returncode == 1
