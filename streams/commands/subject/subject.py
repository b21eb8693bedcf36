"""Gathers what tables and topics hold of one user. Blocks."""

import time
from collections.abc import Mapping, Sequence

from streams.broker.decoding.pseudonym_key import open_pseudonyms
from streams.broker.topics import describe_topic
from streams.commands.subject.archived import archived_rows
from streams.commands.subject.places import partitions_of
from streams.commands.subject.report import LookedAt, NotLookedAt, SubjectReport, readable_row
from streams.commands.subject.search import TopicSearch
from streams.config.errors import InputError, StoreError, ThalwegError
from streams.config.settings import Settings
from streams.contracts.privacy.pseudonyms import is_pseudonym
from streams.engine.codec import Rejected, decode
from streams.engine.epochs import Epoch
from streams.store.bundles.held_rows import HeldRow, HeldRows
from streams.store.bundles.subject_rows import SubjectRows
from streams.store.cql_schema import PENDING_ERASURES_TABLE
from streams.store.session import Session


def gather(
    settings: Settings,
    user_id: str,
    items: Mapping[str, Sequence[str]],
    all_partitions: bool = False,
    archive: str | None = None,
) -> SubjectReport:
    """Everything that is held of the user. A place that cannot be read is entered in the report.

    items: by bundle id, the item of each row of the bundle's item vectors. all_partitions: also search partitions into
    which the rule of the producers puts no record of the user. archive: the address of an archive to search.
    Raises InputError for a text that no user can have as an id, and for a pseudonym where the settings name a key.
    Raises SettingsError where the keyspace belongs to another topic or another key of pseudonyms.
    """
    outcome = decode(user_id.encode("utf-8", "surrogateescape"), None, 0)
    if isinstance(outcome, Rejected):
        raise InputError(f"{user_id!r} cannot be a user_id: {outcome.reason}")
    pseudonyms = open_pseudonyms(settings)
    if pseudonyms is not None and is_pseudonym(user_id):
        raise InputError(f"{user_id} is a pseudonym, and the behaviour topic holds plain ids: give the id of the user")
    stored_id = user_id if pseudonyms is None else pseudonyms.of(user_id)
    report = SubjectReport(
        user_id=user_id,
        stored_id=stored_id,
        asked_at_ms=int(time.time() * 1000),
        updates_topics=[settings.updates_topic],
    )
    held = _read_tables(settings, None if pseudonyms is None else pseudonyms.fingerprint, report, items)
    partitions = None if held is None or all_partitions else _partitions(settings, user_id, *held)
    TopicSearch(settings, report).search(partitions)
    if archive is not None:
        _read_archive(settings, archive, report)
    return report


def _read_archive(settings: Settings, address: str, report: SubjectReport) -> None:
    place = f"archive {address}"
    try:
        report.archive = archived_rows(settings, address, report.stored_id)
        report.looked_at.append(LookedAt(place, len(report.archive)))
    except ThalwegError as error:
        report.not_looked_at.append(NotLookedAt(place, "failed", str(error)))


def _read_tables(
    settings: Settings, key: str | None, report: SubjectReport, items: Mapping[str, Sequence[str]]
) -> tuple[list[HeldRow], list[Epoch]] | None:
    """Enter the rows of the tables. Returns the rows' positions and the epochs of the topic, None where Cassandra does
    not show them.

    key: the fingerprint of the key of pseudonyms. Raises SettingsError where the keyspace has another one.
    """
    keyspace = f"keyspace {settings.keyspace}"
    try:
        session = Session(settings)
    except StoreError as error:
        report.not_looked_at.append(NotLookedAt(keyspace, "failed", str(error)))
        return None
    try:
        held = HeldRows(session, settings.keyspace)
        held.check_topic(settings.behavior_topic)
        held.check_key(key)
        report.updates_topics = held.updates_topics(settings.updates_topic)
        tables = SubjectRows(session, settings.keyspace)
        names = tables.tables()
        if not names:
            report.looked_at.append(LookedAt(f"{keyspace}, which has no table of representations", 0))
        for table in names:
            _read_table(tables, table, report, items)
        return held.rows(report.stored_id), held.epochs(settings.behavior_topic)
    except StoreError as error:
        report.not_looked_at.append(NotLookedAt(keyspace, "failed", str(error)))
        return None
    finally:
        session.close()


def _read_table(tables: SubjectRows, table: str, report: SubjectReport, items: Mapping[str, Sequence[str]]) -> None:
    try:
        rows = [readable_row(table, row, items) for row in tables.read(table, report.stored_id)]
    except StoreError as error:
        report.not_looked_at.append(NotLookedAt(f"table {table}", "failed", str(error)))
        return
    found = report.pending_erasures if table == PENDING_ERASURES_TABLE else report.rows
    found += rows
    report.looked_at.append(LookedAt(f"table {table}", len(rows)))


def _partitions(settings: Settings, user_id: str, rows: Sequence[HeldRow], epochs: Sequence[Epoch]) -> set[int] | None:
    """The partitions that can hold records of the user, None where that cannot be told."""
    try:
        partitions = describe_topic(settings, settings.behavior_topic).partitions
        return partitions_of(settings, user_id.encode(), rows, epochs, partitions)
    except ThalwegError:  # The search of the topic enters the reason.
        return None
