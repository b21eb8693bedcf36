"""The migrations of a keyspace: numbered files of CQL beside this module. Pure but for the reading of these files.

A fresh keyspace gets all migrations, in order. A statement changes nothing where its table or column exists. The first
two lines of a file say what the migration is for, and which programs work beside the migration: programs that know
the migrations up to that number. A migration that only adds tables or columns works with the number before. A migration
that takes something away works with its own number alone, and has to come a minor version after the migration that made
the thing needless. So two versions that follow each other always work on one keyspace.
"""

import re
from collections.abc import Iterable
from importlib import resources
from typing import NamedTuple

from streams.config.errors import SettingsError

MIGRATIONS_TABLE = "migrations"
_FILE = re.compile(r"(?P<number>\d{4})_\w+\.cql")
_HEAD = re.compile(r"-- Migration (?P<number>\d+): (?P<what>.+)\.\n-- Works with: (?P<works_with>\d+)\n")
_CHANGED = re.compile(r"^(?:CREATE TABLE IF NOT EXISTS|ALTER TABLE) thalweg\.(\w+)", re.MULTILINE)
_ADDITION = re.compile(r"^ALTER TABLE thalweg\.(\w+) ADD IF NOT EXISTS \((.*?)\);", re.MULTILINE | re.DOTALL)
_ADDED = re.compile(r"(\w+) ([a-z]+(?:<[^>]+>)?)(?:,|\s*$)")
_COMMENT = re.compile(r"^--.*\n", re.MULTILINE)
_KEYSPACE = re.compile(r"\bthalweg\.")


class Migration(NamedTuple):
    """One file. text: its statements, for the keyspace `thalweg`. works_with: see the module."""

    number: int
    what: str
    works_with: int
    text: str

    def statements(self, keyspace: str) -> list[str]:
        """The statements in order, without the lines between them that are comments."""
        text = _KEYSPACE.sub(f"{keyspace}.", _COMMENT.sub("", self.text))
        return [one.strip() for one in text.split(";\n") if one.strip()]

    def tables(self) -> set[str]:
        """The tables that the migration creates or changes."""
        return set(_CHANGED.findall(self.text))

    def added_columns(self) -> dict[str, dict[str, str]]:
        """The type of each column that the migration adds to a table, by table and column."""
        return {table: dict(_ADDED.findall(columns)) for table, columns in _ADDITION.findall(self.text)}

    def __str__(self) -> str:
        return f"{self.number} ({self.what})"


class Applied(NamedTuple):
    """A row of the table of migrations."""

    number: int
    works_with: int
    is_finished: bool


def read_migration(name: str, text: str) -> Migration:
    """The migration of a file. Raises ValueError where the name and the first two lines do not fit."""
    file, head = _FILE.fullmatch(name), _HEAD.match(text)
    if file is None or head is None or int(file["number"]) != int(head["number"]):
        raise ValueError(f"{name} does not begin with the two lines of a migration of its number")
    return Migration(int(head["number"]), head["what"], int(head["works_with"]), text[head.end() :])


def _read_all() -> list[Migration]:
    files = resources.files(__package__).iterdir()
    return sorted(read_migration(one.name, one.read_text()) for one in files if one.name.endswith(".cql"))


MIGRATIONS = _read_all()
LAST = MIGRATIONS[-1].number


def missing(applied: Iterable[Applied]) -> list[Migration]:
    """The migrations that the keyspace lacks, in order."""
    finished = {one.number for one in applied if one.is_finished}
    return [one for one in MIGRATIONS if one.number not in finished]


def check_not_newer(keyspace: str, applied: Iterable[Applied], last: int = LAST) -> None:
    """Raises SettingsError where a migration of a newer version does not work with this version.

    last: the last migration that this version knows.
    """
    needed = max((one.works_with for one in applied), default=0)
    if needed > last:
        raise SettingsError(
            f"keyspace {keyspace} has a migration that only versions with migration {needed} work with, and this "
            f"version knows the migrations up to {last}: use the version of Thalweg that the other programs have"
        )


def create_table(keyspace: str) -> str:
    """The CREATE statement of the table of migrations."""
    return f"""CREATE TABLE IF NOT EXISTS {keyspace}.{MIGRATIONS_TABLE} (
    name text,               -- always 'keyspace'
    number int,
    what text,
    works_with int,          -- programs that know the migrations up to this number work with the keyspace
    began_at timestamp,
    applied_at timestamp,    -- null while a program applies the migration
    PRIMARY KEY (name, number)
)"""


def record_applied(keyspace: str, migration: Migration) -> str:
    """The statement with which a script enters an applied migration."""
    what = migration.what.replace("'", "''")
    return (
        f"INSERT INTO {keyspace}.{MIGRATIONS_TABLE} (name, number, what, works_with, began_at, applied_at) VALUES "
        f"('keyspace', {migration.number}, '{what}', {migration.works_with}, toTimestamp(now()), toTimestamp(now())) "
        "IF NOT EXISTS"
    )
