"""Checks of every user and every record after a fault. All records have to be committed and all workers stopped."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from streams.broker.topic_reader import read_topic
from streams.commands.verify.recompute import TOLERANCE
from streams.commands.verify.verification import verify
from streams.config.settings import Settings
from streams.contracts.dead_letters import ERASED_HEADER, OFFSET_HEADER, PARTITION_HEADER, decode_headers
from streams.contracts.representation_updates import decode_vector
from streams.engine.arena import StoredUser
from streams.store.store import open_store
from tests.faults.truth import ERASURE, LOST, REPETITION, Expected, Truth
from tests.faults.watch.answers import Answer

VECTOR_TOLERANCE = 1e-6  # two workers round the same step differently
SHOWN = 5  # problems of one kind that are reported


class Evaluated(msgspec.Struct):
    """The fields of an evaluation event that are checked."""

    id: str
    user_id: str
    bundle_id: str
    steps: int
    share: float | None = None


class Updated(msgspec.Struct):
    """The fields of an update that are checked."""

    bundle_id: str
    representation: bytes
    steps: int


class Findings:
    """Counts problems and describes the first few of each kind."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.lost = 0
        self.double_applied = 0
        self.evaluated = 0  # distinct ids
        self.evaluated_again = 0
        self._counts: dict[str, int] = {}

    def add(self, kind: str, text: str) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        if self._counts[kind] <= SHOWN:
            self.problems.append(f"{kind}: {text}")

    def finish(self) -> None:
        self.problems += [f"{kind}: and {n - SHOWN} more" for kind, n in self._counts.items() if n > SHOWN]


def check(
    settings: Settings,
    bundle: Bundle,
    truth: Truth,
    producers_total: int | None = None,
    answers: Collection[Answer] = (),
) -> Findings:
    """Run all checks for one bundle.

    producers_total: the number of records that the sender confirmed, if known. answers: of `thalweg serve`.
    """
    found = Findings()
    truth.read()
    expected = truth.expected()
    if producers_total is not None and truth.records != producers_total:
        found.add("topic", f"{producers_total} records were sent and {truth.records} are in {truth.topic}")
    store = open_store(settings, bundle)
    try:
        stored = {row.user_id: row for row in store.users.scan()}
        updates_topic = store.registry.settings_of(settings, bundle.bundle_id).updates_topic
    finally:
        store.close()
    check_steps(stored, expected, found)
    asyncio.run(check_evaluations(settings, bundle, truth, expected, found))
    asyncio.run(check_updates(settings, updates_topic, bundle, stored, expected, found))
    if answers:
        asyncio.run(check_answers(settings, updates_topic, bundle, answers, found))
    letters = asyncio.run(distinct_dead_letters(settings))
    unevaluated = expected.events() - sum(int(due.sum()) for due in expected.evaluated.values())
    accounted = (
        found.evaluated
        + unevaluated
        + expected.count(REPETITION)
        + letters
        + expected.count(ERASURE)
        + expected.count(LOST)
    )
    if accounted != truth.records:
        found.add("sum", f"{accounted} records are accounted for, {truth.records} are in {truth.topic}")
    verification = verify(settings, bundle)
    for text in verification.mismatches:
        found.add("verify", text)
    if not verification.max_abs_diff <= TOLERANCE:
        found.add("verify", f"largest difference {verification.max_abs_diff:.2e}")
    found.finish()
    return found


def check_steps(stored: dict[str, StoredUser], expected: Expected, found: Findings) -> None:
    """Check that each user has as many stored steps as distinct events."""
    for user in stored.keys() | expected.steps.keys():
        steps = stored[user].steps if user in stored else 0
        wanted = expected.steps.get(user, 0)
        found.lost += max(0, wanted - steps)
        found.double_applied += max(0, steps - wanted)
        if steps != wanted:
            found.add("steps", f"user {user!r} has {steps} stored steps and {wanted} distinct events")


