"""docs/rights.md has every right of every program, and no other."""

import re
from itertools import product
from pathlib import Path

import pytest

from streams.config.settings import Settings
from streams.health.rights.cassandra_rights import cassandra_rights
from streams.health.rights.kafka_rights import kafka_rights
from streams.health.rights.roles import ROLES, Role

PAGE = Path(__file__).parents[4] / "docs" / "rights.md"
WIDTH = 7
# The words of the page for resources, and the words of a right
RESOURCES = {
    "topic": "topic ",
    "topics": "topic ",
    "group": "group ",
    "transactional id": "transactional id ",
    "groups with the prefix": "groups with the prefix ",
    "transactional ids with the prefix": "transactional ids with the prefix ",
    "table": "table thalweg.",
    "tables": "table thalweg.",
}
RIGHTS = re.compile(rf"((?:`\w+`(?:, )?)+) on ({'|'.join(RESOURCES)}) (.+?)(?=, `\w+` on |$)")


def rights_on_page(role: Role) -> set[str]:
    """Return the rights in the rows of a program, as the rights name themselves."""
    found = set()
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith(f"| `{role}`"):
            continue
        for operations, kind, names in RIGHTS.findall(cells[2]):
            for operation, name in product(re.findall(r"`([^`]+)`", operations), re.findall(r"`([^`]+)`", names)):
                name = name.replace("<group>", "thalweg").replace("<width>", str(WIDTH))
                found.add(f"{operation} on {RESOURCES[kind]}{name}")
    return found


@pytest.mark.parametrize("role", ROLES)
def test_the_page_has_exactly_the_rights_of_the_program(role: Role) -> None:
    settings = Settings(user_ttl_days=30)
    rights = [*kafka_rights(settings, role), *cassandra_rights(settings.keyspace, role, WIDTH)]
    assert rights_on_page(role) == {str(right) for right in rights}
