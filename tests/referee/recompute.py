"""What must be stored and published after the records that were sent. Everything is computed with ONNX and numpy."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.referee.model import Model, Outlook, Prediction, Vector
from tests.referee.records import LINES, REMEMBERED, SKIPPED_ACTION, Event, Position, Sent


@dataclass
class User:
    """A user after the user's last event."""

    state: Vector  # (S,) float32
    outlook: Outlook
    position: Position
    steps: int = 0
    last_time_ms: int = 0
    last_item: str | None = None
    recent: list[str] = field(default_factory=list)  # ids of the last REMEMBERED records, oldest first


@dataclass(frozen=True)
class Evaluated:
    """What the evaluation event of one applied event must say."""

    event: Event
    steps: int  # events applied before
    previous_item: str | None
    gap_ms: int | None  # None for a user's first event
    prediction: Prediction


@dataclass
class Expected:
    """Users that must have a row, users that were erased and have none, and the applied events by their position."""

    users: dict[str, User] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    evaluated: dict[Position, Evaluated] = field(default_factory=dict)
    repeated: int = 0  # records that a producer sent twice
    rejected: int = 0  # orders with a broken line
    rejected_and_erased: int = 0  # those of them whose users were erased later: their dead letters are not listed
    skipped: int = 0  # records without an event
    erasures: int = 0


def recompute(model: Model, records: Iterable[Sent]) -> Expected:
    """Apply the records in the order of partitions.

    A user stays in one partition, or moves to higher partitions where partitions were added. So the order of the
    positions is the order of each user's events.
    """
    found = Expected()
    letters: Counter[str] = Counter()  # of each user who was not erased since
    state, outlook = model.initial()
    for record in sorted(records, key=lambda one: one.position):
        if record.event is None:
            found.users.pop(record.user_id, None)
            found.erased.add(record.user_id)
            found.rejected_and_erased += letters.pop(record.user_id, 0)
            found.erasures += 1
            continue
        if record.event["action"] == SKIPPED_ACTION:
            found.skipped += 1
            continue
        lines = events_of(record.event)
        if any("item_id" not in line for line in lines):
            found.rejected += 1
            letters[record.user_id] += 1
            continue
        user = found.users.get(record.user_id)
        if user is not None and record.event["event_id"] in user.recent:
            found.repeated += 1
            continue
        if user is None:
            user = found.users[record.user_id] = User(state, outlook, record.position)
            found.erased.discard(record.user_id)
        for number, event in enumerate(lines):
            _apply(model, user, event, record.position._replace(line=number), found)
        user.position = record.position
        user.recent = [*user.recent[1 - REMEMBERED :], record.event["event_id"]]
    return found


def events_of(event: Event) -> list[Event]:
    """The events of a record, of which an order has one for each line."""
    if LINES not in event:
        return [event]
    of_order = {name: value for name, value in event.items() if name not in (LINES, "item_id", "price")}
    return [of_order | line for line in event[LINES]]


def _apply(model: Model, user: User, event: Event, position: Position, found: Expected) -> None:
    time_ms = event["event_time_ms"]
    gap_ms = max(0, time_ms - user.last_time_ms) if user.steps else None
    found.evaluated[position] = Evaluated(
        event=event,
        steps=user.steps,
        previous_item=user.last_item,
        gap_ms=gap_ms,
        prediction=model.predict(event, user.outlook),
    )
    user.state, user.outlook = model.step(event, -1 if gap_ms is None else gap_ms, user.state, user.outlook)
    user.last_time_ms = max(user.last_time_ms, time_ms) if user.steps else time_ms
    user.steps += 1
    user.last_item = event["item_id"]
