"""The table of scenarios by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.referee.trial import Trial


@dataclass(frozen=True)
class Size:
    """The size of a run. events: of one load; a scenario sends one load or several."""

    users: int
    events: int


SIZES = {"small": Size(users=60, events=1_200), "long": Size(users=2_000, events=20_000)}


@dataclass(frozen=True)
class Scenario:
    name: str
    play: "Callable[[Trial], None]"
    partitions: int
    rule: str  # by which the producers choose the partition, a name of tests.referee.records.RULES
    settings: dict[str, str]


SCENARIOS: dict[str, Scenario] = {}


def names() -> list[str]:
    """All names. The run without a fault comes first: where it fails, the other results say little."""
    return sorted(SCENARIOS, key=lambda name: name != "control")


def scenario(
    partitions: int = 2, rule: str = "murmur2", **settings: object
) -> "Callable[[Callable[[Trial], None]], Callable[[Trial], None]]":
    """Register the decorated function as a scenario. settings: of the product, without the prefix THALWEG_."""

    def register(play: "Callable[[Trial], None]") -> "Callable[[Trial], None]":
        name = play.__name__.replace("_", "-")
        values = {setting: str(value) for setting, value in settings.items()}
        SCENARIOS[name] = Scenario(name, play, partitions, rule, values)
        return play

    return register
