"""The events of the benchmark, and the topics that hold them."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from export.exporter import export_model
from export.runtime.bundle import Bundle
from streams.broker.topics import ensure_topics
from streams.commands.replay.producer import Replay
from streams.config.settings import Settings
from streams.local import LocalServices
from tests.support.bundles import tiny_model, vocabulary_of

ITEMS, WIDTH, USERS = 5_000, 64, 20_000
TOPICS = tuple(field for field in Settings.__struct_fields__ if field.endswith("_topic"))
UserAt = Callable[[random.Random, int], int]
RIVAL_EVENTS = "bench.rivals.events"  # the same events with the name that the rivals expect for the time
RIVAL_OUTPUTS = ("evalout-faust", "evalout-quix", "evalout-bw", "evalout-ks", "plain.evaluations")


def events(
    count: int,
    users: int = USERS,
    items: int = ITEMS,
    time_field: str = "event_time_ms",
    user_at: UserAt | None = None,
    part: str = "",
) -> Iterator[tuple[bytes, bytes]]:
    """Yield key and value of each event, the same for the same arguments.

    Users and items are drawn uniformly, so that a cache cannot help. `user_at` chooses the user of the i-th event
    instead. `part` is the beginning of the events' ids, which tells apart several calls for one topic.
    """
    draw = random.Random(0)
    start_ms = int(time.time() * 1000) - 86_400_000
    for i in range(count):
        user = f"user-{draw.randrange(users) if user_at is None else user_at(draw, i)}"
        value = {
            "event_id": f"{part}{i:012d}",
            "user_id": user,
            "item_id": f"item-{draw.randrange(items)}",
            "action": ("view", "cart", "purchase")[i % 3],
            time_field: start_ms + i,
        }
        yield user.encode(), msgspec.json.encode(value)


def bundle(
    folder: Path, items: int = ITEMS, is_whole: bool = False, for_gpu: bool = False, has_purchases: bool | None = None
) -> Bundle:
    """Export a GRU of width 64, as the rivals have it, or with all parts that `thalweg train` and `export` add by
    default. has_purchases: whether the state lists bought items, by default that of a whole model."""
    model = tiny_model(items, WIDTH, hidden=WIDTH, is_whole=is_whole)
    vocabulary = vocabulary_of([f"item-{i}" for i in range(items)])
    purchases = None if has_purchases or (has_purchases is None and is_whole) else ()
    return export_model(model, vocabulary, folder, for_gpu=for_gpu, purchases=purchases)


def named(settings: Settings, name: str) -> Settings:
    """Return the settings with a group, a keyspace and topics of this name."""
    topics = {field: f"{name}.{field.removesuffix('_topic')}" for field in TOPICS}
    return msgspec.structs.replace(settings, group=name, keyspace=name, **topics)


def prepare(services: LocalServices, folder: Path, count: int) -> Settings:
    """Send `count` events for Thalweg and the same events for the rivals. Returns the settings of Thalweg."""
    settings = Settings(broker=services.kafka.address, cassandra=services.cassandra.address, bundle=str(folder))
    ensure_topics(settings)
    for name in (*RIVAL_OUTPUTS, RIVAL_EVENTS):
        ensure_topics(msgspec.structs.replace(settings, evaluation_topic=name))
    Replay(settings, settings.behavior_topic).run(events(count))
    Replay(settings, RIVAL_EVENTS).run(events(count, time_field="ts"))
    return settings
