"""Evaluation events of the simulated shop without services: the worker's own processor applies and scores the events.

The shop is that of the demo's bundle. Another number of events gives another draw from the same shop, and so another
run. The shop's time is three days, so that an hour holds about 5,000 events.
"""

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from encoder.data.simulator import Shop, faulty_records
from encoder.data.simulator.rules import PROMOTION
from export.runtime.bundle import Bundle
from export.runtime.stepper import Stepper
from streams.contracts.behavior_events import IncomingEvent
from streams.demo import shop
from streams.engine.arena import Arena
from streams.engine.codec import decode_batch
from streams.engine.outputs import OutputEncoder
from streams.engine.planning.candidates import Part
from streams.engine.processor import Processor

TOPIC = "behavior.events.v1"
DAYS = 3
EVENTS = 360_000  # of the three days
BATCH = 1_000
DRIFTS = ("none", "sale", "shuffled ids", "stopped action")


class Record(NamedTuple):
    """The fields of a Kafka record that the processor and the monitor read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes


class Stream(NamedTuple):
    """Behaviour records in order of time. drift_ms: the time from which the records differ."""

    records: list[Record]
    drift_ms: int | None
    stopped_action: str | None  # the action of "stopped action"


def simulated_stream(run: int, drift: str, until: float = 0.6, events: int = EVENTS) -> Stream:
    """One run. `until`: the share of the shop's time after which the stream ends.

    The sale begins at 0.55 of the shop's time. The other two drifts begin at 0.5.
    """
    log = Shop(shop.SEED, shop.ITEMS, shop.USERS, DAYS).simulate(events + run)
    start_ms, length_ms = int(log.time_ms[0]), int(log.time_ms[-1] - log.time_ms[0])
    days_ms = DAYS * 86_400_000
    start_ms -= start_ms % 86_400_000  # the shop's time begins with a day
    assert length_ms <= days_ms
    log = log[: int(log.time_ms.searchsorted(start_ms + until * days_ms))]
    shares = {"none": None, "sale": PROMOTION[0], "shuffled ids": 0.5, "stopped action": 0.5}
    share = shares[drift]
    drift_ms = None if share is None else start_ms + int(share * days_ms)
    choose = random.Random(run)
    shuffled = list(log.item_ids)
    choose.shuffle(shuffled)
    other = dict(zip(log.item_ids, shuffled, strict=True))
    stopped = choose.choice(log.actions)
    records: list[Record] = []
    decode = msgspec.json.Decoder(IncomingEvent).decode
    for key, value in faulty_records(log):
        event = decode(value)
        if drift_ms is not None and event.event_time_ms >= drift_ms:
            if drift == "stopped action" and event.action == stopped:
                continue
            if drift == "shuffled ids":
                value = msgspec.json.encode(msgspec.structs.replace(event, item_id=other[event.item_id]))
        records.append(Record(TOPIC, 0, len(records), event.event_time_ms, key, value))
    return Stream(records, drift_ms, stopped if drift == "stopped action" else None)


def scored(records: Sequence[Record], bundle: Bundle | None = None) -> Iterator[tuple[list[Record], list[Record]]]:
    """Apply the records in batches. Yields (evaluation records, update records) of each batch, as a worker writes them.

    The timestamp of an output is the time of its event.
    """
    bundle = bundle or Bundle.load(shop.BUNDLE)
    manifest = bundle.manifest
    arena = Arena(shop.USERS, manifest.state_width, manifest.representation_width)
    processor = Processor(bundle, Stepper(bundle, on_cpu=True), arena)
    encoder = OutputEncoder(TOPIC, bundle.bundle_id, manifest.items, manifest.recent_places, 1.0)
    evaluations = updates = 0
    for number, begin in enumerate(range(0, len(records), BATCH)):
        batch = list(records[begin : begin + BATCH])
        parts = [Part(0, batch, decode_batch(batch))]
        processor.missing(parts, number)
        result = processor.score(processor.process(parts, number))
        end_ms = batch[-1].timestamp
        times = [event.event_time_ms for event in result.applied.event]
        found = [
            Record("evaluation", 0, evaluations + i, max(time_ms, batch[0].timestamp), key or b"", value or b"")
            for i, (time_ms, (_, key, value)) in enumerate(zip(times, encoder.evaluations(result), strict=True))
        ]
        changed = [
            Record("updates", 0, updates + i, end_ms, key or b"", value or b"")
            for i, (_, key, value) in enumerate(encoder.updates(result))
        ]
        evaluations += len(found)
        updates += len(changed)
        yield found, changed
