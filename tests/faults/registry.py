"""The table of scenarios by name, with the size of a short and of a long run of each."""

from collections.abc import Callable
from typing import Any

import msgspec


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a scenario's run."""

    events: int  # at least so many records; the load lasts as long as the faults
    rate: float  # events/s
    users: int
    faults: int
    gap_s: tuple[float, float]  # range from which the time between two faults is drawn
    outage_s: float


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    play: Callable[[Any], None]
    settings: dict[str, Any]
    sizes: dict[str, Size]
    drain_s: float
    alone: bool  # it stops a shared service, so no other scenario may run at the same time
    nodes: int  # of Kafka and of Cassandra
    keeps_quorum: bool  # a majority of the nodes of each service is there all the time


class Skipped(Exception):  # noqa: N818  not an error
    """Raised by a scenario that this machine cannot play. The text is the reason."""


SMALL = Size(events=4_000, rate=700.0, users=400, faults=2, gap_s=(0.5, 2.0), outage_s=15.0)
LONG = Size(events=80_000, rate=5_000.0, users=20_000, faults=12, gap_s=(1.0, 9.0), outage_s=60.0)
# A cluster of three nodes each shares the machine with the workers.
LONG_OF_CLUSTER = msgspec.structs.replace(LONG, rate=1_500.0, outage_s=13.0)

SCENARIOS: dict[str, Scenario] = {}


def scenario(
    small: dict[str, Any] | None = None,
    long: dict[str, Any] | None = None,
    drain_s: float = 120.0,
    alone: bool = False,
    nodes: int = 1,
    keeps_quorum: bool | None = None,
    **settings: Any,
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register the decorated function as a scenario.

    `small` and `long` change fields of SMALL, and of LONG or LONG_OF_CLUSTER. `settings` are the settings of the
    scenario's deployment.
    keeps_quorum: by default, a single node is assumed to be stopped where `alone` is set, and others never all at once.
    """

    def register(play: Callable[[Any], None]) -> Callable[[Any], None]:
        name = play.__name__.replace("_", "-")
        has_quorum = (nodes > 1 or not alone) if keeps_quorum is None else keeps_quorum
        sizes = {
            "small": msgspec.structs.replace(SMALL, **small or {}),
            "long": msgspec.structs.replace(LONG if nodes == 1 else LONG_OF_CLUSTER, **long or {}),
        }
        SCENARIOS[name] = Scenario(
            name=name,
            play=play,
            settings=settings,
            sizes=sizes,
            drain_s=drain_s,
            alone=alone,
            nodes=nodes,
            keeps_quorum=has_quorum,
        )
        return play

    return register