async def check_evaluations(
    settings: Settings, bundle: Bundle, truth: Truth, expected: Expected, found: Findings
) -> None:
    """Check every evaluation event, also the repetitions of an id, which are counted apart.

    Each applied record that is in the sample has an event, with the user and the number of steps before it.
    """
    decode = msgspec.json.Decoder(Evaluated).decode
    seen = {partition: np.zeros(len(column), bool) for partition, column in expected.steps_before.items()}
    async for records in read_topic(settings, settings.evaluation_topic):
        for record in records:
            event = decode(record.value)
            if event.bundle_id != bundle.bundle_id:
                continue
            topic, epoch, partition, offset = event.id.rsplit("-", 3)
            p, at = int(partition), int(offset)
            if (
                (topic, epoch) != (truth.topic, "0")
                or p not in seen
                or at >= len(seen[p])
                or not expected.evaluated[p][at]
            ):
                found.add(
                    "evaluation", f"id {event.id} of user {event.user_id!r} belongs to no applied record to score"
                )
            elif (event.share or 1.0) != truth.sample.share:
                found.add("evaluation", f"id {event.id} says share {event.share} instead of {truth.sample.share}")
            else:
                wanted = (truth.rows[p][at][0], int(expected.steps_before[p][at]))
                if (event.user_id, event.steps) != wanted:
                    found.add("evaluation", f"id {event.id} says {(event.user_id, event.steps)} instead of {wanted}")
                found.evaluated_again += int(seen[p][at])
                found.evaluated += int(not seen[p][at])
                seen[p][at] = True
    for p, due in expected.evaluated.items():
        for at in np.flatnonzero(due & ~seen[p]).tolist():
            found.add("evaluation", f"id {truth.topic}-0-{p}-{at} of user {truth.rows[p][at][0]!r} is missing")


async def check_updates(
    settings: Settings,
    topic: str,
    bundle: Bundle,
    stored: dict[str, StoredUser],
    expected: Expected,
    found: Findings,
) -> None:
    """Check that each user's last update equals the row in the store, and is a tombstone if the user was erased.

    topic: to which the workers of the bundle publish.
    """
    last = {user: value async for user, value in read_updates(settings, topic, bundle)}
    decode = msgspec.json.Decoder(Updated).decode
    updates = {user: None if value is None else decode(value) for user, value in last.items()}
    for user in expected.erased:
        if updates.get(user, ...) is not None:
            found.add("update", f"erased user {user!r} has no tombstone at its end")
    for user, row in stored.items():
        update = updates.get(user)
        if update is None:
            found.add("update", f"user {user!r} has a stored row and no last update")
        elif update.steps != row.steps:
            found.add("update", f"user {user!r}: last update after {update.steps} steps, stored {row.steps}")
        else:
            difference = np.abs(decode_vector(update.representation) - row.representation).max()
            if not difference <= VECTOR_TOLERANCE:
                found.add("update", f"user {user!r}: last update differs from the row by {difference:.1e}")


async def check_answers(
    settings: Settings, topic: str, bundle: Bundle, answers: Collection[Answer], found: Findings
) -> None:
    """Check that each answer is the update of the user after the same number of steps.

    A worker leaves out an update where one of the same user after more steps waits for the same transaction.
    """
    asked = {(answer.user_id, answer.steps) for answer in answers}
    published: dict[tuple[str, int], list[NDArray[np.float32]]] = defaultdict(list)
    last_steps: dict[str, int] = {}
    decode = msgspec.json.Decoder(Updated).decode
    async for user, value in read_updates(settings, topic, bundle):
        if value is not None:
            update = decode(value)
            last_steps[user] = update.steps
            if (user, update.steps) in asked:
                published[user, update.steps].append(decode_vector(update.representation))
    if not published:
        found.add("answer", f"not one of {len(answers)} answers has an update after the same number of steps")
    for user, steps, representation in answers:
        vectors = published.get((user, steps))
        if vectors is not None:
            difference = min(float(np.abs(vector - representation).max()) for vector in vectors)
            if not difference <= VECTOR_TOLERANCE:
                found.add("answer", f"user {user!r} after {steps} steps: differs from the update by {difference:.1e}")
        elif last_steps.get(user, 0) <= steps:
            found.add("answer", f"user {user!r} after {steps} steps: no update after as many or more steps")


async def read_updates(settings: Settings, topic: str, bundle: Bundle) -> AsyncIterator[tuple[str, bytes | None]]:
    """The user and the value of each update of the bundle, in the order of each partition."""
    own = f"{bundle.bundle_id}/"
    async for records in read_topic(settings, topic):
        for record in records:
            key = record.key.decode()
            if key.startswith(own):
                yield key.removeprefix(own), record.value


async def distinct_dead_letters(settings: Settings) -> int:
    """Count the records that became dead letters. A replay may have written a dead letter more than once."""
    found: set[tuple[str, str]] = set()
    async for records in read_topic(settings, settings.dead_letter_topic):
        headers = [decode_headers(record.headers) for record in records]
        found.update((h[PARTITION_HEADER], h[OFFSET_HEADER]) for h in headers if ERASED_HEADER not in h)
    return len(found)
