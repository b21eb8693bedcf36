"""Which rights on tables a role has, by what Cassandra lists."""

import pytest

from streams.health.rights.cassandra_rights import CassandraRight, cassandra_rights, not_granted, quoted
from streams.store.cql_schema import create_tables

RIGHT = CassandraRight("SELECT", "Shop", "bundles")


@pytest.mark.parametrize(
    "resource", ["<table shop.bundles>", "<all tables in shop>", "<keyspace shop>", "<all keyspaces>"]
)
def test_a_right_on_the_table_or_on_what_is_above_it_counts(resource: str) -> None:
    assert not_granted([RIGHT], {("SELECT", resource)}) == []
    assert not_granted([RIGHT], {("MODIFY", resource)}) == [RIGHT]


@pytest.mark.parametrize(
    "resource", ["<table shop.bundles2>", "<table other.bundles>", "<keyspace sho>", "<role shop>"]
)
def test_a_right_on_something_else_does_not_count(resource: str) -> None:
    assert not_granted([RIGHT], {("SELECT", resource)}) == [RIGHT]


def test_the_name_of_a_role_keeps_its_letters() -> None:
    assert RIGHT.grant('My"role') == 'GRANT SELECT ON TABLE Shop.bundles TO "My""role"'
    assert quoted("worker") == '"worker"'


def test_a_worker_has_rights_on_every_table_but_the_history_of_switches() -> None:
    tables = create_tables("shop", 64, 10, 10)
    assert {right.table for right in cassandra_rights("shop", "worker", 64)} == set(tables) - {"promotions"}
