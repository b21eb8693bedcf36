"""Compares what the product stored and published for one bundle with what must be there. Does no input or output."""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tests.referee.model import Model, Outlook, largest_difference
from tests.referee.recompute import Evaluated, Expected, User
from tests.referee.records import Position
from tests.referee.rows import Row

TOLERANCE = 1e-5  # of a component of a state or a representation
# Two float32 sums of a score in different orders, over a representation that may differ by TOLERANCE.
SCORE_TOLERANCE = 5e-4
PROBABILITY_TOLERANCE = 1e-4
SHOWN = 4  # problems of one kind that are reported


class RecordIds(NamedTuple):
    """The ids of events of one topic: `<topic>-<epoch>-<partition>-<offset>`, and `.<line>` behind the first line.

    first_epochs: by incarnation of the topic, the number of its first epoch.
    """

    topic: str
    first_epochs: tuple[int, ...]

    def of(self, position: Position) -> str:
        line = f".{position.line}" if position.line else ""
        return f"{self.topic}-{self.first_epochs[position.incarnation]}-{position.partition}-{position.offset}{line}"

    def incarnation(self, epoch: int) -> int:
        """The incarnation to which an epoch belongs; -1 for an epoch before the first."""
        return sum(first <= epoch for first in self.first_epochs) - 1


@dataclass
class Findings:
    """What a judgement found. lost, twice: steps that stored rows lack, and steps that they have too many."""

    problems: list[str] = field(default_factory=list)
    applied: int = 0  # distinct ids of evaluation events of the bundle
    lost: int = 0
    twice: int = 0
    differing: int = 0  # users whose row is missing, superfluous or different
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, text: str) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= SHOWN:
            self.problems.append(f"{kind}: {text}")

    def finish(self) -> "Findings":
        self.problems += [f"{kind}: and {n - SHOWN} more" for kind, n in self._counts.items() if n > SHOWN]
        return self


class Outputs(NamedTuple):
    """What the product stored and published, of all bundles.

    rows: of the judged bundle, by user. evaluations: the values of the evaluation topic. updates: key and value of
    every record of the updates topic, in order.
    """

    rows: dict[str, Row]
    evaluations: Sequence[bytes]
    updates: Sequence[tuple[bytes, bytes | None]]


def judge(model: Model, expected: Expected, outputs: Outputs, ids: RecordIds) -> Findings:
    """Judge one bundle."""
    found = Findings()
    for user_id in sorted(outputs.rows.keys() | expected.users.keys()):
        problem = _row_problem(expected.users.get(user_id), outputs.rows.get(user_id), ids, found)
        if problem is not None:
            found.differing += 1
            found.add("row", f"user {user_id!r}: {problem}")
    _judge_evaluations(model, expected, outputs.evaluations, ids, found)
    _judge_updates(model, expected, outputs, found)
    return found.finish()


def _row_problem(user: User | None, row: Row | None, ids: RecordIds, found: Findings) -> str | None:
    steps, wanted = (0 if row is None else row.steps), (0 if user is None else user.steps)
    found.lost += max(0, wanted - steps)
    found.twice += max(0, steps - wanted)
    if user is None or row is None:
        return f"a row with {steps} steps must not be there" if user is None else f"no row, and {wanted} steps are due"
    if row.fault is not None:
        return row.fault
    stored = (steps, row.last_time_ms, row.last_item)
    if stored != (wanted, user.last_time_ms, user.last_item):
        return f"steps, time and item of the last event are {stored}, not {(wanted, user.last_time_ms, user.last_item)}"
    position = Position(ids.incarnation(row.epoch), row.partition, row.offset)
    if position != user.position:
        return f"the row stands at {position} (epoch {row.epoch}), not at {user.position}"
    state = largest_difference(row.state, user.state)
    outlook = row.outlook.difference(user.outlook)
    if state > TOLERANCE or outlook > TOLERANCE:
        return f"after {steps} steps the state differs by {state:.1e} and the columns for readers by {outlook:.1e}"
    return None


