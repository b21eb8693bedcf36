"""A processor whose bundle is a small recurrence in numpy, and a store that keeps its rows in memory."""

from typing import Any, ClassVar, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.runtime.inputs import StepInputs
from export.runtime.predictions import Predictions
from export.runtime.queries import make_queries
from streams.engine.arena import Arena, StoredUser
from streams.engine.codec import ContractDecoder, RecordDecoder
from streams.engine.planning.candidates import Part
from streams.engine.planning.rows import Rows
from streams.engine.processor import Processor
from streams.engine.stages import Scored

WIDTH, ITEMS = 4, 5
BY_CONTRACT = ContractDecoder()


class Record(NamedTuple):
    """The fields of a Kafka record that the processor reads."""

    key: bytes
    value: bytes | None
    offset: int
    timestamp: int
    topic: str = "events"
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class Recurrence:
    """A small recurrence in numpy that depends on every input and on the order of steps."""

    vectors = np.random.default_rng(0).normal(size=(ITEMS + 1, WIDTH)).astype(np.float32)

    def step(self, inputs: StepInputs, state: NDArray[np.float32]) -> Any:
        drive = self.vectors[inputs.item] + inputs.action[:, None] * 0.1 + np.log1p(inputs.gap_ms + 1)[:, None] * 0.01
        state = np.tanh(state * 0.7 + drive).astype(np.float32)
        return state, state * 2

    def predict(self, representation: NDArray[np.float32], item: NDArray[np.int64]) -> Predictions:
        scores = representation @ self.vectors[1:].T
        ranks = (scores >= scores[np.arange(len(item)), np.maximum(item, 1) - 1][:, None]).sum(axis=1)
        return Predictions(np.where(item == 0, 0, ranks).astype(np.int32), *self.heads(representation))

    def heads(self, representation: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return probabilities of (unknown, view, purchase), and a mixture that moves with the representation."""
        n = len(representation)
        probability = np.tile(np.array([0.1, 0.7, 0.2], np.float32), (n, 1))
        mean = np.tile(np.array([0.0, 3.0, 6.0, 9.0], np.float32), (n, 1)) + representation[:, :1]
        quarters, scales = np.full((n, 4), 0.25), np.full((n, 4), 1.5)
        return probability, np.concatenate([quarters, mean, scales], axis=1, dtype=np.float32)


class TinyBundle:
    """The parts of a bundle that the processor reads."""

    item_index: ClassVar = {f"i{n}": n for n in range(1, ITEMS + 1)}
    action_index: ClassVar = {"view": 1, "purchase": 2}
    features = ()
    query_width = WIDTH
    initial_state = np.full(WIDTH, 0.25, np.float32)
    initial_representation = np.full(WIDTH, 0.5, np.float32)

    @staticmethod
    def queries(representation: NDArray[np.float32], state: NDArray[np.float32]) -> NDArray[np.float32]:
        return make_queries(representation, state, 0)


def processor(capacity: int = 100, user_ttl_ms: int | None = None, arena: Arena | None = None) -> Processor:
    """capacity: of the arena, where the caller gives none."""
    return Processor(
        TinyBundle(), Recurrence(), Arena(capacity, WIDTH, WIDTH) if arena is None else arena, user_ttl_ms=user_ttl_ms
    )


class MemoryStore:
    """Keeps rows as Cassandra would, so that a test can restore users after an eviction or a crash."""

    def __init__(self) -> None:
        self.users: dict[str, StoredUser] = {}

    def write(self, result: Scored) -> None:
        for erased in result.erased:
            self.users.pop(erased.user_id, None)
        kept = result.changed_rows()
        self.users |= stored_users(result.rows.select(kept), result.state[kept], result.representation[kept])


def stored_users(rows: Rows, state: NDArray[np.float32], representation: NDArray[np.float32]) -> dict[str, StoredUser]:
    """Return a processor's rows as a store would return them, by user."""
    return {
        user_id: StoredUser(
            user_id=user_id,
            partition=int(rows.partition[i]),
            offset=int(rows.offset[i]),
            steps=int(rows.steps[i]),
            last_time_ms=int(rows.last_time_ms[i]),
            last_item=rows.last_item[i],
            last_record_ms=int(rows.last_record_ms[i]),
            recent=[digest for digest in rows.recent[i].tolist() if digest],
            state=state[i].copy(),
            representation=representation[i].copy(),
        )
        for i, user_id in enumerate(rows.user_id)
    }


def feed(
    target: Processor,
    rows: MemoryStore,
    records: list[Record],
    sequence: int,
    decoder: RecordDecoder = BY_CONTRACT,
) -> Scored:
    """Restore the users that the records need, process and score the records, and write the changed rows."""
    parts = [Part(0, records, decoder.decode_batch(records))]
    missing = target.missing(parts, sequence)
    assert target.arena.evict(len(missing), sequence - 1)
    target.arena.insert([rows.users[user] for user in missing if user in rows.users], 0, sequence)
    scored = target.score(target.process(parts, sequence))
    rows.write(scored)
    return scored


def record(offset: int, user: str, item: str | None, event_id: str, time_ms: int, timestamp_ms: int = 10**12) -> Record:
    """Return the record of a view of the item, or, without an item, the record that erases the user."""
    if item is None:
        return Record(user.encode(), None, offset, timestamp_ms)
    value = {"event_id": event_id, "user_id": user, "item_id": item, "action": "view", "event_time_ms": time_ms}
    return Record(user.encode(), msgspec.json.encode(value), offset, timestamp_ms)
