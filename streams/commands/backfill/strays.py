"""The records in a partition that their user does not belong to, as dead letters take them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from streams.archive.columns import ArchivedRecord
from streams.engine.codec import Outcome, Rejected, WithoutUser


class Stray(NamedTuple):
    """A stray of an archive, which has not the bytes of the record. key: the user's id in the archive."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def strays_of(
    topic: str,
    partition: int,
    rejected: Iterable[tuple[ArchivedRecord, Rejected]],
    records: Sequence[ArchivedRecord],
    outcomes: Sequence[Outcome],
) -> list[tuple[Stray, Rejected]]:
    """The rejected records with their reasons. records, outcomes: in which the rejected records stand."""
    outcome_of = {record.offset: outcome for record, outcome in zip(records, outcomes, strict=True)}
    found = []
    for record, why in rejected:
        outcome = outcome_of[record.offset]
        assert not isinstance(outcome, WithoutUser), "a stray has a user"
        found.append((Stray(topic, partition, record.offset, record.timestamp, outcome.user_id.encode()), why))
    return found
