"""Which headers of behaviour records their outputs carry on: the context of a producer's trace. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat

from streams.contracts.representation_updates import tombstone_keys
from streams.engine.stages import Scored

Headers = list[tuple[str, bytes]]
# By the partition and the offset of a behaviour record. Records without a trace have no entry.
HeadersBySource = Mapping[tuple[int, int], Headers]

NO_HEADERS: Headers = []  # shared by all records without headers, and never changed
NO_SOURCES: HeadersBySource = {}


def evaluation_headers(scored: Scored, sources: HeadersBySource) -> Iterable[Headers]:
    """The headers of each evaluation event, in the order of `OutputEncoder.evaluations`."""
    if not sources:
        return repeat(NO_HEADERS)
    applied, at = scored.applied, scored.evaluated
    positions = zip(applied.partition[at].tolist(), applied.offset[at].tolist(), strict=True)
    return [sources.get(position, NO_HEADERS) for position in positions]


def update_headers(scored: Scored, bundle_id: str, sources: HeadersBySource) -> Iterable[Headers]:
    """The headers of each update, in the order of `OutputEncoder.updates`.

    An update carries the headers of the user's last event in the batch that has a trace.
    """
    return _update_headers(scored, bundle_id, sources) if sources else repeat(NO_HEADERS)


def _update_headers(scored: Scored, bundle_id: str, sources: HeadersBySource) -> Iterator[Headers]:
    for user_id, partition, offset in scored.erased:
        yield from repeat(sources.get((partition, offset), NO_HEADERS), len(tombstone_keys(bundle_id, user_id)))
    applied = scored.applied
    of_row: dict[int, Headers] = {}
    columns = (applied.row.tolist(), applied.partition.tolist(), applied.offset.tolist())
    for row, partition, offset in zip(*columns, strict=True):
        if headers := sources.get((partition, offset)):
            of_row[row] = headers
    yield from (of_row.get(row, NO_HEADERS) for row in scored.updated_rows().tolist())