def _judge_evaluations(
    model: Model, expected: Expected, evaluations: Iterable[bytes], ids: RecordIds, found: Findings
) -> None:
    """Each applied event must have an evaluation event. A repetition must say the same as the first one."""
    due = {ids.of(position): evaluated for position, evaluated in expected.evaluated.items()}
    seen: set[str] = set()
    for event in map(json.loads, evaluations):
        if event["bundle_id"] != model.bundle_id:
            continue
        seen.add(event["id"])
        if event["id"] not in due:
            found.add("evaluation", f"id {event['id']} of user {event['user_id']!r} belongs to no applied event")
        elif problem := _evaluation_problem(model, event, due[event["id"]]):
            found.add("evaluation", f"id {event['id']}: {problem}")
    found.applied = len(seen)
    for name in sorted(due.keys() - seen):
        found.add("evaluation", f"id {name} of user {due[name].event['user_id']!r} is missing")


def _evaluation_problem(model: Model, event: dict[str, Any], due: Evaluated) -> str | None:
    wanted = {name: due.event[name] for name in ("user_id", "item_id", "action", "event_time_ms")}
    wanted |= {"previous_item_id": due.previous_item, "steps": due.steps, "state_age_ms": due.gap_ms}
    wanted["catalogue"] = model.catalogue
    for name, value in wanted.items():
        if event.get(name) != value:
            return f"{name} is {event.get(name)!r}, not {value!r}"
    foreseen = due.prediction
    rank, reciprocal = event["rank"], event["reciprocal_rank"]
    if foreseen.rank is None:
        return None if (rank, reciprocal) == (None, 0) else f"rank is {rank!r} for an item outside the catalogue"
    if rank is None or not foreseen.lowest_rank <= rank <= foreseen.highest_rank:
        bounds = f"{foreseen.lowest_rank} to {foreseen.highest_rank}"
        return f"rank is {rank!r}, numpy finds {bounds} and predict.onnx {foreseen.rank}"
    if abs(reciprocal - 1 / rank) > 1e-9:
        return f"reciprocal_rank is {reciprocal} at rank {rank}"
    if foreseen.action_probability is not None:
        probability = event.get("action_probability")
        if probability is None or abs(probability - foreseen.action_probability) > PROBABILITY_TOLERANCE:
            return f"action_probability is {probability}, not {foreseen.action_probability:.6f}"
    return None


def last_updates(updates: Iterable[tuple[bytes, bytes | None]], bundle_id: str) -> dict[str, dict[str, Any]]:
    """The last update of each user of a bundle, as a reader of the compacted topic sees the topic.

    Compaction keeps the last value of each key, whatever the key is.
    """
    compacted: dict[bytes, bytes | None] = {}
    for key, value in updates:
        compacted.pop(key, None)  # The last value of a key stands at the value's own place in the order.
        compacted[key] = value
    values = (json.loads(value) for value in compacted.values() if value is not None)
    return {value["user_id"]: value for value in values if value["bundle_id"] == bundle_id}


def _judge_updates(model: Model, expected: Expected, outputs: Outputs, found: Findings) -> None:
    """A reader of the updates must find the last representation of each user, and nothing of an erased user."""
    last = last_updates(outputs.updates, model.bundle_id)
    for user_id in sorted(expected.erased & last.keys()):
        found.add("update", f"erased user {user_id!r} still has an update")
    for user_id, user in sorted(expected.users.items()):
        update = last.get(user_id)
        if update is None:
            found.add("update", f"user {user_id!r} has no update of bundle {model.bundle_id}")
            continue
        difference = decode_outlook(update).difference(user.outlook)
        if update["steps"] != user.steps or difference > TOLERANCE:
            found.add(
                "update",
                f"user {user_id!r}: the last update is from step {update['steps']} and differs by {difference:.1e}; "
                f"{user.steps} steps are due",
            )


def decode_outlook(update: dict[str, Any]) -> Outlook:
    """The fields of an update for readers, which are base64 of little-endian numbers."""
    representation, items, scores, bought = (
        base64.b64decode(update.get(name) or "", validate=True)
        for name in ("representation", "recent_items", "recent_scores", "bought_items")
    )
    return Outlook(
        np.frombuffer(representation, "<f4").astype(np.float32),
        np.frombuffer(items, "<i4").astype(np.int64),
        np.frombuffer(scores, "<f4").astype(np.float32),
        np.frombuffer(bought, "<i4").astype(np.int64),
    )
