"""The rows of users as readers get them: what `docs/contracts.md` promises, without Thalweg's own state."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.queries import joined_query
from streams.store import cql_schema
from streams.store.session import Session

NO_ITEMS = np.empty(0, np.int64)


class ServedRow(msgspec.Struct, frozen=True):
    """The row of one user and bundle."""

    query: NDArray[np.float32]  # (Q,) of `Bundle.queries`: the representation, recent items and their scores
    seen: NDArray[np.int64]  # (n,) indices of the user's last distinct items, the newest first
    bought: NDArray[np.int64]  # (n,) indices of the last distinct items that the user bought, the newest first
    steps: int
    last_time_ms: int
    last_item: str | None
    written_at_ms: int


class ServedRows:
    """Reads the rows of one bundle's users."""

    def __init__(self, session: Session, keyspace: str, bundle: Bundle) -> None:
        """Prepare the statement. The tables must exist. Blocks. Raises StoreError."""
        manifest = bundle.manifest
        self._session = session
        self._bundle_id = bundle.bundle_id
        self._places, bought = manifest.recent_places, manifest.bought_places
        self._no_places = np.zeros(self._places, np.int32), np.zeros(self._places, np.float32)  # of older rows
        columns = ["user_id", "steps", "last_time_ms", "last_item", "written_at", "representation"]
        names = ", ".join([*columns, *cql_schema.item_columns(self._places, bought)])
        table = f"{keyspace}.{cql_schema.representations_table(manifest.representation_width)}"
        self._select = session.prepare(f"SELECT {names} FROM {table} WHERE user_id IN ? AND bundle_id = ?")

    async def read(self, user_ids: Sequence[str]) -> dict[str, ServedRow]:
        """The rows of these users, by user. Users without a row are left out. Raises StoreError."""
        rows = await self._session.request(self._select, (user_ids, self._bundle_id))
        return {row[0]: self._served(row) for row in rows or () if row[5] is not None}

    def _served(self, row: tuple[Any, ...]) -> ServedRow:
        _, steps, last_time_ms, last_item, written_at, representation, *of_items = row
        place, score = self._no_places
        if self._places:
            item, added, *of_items = of_items
            place = np.frombuffer(item, ">i4") if item else place
            score = np.frombuffer(added, ">f4") if added else score
        bought = np.frombuffer(of_items[0], ">i4") if of_items and of_items[0] else NO_ITEMS
        written: datetime = written_at.replace(tzinfo=UTC)
        return ServedRow(
            query=joined_query(np.frombuffer(representation, ">f4"), place, score),
            seen=place[place > 0].astype(np.int64),
            bought=bought[bought > 0].astype(np.int64),
            steps=steps,
            last_time_ms=last_time_ms,
            last_item=last_item,
            written_at_ms=int(written.timestamp() * 1000),
        )
