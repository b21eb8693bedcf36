"""Rows of an archive as blocks of columns. Does no input and no output, apart from the archive that it reads."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from encoder.data.features import BRAND, CATEGORY, PRICE, TIME, Features, as_price
from export.runtime.bundle import Bundle
from streams.archive.columns import ArchivedRecord, to_outcomes
from streams.archive.reader import ArchiveReader
from streams.archive.schema import ERASURE, EVENT, REJECTED, SCHEMA, SKIPPED
from streams.engine.codec import Outcome
from streams.engine.planning.columns.block import Block
from streams.engine.planning.repeats import digests_of_ids

_ALWAYS = ("kind", "event_id", "user_id", "item_id", "action", "event_time_ms", "offset", "line", "record_timestamp_ms")
_COLUMN_OF = {CATEGORY: "category", BRAND: "attributes", PRICE: "price"}
_decode_attributes = msgspec.json.Decoder(dict[str, str | int | float]).decode


class History(NamedTuple):
    """Consecutive offsets of one partition: what they hold as a block, and the rows of the block as the archive has
    them.

    end: the offset behind the last one. rejected, skipped: the records that name no user.
    """

    block: Block
    rows: pa.RecordBatch
    end: int
    rejected: int
    skipped: int

    def outcomes(self, rows: NDArray[np.int64]) -> tuple[list[ArchivedRecord], list[Outcome]]:
        """The records of these rows of the block, which hold whole records, and what each record is.

        The events lack the fields of columns that were not read.
        """
        taken = self.rows.take(pa.array(rows))
        names = set(taken.schema.names)
        columns = [taken.column(one.name) if one.name in names else pa.nulls(len(rows), one.type) for one in SCHEMA]
        return to_outcomes(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))


def read_history(
    reader: ArchiveReader, bundle: Bundle, partition: int, first: int, end: int, rows: int
) -> Iterator[History]:
    """The offsets of a partition from `first` to `end`, which is not included, in blocks of about `rows` rows.

    Raises ArchiveError.
    """
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in reader.read(partition, first, end - 1, rows, columns_of(bundle)):
        if waiting and count + len(batch) > rows:
            yield make_history(bundle, partition, _joined(waiting), batch.column("offset")[0].as_py())
            waiting, count = [], 0
        waiting.append(batch)
        count += len(batch)
    if waiting:
        yield make_history(bundle, partition, _joined(waiting), end)


def columns_of(bundle: Bundle) -> list[str]:
    """The columns of the archive that `make_history` needs."""
    return [*_ALWAYS, *(_COLUMN_OF[name] for name in bundle.features if name in _COLUMN_OF)]


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    return pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()[0]


def make_history(bundle: Bundle, partition: int, batch: pa.RecordBatch, end: int) -> History:
    """The block of a batch of the archive's schema, which has a row at least and whole records alone."""
    kind = _Coded.of(batch.column("kind"))
    codes = {name: code for code, name in enumerate(kind.names)}
    of_kind = np.bincount(kind.codes, minlength=len(kind.names))
    rejected, skipped = (int(of_kind[codes[name]]) if name in codes else 0 for name in (REJECTED, SKIPPED))
    if rejected or skipped:
        has_user = np.isin(kind.codes, [codes[name] for name in (EVENT, ERASURE) if name in codes])
        batch, kind = batch.filter(pa.array(has_user)), kind._replace(codes=kind.codes[has_user])
    block = _block(bundle, partition, batch, kind.codes == codes.get(ERASURE, -1))
    return History(block, batch, end, rejected, skipped)


def _block(bundle: Bundle, partition: int, batch: pa.RecordBatch, is_erasure: NDArray[np.bool_]) -> Block:
    user, item, action = (_Coded.of(batch.column(name)) for name in ("user_id", "item_id", "action"))
    event_id = batch.column("event_id").cast(pa.binary()).fill_null(b"")
    line = batch.column("line").to_numpy()
    return Block(
        partition=partition,
        user_ids=user.names,
        items=np.array([*item.names, None], object)[:-1],  # an array of texts alone would have another type
        user=user.codes,
        item=item.codes,
        item_index=item.values(bundle.item_index),
        action_index=action.values(bundle.action_index),
        time_ms=_integers(batch, "event_time_ms"),
        record_ms=_integers(batch, "record_timestamp_ms"),
        offset=_integers(batch, "offset"),
        is_first=line == 0,
        is_erasure=is_erasure,
        digest=digests_of_ids(event_id.to_numpy(zero_copy_only=False).tolist()),
        features=_features(bundle, batch),
    )


def _features(bundle: Bundle, batch: pa.RecordBatch) -> Features:
    """(n,) values of each feature that the bundle names, as `streams.engine.features` reads them of events."""
    found: Features = {}
    for name in bundle.features:
        if name == TIME:
            found[name] = _integers(batch, "event_time_ms")
        elif name == CATEGORY:
            found[name] = _Coded.of(batch.column("category")).values(bundle.category_index)
        elif name == PRICE:
            found[name] = as_price(batch.column("price").fill_null(float("nan")).to_numpy(zero_copy_only=False))
        else:
            assert name == BRAND, name
            attributes = _Coded.of(batch.column("attributes"))
            brands = {text: _decode_attributes(text).get(BRAND) for text in attributes.names}
            index = {text: bundle.brand_index.get(str(b), 0) for text, b in brands.items() if b is not None}
            found[name] = attributes.values(index)
    return found


def _integers(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    column = batch.column(name)
    filled: NDArray[np.int64] = (column.fill_null(0) if column.null_count else column).to_numpy().astype(np.int64)
    return filled


class _Coded(NamedTuple):
    """A column of texts as places in a list of the distinct texts. A null has the last place, which is none of the list
    where the column has nulls.
    """

    codes: NDArray[np.int64]
    names: list[str]

    @classmethod
    def of(cls, column: pa.Array) -> "_Coded":
        coded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
        names = coded.dictionary.to_pylist()
        codes = coded.indices.fill_null(len(names)) if coded.null_count else coded.indices
        return cls(codes.to_numpy().astype(np.int64), names)

    def values(self, index: "dict[str, int] | Any") -> NDArray[np.int64]:
        """(n,) int64, the number of each text, 0 for a text without a number and for a null."""
        numbers = np.array([*(index.get(name, 0) for name in self.names), 0], np.int64)
        found: NDArray[np.int64] = numbers[self.codes]
        return found
