"""Scenarios by name, and how large a run of them is."""

from collections.abc import Callable
from typing import Any

import msgspec


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Of one scenario's run. `events`: at least so many records; the load lasts as long as the faults do."""

    events: int
    rate: float  # events/s
    users: int
    faults: int
    gap_s: tuple[float, float]  # between two faults, drawn from this range
    outage_s: float


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    play: Callable[[Any], None]
    settings: dict[str, Any]
    sizes: dict[str, Size]
    drain_s: float
    needs: str | None  # of the worker, where it has yet to be built
    alone: bool  # it takes the services away from whoever else uses them


SMALL = Size(events=4_000, rate=700.0, users=400, faults=2, gap_s=(0.5, 2.0), outage_s=15.0)
LONG = Size(events=80_000, rate=5_000.0, users=20_000, faults=12, gap_s=(1.0, 9.0), outage_s=60.0)

SCENARIOS: dict[str, Scenario] = {}


def scenario(
    small: dict[str, Any] | None = None,
    long: dict[str, Any] | None = None,
    drain_s: float = 120.0,
    needs: str | None = None,
    alone: bool = False,
    **settings: Any,
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a function as a scenario. `settings`: of its deployment; small, long: what differs from SMALL, LONG."""

    def register(play: Callable[[Any], None]) -> Callable[[Any], None]:
        name = play.__name__.replace("_", "-")
        sizes = {
            "small": msgspec.structs.replace(SMALL, **small or {}),
            "long": msgspec.structs.replace(LONG, **long or {}),
        }
        SCENARIOS[name] = Scenario(
            name=name, play=play, settings=settings, sizes=sizes, drain_s=drain_s, needs=needs, alone=alone
        )
        return play

    return register
