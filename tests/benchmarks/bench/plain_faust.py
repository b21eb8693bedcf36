"""A rival that anyone could write: Faust as its documentation shows it, with a step, a write and a send for each event.

`python plain_faust.py BROKER CASSANDRA TOPIC BUNDLE`. The program keeps states only in memory, so that it has none of
the costs of an exact restart.
"""

import asyncio
import sys
import time
from typing import Any

import faust
import numpy as np

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from streams.config.settings import Settings
from streams.store.protocol.cluster import connect

BROKER, CASSANDRA, TOPIC, BUNDLE = sys.argv[1:5]


class Event(faust.Record, serializer="json"):
    event_id: str
    user_id: str
    item_id: str
    action: str
    event_time_ms: int


class Evaluation(faust.Record, serializer="json"):
    id: str
    user_id: str
    item_id: str
    rank: int


bundle = Bundle.load(BUNDLE)
stepper = Stepper(bundle)
cluster, session = connect(Settings(cassandra=CASSANDRA))
session.execute(
    "CREATE KEYSPACE IF NOT EXISTS plain WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}"
)
session.execute("CREATE TABLE IF NOT EXISTS plain.users (user_id text PRIMARY KEY, representation blob, state blob)")
upsert = session.prepare("INSERT INTO plain.users (user_id, representation, state) VALUES (?, ?, ?)")

app = faust.App(
    f"plain-{time.time_ns()}",
    broker=f"kafka://{BROKER}",
    store="memory://",
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    topic_partitions=4,
)
events = app.topic(TOPIC, key_type=str, value_type=Event)
evaluations = app.topic("plain.evaluations", value_type=Evaluation)
states: dict[str, tuple[Any, Any, int]] = {}


async def written(response: Any) -> None:
    """Wait for a response of the Cassandra driver, whose callbacks run in another thread."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    response.add_callbacks(
        lambda rows: loop.call_soon_threadsafe(done.set_result, None),
        lambda error: loop.call_soon_threadsafe(done.set_exception, error),
    )
    await done


@app.agent(events)
async def update(stream: faust.Stream[Any]) -> None:
    async for event in stream.events():
        e = event.value
        state, representation, last_ms = states.get(
            e.user_id, (bundle.initial_state[None], bundle.initial_representation[None], -1)
        )
        item = np.array([bundle.item_index.get(e.item_id, 0)], np.int64)
        action = np.array([bundle.action_index.get(e.action, 0)], np.int64)
        gap_ms = np.array([-1 if last_ms < 0 else max(0, e.event_time_ms - last_ms)], np.int64)
        rank = stepper.rank(bundle.queries(representation, state), item)
        state, representation = stepper.step(StepInputs(item, action, gap_ms, {}), state)
        states[e.user_id] = (state, representation, e.event_time_ms)
        write = written(session.execute_async(upsert, (e.user_id, representation.tobytes(), state.tobytes())))
        message = event.message
        name = f"{message.topic}-{message.partition}-{message.offset}"
        await evaluations.send(value=Evaluation(id=name, user_id=e.user_id, item_id=e.item_id, rank=int(rank[0])))
        await write


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "error", "--without-web"]
    app.main()
