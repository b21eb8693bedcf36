"""How many rows each bundle has, and how large the rows are: counted in a part of the table, and scaled up.

No index counts the rows of a bundle, and a count of a million rows would read them all. The keys of users are spread
evenly over the ring of tokens, so the rows in a part of the ring stand for all. The part doubles until enough rows were
read. A table with fewer rows is read whole, and its numbers are exact.
"""

import math
import random
from collections import defaultdict
from datetime import datetime
from typing import Any, NamedTuple

from streams.store import cql_schema
from streams.store.bundles.ring import LEAST_TOKEN, TOKENS, read_part, ring_parts
from streams.store.session import Session

ENOUGH_ROWS = (
    4_000  # of all bundles of a table: the counts are then within about 3% of the truth, two times out of three
)
FIRST_SHARE = 2**-14  # of the ring; a billion rows give 60,000 rows at the first look


class Size(NamedTuple):
    """The rows of a bundle. error_rows: the standard error of `rows`, 0 where all rows were counted.

    value_bytes: of all values of the rows, on one replica and before compression.
    """

    rows: int
    value_bytes: int
    error_rows: int


NOTHING = Size(0, 0, 0)


def sizes(session: Session, keyspace: str, width: int, start: int | None = None) -> dict[str, Size]:
    """The size of each bundle that has rows in the table of this width, by bundle id. Blocks. Raises StoreError.

    start: where the part of the ring begins, any token by default.
    """
    table = f"{keyspace}.{cql_schema.representations_table(width)}"
    query = f"SELECT * FROM {table} WHERE token(user_id) >= %s AND token(user_id) <= %s"
    at = random.randrange(LEAST_TOKEN, LEAST_TOKEN + TOKENS) if start is None else start
    rows: defaultdict[str, int] = defaultdict(int)
    value_bytes: defaultdict[str, int] = defaultdict(int)
    done, share = 0.0, FIRST_SHARE
    while done < 1 and sum(rows.values()) < ENOUGH_ROWS:
        for part in ring_parts(at, done, share):
            for found in read_part(session, "count rows", query, *part):
                for user_id, bundle_id, *values in found:
                    rows[bundle_id] += 1
                    value_bytes[bundle_id] += sum(map(_bytes, (user_id, bundle_id, *values)))
        done, share = share, min(1.0, share * 2)
    return {
        bundle_id: Size(
            round(count / done), round(value_bytes[bundle_id] / done), round(math.sqrt(count * (1 - done)) / done)
        )
        for bundle_id, count in rows.items()
    }


def _bytes(value: Any) -> int:
    """The size of a value as Cassandra keeps it: texts in UTF-8, whole numbers and times in 8 bytes."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, int | datetime):
        return 8
    return 0 if value is None else len(value)
