"""A bundle's item vectors in Cassandra, for readers, and the mark of how many are stored."""

from export.runtime.bundle import Bundle
from streams.store import cql_schema
from streams.store.protocol.encoded_rows import encode_rows
from streams.store.protocol.row_batches import ROW_OVERHEAD_BYTES, rows_per_request
from streams.store.session import Session


class ItemVectors:
    """Writes the item vectors of one bundle. Every method waits while Cassandra is away, and may raise StoreError."""

    def __init__(self, session: Session, keyspace: str, bundle: Bundle) -> None:
        """Prepare the statements. The tables must exist. Blocks. Raises StoreError."""
        self._session = session
        self._bundle = bundle
        self._width = bundle.manifest.representation_width
        table = f"{keyspace}.{cql_schema.item_vectors_table(self._width)}"
        marks = f"{keyspace}.item_vectors_stored"
        self._insert = session.prepare(f"INSERT INTO {table} (bundle_id, item_id, vector) VALUES (?, ?, ?)")
        self._mark = session.prepare(f"INSERT INTO {marks} (bundle_id, items) VALUES (?, ?)")
        self._marked = session.prepare(f"SELECT items FROM {marks} WHERE bundle_id = ? LIMIT 1")

    async def stored(self) -> int:
        """How many items of the bundle, from the first item on, are known to have stored vectors."""
        rows = await self._session.request(self._marked, [self._bundle.bundle_id])
        return max((items for (items,) in rows or ()), default=0)

    async def write(self, start: int, end: int) -> None:
        """Store the vectors of the items at the positions `start` to `end` of the vocabulary.

        One request is in flight at a time, so that events keep most of Cassandra
        (docs/decisions.md#item-vector-registration-speed).
        """
        items, vectors = self._bundle.vocabulary.items, self._bundle.item_vectors[1:]  # row 0 is the unknown item
        bundle_key = self._bundle.bundle_id.encode()
        size = rows_per_request(4 * self._width + ROW_OVERHEAD_BYTES)
        for at in range(start, end, size):
            part = slice(at, min(end, at + size))
            named = zip(items[part], vectors[part].astype(">f4"), strict=True)
            rows = [[bundle_key, item.encode(), vector.tobytes()] for item, vector in named]
            await self._session.write_batch(encode_rows(self._insert, rows))

    async def mark(self, items: int) -> None:
        """Say that the first `items` items have stored vectors. The greatest mark counts, so a late mark is safe."""
        await self._session.request(self._mark, (self._bundle.bundle_id, items))
