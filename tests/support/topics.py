"""Events and records of the topics that one test has for itself."""

import asyncio
import json
import time
from typing import Any

from streams.broker.topic_reader import read_topic
from streams.config.settings import Settings

TOPIC_SETTINGS = [
    "behavior_topic",
    "dead_letter_topic",
    "updates_topic",
    "evaluation_topic",
    "metrics_topic",
    "alarms_topic",
    "predictions_topic",
    "comparisons_topic",
]
NOW_MS = int(time.time() * 1000)


def keyed_event(user: str, number: int) -> tuple[bytes, bytes]:
    """Return the key and the value of a behaviour event, whose event time is `number` ms after NOW_MS."""
    fields = {"event_id": f"{user}-{number}", "user_id": user, "item_id": "i1", "action": "view"}
    return user.encode(), json.dumps(fields | {"event_time_ms": NOW_MS + number}).encode()


def read_all(settings: Settings, topic: str) -> list[Any]:
    """Return all records of a topic, one partition after the other."""

    async def read() -> list[Any]:
        return [record async for records in read_topic(settings, topic) for record in records]

    return asyncio.run(read())
