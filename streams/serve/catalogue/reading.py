"""Applies the records of the catalogue's topic to a catalogue. Does no I/O."""

import logging
from collections.abc import Iterable
from typing import Any

from encoder.data.contract.quoting import quote_bytes
from encoder.data.contract.rejection import Rejection
from streams.contracts.catalogue_items import read_item
from streams.serve.catalogue.catalogue import Catalogue

logger = logging.getLogger(__name__)

MOST_LOGGED = 20  # broken records of one reading that the log shows; all are counted


class Reading:
    """One reading of the topic from its beginning.

    records: records that were read. broken: records among them that are no items and were ignored.
    """

    def __init__(self, topic: str) -> None:
        self.catalogue = Catalogue()
        self.records = 0
        self.broken = 0
        self._topic = topic

    def apply(self, records: Iterable[Any]) -> None:
        """Apply records of Kafka in their order. The former record of an item stays where the new one is broken."""
        for record in records:
            self.records += 1
            reason = self._apply(record.key, record.value)
            if reason is not None:
                self._tell(f"{self._topic} partition {record.partition} offset {record.offset}: {reason}")

    def _apply(self, key: bytes | None, value: bytes | None) -> str | None:
        """Returns why the record is broken, None where it is not."""
        if value is None:
            try:
                self.catalogue.remove((key or b"").decode())
            except UnicodeDecodeError:
                return f"the key of a removal is {quote_bytes(key or b'')}, which is not UTF-8"
            return None if key else "a record without a key and without a value"
        item = read_item(key, value)
        if isinstance(item, Rejection):
            return item.reason
        if not self.catalogue.put(item) and self.catalogue.left_out == 1:
            logger.error(
                "the catalogue is full, so new items, and new texts of known items, are left out from item %r on: new "
                "items are not recommended; remove items that the shop has no more and start the server again",
                item.item_id,
            )
        return None

    def _tell(self, text: str) -> None:
        self.broken += 1
        if self.broken <= MOST_LOGGED:
            logger.warning("a broken record of the catalogue is ignored: %s", text)
        if self.broken == MOST_LOGGED:
            logger.warning("further broken records of %s are counted and not shown", self._topic)
