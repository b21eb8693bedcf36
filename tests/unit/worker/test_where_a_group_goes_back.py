"""Whether a group goes back over a restored Cassandra, and what the error recommends where the group cannot."""

import uuid
from collections.abc import Collection, Sequence

import pytest

from streams.broker.consumer import Opened
from streams.store.positions.stored_positions import BEGINNING, Position, Positions
from streams.worker.restored_store import why_not_back


def opened(start: int = 0, began_at: Sequence[int] = (), held: Collection[int] = ()) -> Opened:
    """Return a topic of two partitions, of which the group has committed 900 records each."""
    return Opened(
        topic_id=uuid.UUID(int=1),
        committed={0: 900, 1: 900},
        held=held,
        comparable=[0, 1] if began_at else [0],
        starts={0: start, 1: start},
        epoch_began_at=began_at,
    )


def known(*offsets: int) -> dict[int, Positions]:
    return {partition: Positions([Position(BEGINNING, offset, 0.0)]) for partition, offset in enumerate(offsets)}


@pytest.mark.parametrize(
    ("positions", "at"),
    [
        (known(500, 500), opened()),
        (known(500, 500), opened(start=500)),
        ({}, opened()),  # The snapshot is from before the first position.
        (known(500), opened(began_at=[500])),  # The snapshot is from after the growth.
    ],
)
def test_the_group_goes_back(positions: dict[int, Positions], at: Opened) -> None:
    assert why_not_back(0, positions, at) is None


@pytest.mark.parametrize(
    ("positions", "at", "remedy"),
    [
        (known(500, 500), opened(start=501), "thalweg verify --repair --archive"),
        ({}, opened(start=1), "thalweg verify --repair --archive"),
        (known(500, 500), opened(start=501, began_at=[400]), "another keyspace with another group: copy"),
        (known(499, 500), opened(began_at=[500]), "another keyspace with another group: copy"),
        (known(500, 499), opened(began_at=[500, 500]), "another keyspace with another group: copy"),
        (known(500, 500), opened(held=[1]), "set another group"),
    ],
)
def test_the_error_recommends_what_works(positions: dict[int, Positions], at: Opened, remedy: str) -> None:
    """A repair refuses where partitions were added, because a row belongs to an epoch."""
    why = why_not_back(0, positions, at)
    assert why is not None
    assert remedy in why
    assert ("verify --repair" in why) == ("verify" in remedy)
