"""Reads a table part by part of the ring of tokens, over which Cassandra spreads the keys evenly."""

from collections.abc import Iterator
from typing import Any

from cassandra import ReadFailure

from streams.config.errors import StoreError
from streams.store.session import Session

LEAST_TOKEN, TOKENS = -(2**63), 2**64
LEAST_PART = 2**40  # tokens; among a billion keys, such a part has no more than a few


def ring_parts(at: int, begin: float, end: float) -> Iterator[tuple[int, int]]:
    """The first and the last token of each part of the ring between two shares of the way around, from `at` on."""
    first, last = (at - LEAST_TOKEN) + int(begin * TOKENS), (at - LEAST_TOKEN) + int(end * TOKENS) - 1
    while first <= last:
        turn_ends = (first // TOKENS + 1) * TOKENS - 1
        stop = min(last, turn_ends)
        yield LEAST_TOKEN + first % TOKENS, LEAST_TOKEN + stop % TOKENS
        first = stop + 1


def equal_parts(count: int) -> Iterator[tuple[int, int]]:
    """The first and the last token of so many parts of equal size, which are the whole ring."""
    for number in range(count):
        yield LEAST_TOKEN + number * TOKENS // count, LEAST_TOKEN + (number + 1) * TOKENS // count - 1


def read_part(session: Session, doing: str, query: str, first: int, last: int) -> Iterator[list[Any]]:
    """The rows whose tokens are `first` to `last`, in one list or several. Blocks. Raises StoreError.

    query: with a mark for each of both tokens. Cassandra refuses to pass over more than 100,000 deleted rows for one
    answer (tombstone_failure_threshold). The part is then divided.
    """
    try:
        rows = list(session.scan(doing, query, [first, last]))
    except StoreError as error:
        if not isinstance(error.__cause__, ReadFailure) or last - first < LEAST_PART:
            raise
    else:
        yield rows
        return
    middle = (first + last) // 2
    yield from read_part(session, doing, query, first, middle)
    yield from read_part(session, doing, query, middle + 1, last)
