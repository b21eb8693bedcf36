"""What the tasks of Spark read, and how the rows of a piece are divided among the groups of users. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from streams.archive.layout import Span
from streams.commands.backfill.plan import Covered

STAGE = "stage"  # the column that a group has besides those of the archive


class Piece(NamedTuple):
    """Offsets of one segment, from `first` to `last`, both included, that one stage steps."""

    stage: int
    partition: int
    first: int
    last: int


def pieces_of(spans: Mapping[int, Iterable[Span]], stages: Sequence[Mapping[int, Covered]]) -> list[Piece]:
    """The pieces of all stages. spans: by partition, the segments of the archive."""
    return [
        Piece(number, partition, max(span.first, offsets.first), min(span.last_row, offsets.end - 1))
        for number, stage in enumerate(stages)
        for partition, offsets in stage.items()
        for span in spans[partition]
        if span.first < offsets.end and offsets.first <= span.last_row
    ]


def divide(batch: pa.RecordBatch, stage: int, groups: int) -> Iterator[tuple[int, bytes]]:
    """The rows of each group of users, as a stream of Arrow. Equal users have equal groups in all batches.

    batch: columns of the archive, `user_id` and `offset` among them. A record without a user counts in any group.
    """
    users = batch.column("user_id").dictionary_encode()
    of_users = np.array([*(xxh3_64_intdigest(user.encode()) % groups for user in users.dictionary.to_pylist()), -1])
    group = of_users[users.indices.fill_null(len(of_users) - 1).to_numpy()]
    group = np.where(group < 0, batch.column("offset").to_numpy() % groups, group)
    order = np.argsort(group, kind="stable")
    taken = batch.append_column(STAGE, pa.array(np.full(len(batch), stage, np.int32))).take(pa.array(order))
    found, starts = np.unique(group[order], return_index=True)
    for number, start, end in zip(found.tolist(), starts, [*starts[1:], len(order)], strict=True):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, taken.schema) as stream:
            stream.write_batch(taken.slice(start, end - start))
        yield number, sink.getvalue().to_pybytes()
