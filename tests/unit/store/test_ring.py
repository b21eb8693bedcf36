"""Parts of the ring of tokens, and parts that Cassandra refuses to read at once."""

from itertools import pairwise
from typing import Any

import pytest
from cassandra import ReadFailure, Unavailable

from streams.config.errors import StoreError
from streams.store.bundles.ring import LEAST_PART, LEAST_TOKEN, TOKENS, equal_parts, read_part, ring_parts

LAST_TOKEN = LEAST_TOKEN + TOKENS - 1


def covered(parts: list[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in parts)


@pytest.mark.parametrize("at", [LEAST_TOKEN, -1, 0, 12_345, LAST_TOKEN])
def test_parts_that_double_are_the_whole_ring_once(at: int) -> None:
    shares = [0.0, *(2.0**-power for power in range(14, -1, -1))]
    parts = [part for pair in pairwise(shares) for part in ring_parts(at, *pair)]
    assert covered(parts) == TOKENS
    parts.sort()
    assert (parts[0][0], parts[-1][1]) == (LEAST_TOKEN, LAST_TOKEN)
    assert all(before[1] + 1 == after[0] for before, after in pairwise(parts))


@pytest.mark.parametrize("count", [1, 2, 3, 1_000])
def test_equal_parts_are_the_whole_ring(count: int) -> None:
    parts = list(equal_parts(count))
    assert (parts[0][0], parts[-1][1], covered(parts), len(parts)) == (LEAST_TOKEN, LAST_TOKEN, TOKENS, count)


class Full:
    """A table with a key at each of these tokens. More than `most` of them are too many for one answer."""

    def __init__(self, tokens: list[int], most: int, error: type[Exception] = ReadFailure) -> None:
        self._tokens, self._most, self._error = tokens, most, error
        self.requests = 0

    def scan(self, doing: str, query: str, parameters: list[int]) -> list[tuple[int]]:
        self.requests += 1
        first, last = parameters
        found = [(token,) for token in self._tokens if first <= token <= last]
        if len(found) > self._most:
            raise StoreError(f"failed to {doing}") from self._error("too many tombstones")
        return found


def test_a_part_with_too_many_deleted_rows_is_divided() -> None:
    tokens = [LEAST_TOKEN + number * (TOKENS // 100) for number in range(100)]
    session: Any = Full(tokens, most=10)
    found = [row for rows in read_part(session, "read", "SELECT", LEAST_TOKEN, LAST_TOKEN) for row in rows]
    assert found == [(token,) for token in tokens]
    assert session.requests < 40


def test_another_failure_and_a_part_that_cannot_be_divided_are_errors() -> None:
    away: Any = Full([0, 1], most=0, error=Unavailable)
    with pytest.raises(StoreError):
        list(read_part(away, "read", "SELECT", LEAST_TOKEN, LAST_TOKEN))
    assert away.requests == 1
    broken: Any = Full([0, 1], most=0)
    with pytest.raises(StoreError):
        list(read_part(broken, "read", "SELECT", -LEAST_PART, LEAST_PART))
