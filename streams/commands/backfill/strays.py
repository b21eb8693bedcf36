"""The dead letters of records in a partition that their user does not belong to, from what the records decode to."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from streams.archive.columns import ArchivedRecord
from streams.engine.codec import Erasure, Outcome, Rejected, Several, WithoutUser


class Rebuilt(NamedTuple):
    """A record as a dead letter takes it. An archive has not the bytes of a record, but the record's events."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def letters_of(
    topic: str,
    partition: int,
    rejected: Iterable[tuple[ArchivedRecord, Rejected]],
    records: Sequence[ArchivedRecord],
    outcomes: Sequence[Outcome],
) -> list[tuple[Rebuilt, Rejected]]:
    """The records, with the reason of each, as `OutputEncoder.letters` takes them.

    records, outcomes: in which the rejected records stand. The value of a letter is the event in the form of the event
    contract, and for a record with several events a list of them.
    """
    outcome_of = {record.offset: outcome for record, outcome in zip(records, outcomes, strict=True)}
    found = []
    for record, why in rejected:
        outcome = outcome_of[record.offset]
        assert not isinstance(outcome, WithoutUser), "a stray has a user"
        value = None if isinstance(outcome, Erasure) else msgspec.json.encode(_events(outcome))
        rebuilt = Rebuilt(topic, partition, record.offset, record.timestamp, outcome.user_id.encode(), value)
        found.append((rebuilt, why))
    return found


def _events(outcome: Outcome) -> object:
    return outcome.events if isinstance(outcome, Several) else outcome
