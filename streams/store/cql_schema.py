"""The Cassandra schema as text, and the write timestamps that make late writes lose. Pure.

A user has one row for each bundle. The row holds the representation for readers and the state for Thalweg, so both
change in one atomic write. The vectors of a table have one width. Bundles of the same width share a table.
"""

import re
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.config.errors import SettingsError
from streams.store.migrations import migrations

Position = TypeVar("Position", int, NDArray[np.int64])

_NAME = re.compile(r"^[a-zA-Z][a-zA-Z0-9_]{0,47}$")
_REPRESENTATIONS = re.compile(r"representations_\d+")
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS \w+\.(\w+)")
OFFSET_BITS, GENERATION_BITS = 44, 8
HIGHEST_GENERATION = (1 << GENERATION_BITS - 1) - 1  # The numbers above belong to repairs.
# A row stays longer than the user's history counts. A worker that is behind by less than this still finds the row:
# docs/decisions.md#users-who-stay-away.
EXPIRY_MARGIN_DAYS = 10
PENDING_ERASURES_TABLE = "pending_erasures"
STORED_POSITIONS_TABLE = "stored_positions"
# A read waits this long for a dead replica, and then asks another one. See migration 4.
READS = "speculative_retry = '100ms'"
PENDING_ERASURES_TTL_S = 30 * 24 * 3600  # A bundle that is never served again keeps no names of erased users.


def representations_table(width: int) -> str:
    """The table of representations of `width` dimensions."""
    return f"representations_{width}"


def is_representations_table(name: str) -> bool:
    """Whether a table of the keyspace holds representations, of any width."""
    return _REPRESENTATIONS.fullmatch(name) is not None


def item_vectors_table(width: int) -> str:
    """The table of item vectors of `width` dimensions."""
    return f"item_vectors_{width}"


def item_vectors_index(width: int) -> str:
    """The index by which readers find all item vectors of a bundle in the table of `width` dimensions."""
    return f"{item_vectors_table(width)}_by_bundle"


def statements(keyspace: str, replication: int, width: int, places: int, bought: int) -> list[str]:
    """All statements, in order. Raises SettingsError for a keyspace name that Cassandra does not take."""
    made = [create_keyspace(keyspace, replication), migrations.create_table(keyspace)]
    for migration in migrations.MIGRATIONS:
        made += [*migration.statements(keyspace), migrations.record_applied(keyspace, migration)]
    made += create_bundle_tables(keyspace, width, places, bought).values()
    return [*made, create_item_vectors_index(keyspace, width)]


def stored_name(keyspace: str) -> str:
    """The name under which Cassandra keeps the keyspace in `system_schema`: a name without quotes is in lower case."""
    return keyspace.lower()


def create_keyspace(keyspace: str, replication: int) -> str:
    """The CREATE statement. Raises SettingsError for a keyspace name that Cassandra does not take."""
    if not _NAME.match(keyspace):
        raise SettingsError(f"keyspace {keyspace!r} must be a letter, then up to 47 letters, digits or underscores")
    strategy = f"{{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
    return f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {strategy}"


def create_tables(keyspace: str, width: int, places: int, bought: int) -> dict[str, str]:
    """The CREATE statement of each table, by the table's name: those of a bundle, and those of the migrations.

    width: of a representation. places, bought: the numbers of recent and of bought items, 0 where the bundle knows
    none.
    """
    texts = [text for migration in migrations.MIGRATIONS for text in migration.statements(keyspace)]
    shared = _by_table([migrations.create_table(keyspace), *texts])
    return create_bundle_tables(keyspace, width, places, bought) | shared


def create_bundle_tables(keyspace: str, width: int, places: int, bought: int) -> dict[str, str]:
    """The CREATE statement of each table that bundles of one width share, by the table's name."""
    return _by_table(_bundle_table_texts(keyspace, width, item_columns(places, bought)))


def _by_table(texts: Iterable[str]) -> dict[str, str]:
    """The CREATE TABLE statements among these statements."""
    return {match[1]: text for text in texts if (match := _TABLE.match(text)) is not None}


def create_item_vectors_index(keyspace: str, width: int) -> str:
    """The CREATE statement of the index. The rows of a bundle stay spread over all nodes, one partition each.

    A table of earlier versions gets the index as well, and Cassandra then indexes the rows that exist.
    """
    table = f"{keyspace}.{item_vectors_table(width)}"
    return f"CREATE INDEX IF NOT EXISTS {item_vectors_index(width)} ON {table} (bundle_id) USING 'sai'"


def item_columns(places: int, bought: int) -> dict[str, str]:
    """The type of each column of a user's row that only bundles with recent or bought items fill, by its name."""
    recent = {"recent_items": f"vector<int, {places}>", "recent_scores": f"vector<float, {places}>"} if places else {}
    return recent | ({"bought_items": f"vector<int, {bought}>"} if bought else {})


def later_columns(width: int, places: int, bought: int) -> dict[str, dict[str, str]]:
    """The type of each column that a table of another bundle may lack, by table and column."""
    types = item_columns(places, bought)
    return {representations_table(width): types} if types else {}


def add_columns(keyspace: str, table: str, columns: dict[str, str]) -> str:
    """The statement that adds these columns to a table, where they are missing."""
    types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"ALTER TABLE {keyspace}.{table} ADD IF NOT EXISTS ({types})"


def _bundle_table_texts(keyspace: str, width: int, columns: dict[str, str]) -> list[str]:
    notes = {
        "recent_items": "the user's last distinct items: rows of item_vectors.npy, -1 for an empty place",
        "recent_scores": "add each to the dot product of its recent item",
        "bought_items": "the last distinct items that the user bought, as recent_items",
    }
    of_items = "".join(f"    {name} {kind}, -- {notes[name]}\n" for name, kind in columns.items())
    return [
        f"""CREATE TABLE IF NOT EXISTS {keyspace}.{representations_table(width)} (
    user_id text,
    bundle_id text,
    representation vector<float, {width}>, -- rank items by their dot product with item_vectors_{width}.vector
{of_items}    steps bigint,            -- events applied so far
    last_time_ms bigint,     -- latest event time seen
    last_item text,          -- item of the last event
    written_at timestamp,
    state blob,              -- Thalweg's own: hidden state and source position (streams/engine/state_cell.py)
    PRIMARY KEY (user_id, bundle_id)
) WITH {READS}""",
        f"""CREATE TABLE IF NOT EXISTS {keyspace}.{item_vectors_table(width)} (
    bundle_id text,
    item_id text,
    vector vector<float, {width}>,
    PRIMARY KEY ((bundle_id, item_id))
) WITH {READS}""",
    ]


def row_ttl_s(user_ttl_days: int | None) -> int | None:
    """After how many seconds Cassandra forgets a row that is not written again, None for never."""
    return None if user_ttl_days is None else (user_ttl_days + EXPIRY_MARGIN_DAYS) * 24 * 3600


def write_timestamp(epoch: int, offset: Position, generation_id: int) -> Position:
    """The write timestamp of a row at a source position. A later position always wins over an earlier position.

    So the late write of a fenced worker loses, and the repeated write of a replay changes nothing. Cassandra settles
    equal timestamps cell by cell. Two workers that write the same position (one of them was paused) belong to different
    generations of the group, so all cells of a row come from one worker. The timestamps lie beyond any clock in
    microseconds (2^52 us is the year 2112). So a CQL statement by hand on these tables needs USING TIMESTAMP.

    An event of a log has a negative offset. Its timestamp lies before those of all records of the epoch, and behind
    those of the epoch before, whose partitions have far fewer than 2^OFFSET_BITS records.
    """
    generation = generation_id & HIGHEST_GENERATION
    return ((epoch + 1) << (OFFSET_BITS + GENERATION_BITS)) + (offset << GENERATION_BITS) + generation


def repair_timestamps(
    epoch: int, offset: NDArray[np.int64], written_us: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The write timestamps of repairs at n source positions, and where a timestamp is left, both (n,).

    written_us: (n,) int64, the highest write timestamp of the stored row, 0 without a row. A repair wins over the rows
    of workers at its position and over earlier repairs there, and loses against every later position. So a position has
    room for 128 repairs.
    """
    first = write_timestamp(epoch, offset, 0)
    last = first + (1 << GENERATION_BITS) - 1
    is_here = (written_us >= first) & (written_us <= last)
    timestamp = np.maximum(first + HIGHEST_GENERATION + 1, np.where(is_here, written_us + 1, 0))
    return timestamp, (timestamp <= last) & (timestamp > written_us)
