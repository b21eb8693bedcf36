"""The programs of docs/clients beside a real worker: producers, readers of updates and readers of rows."""

import itertools
import json
import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.record.memory_records import MemoryRecords

from export.runtime.bundle import Bundle
from streams.broker.partitioners.rules import murmur2_partition
from streams.local import LocalServices
from streams.store.store import open_store
from tests.support.deployment import SHOP_ITEMS, Deployment, event
from tests.tools.clients import TOOLS, Programs, missing_tools, prepare, wait_for

NAMES = ["plain", "zoë", "用户", "a/b", "😀", 'quo"ted \\', "x" * 300, *(f"{number:03}" for number in range(30))]
EVENTS = 3  # of each user
NOT_COMPRESSED, GZIP = 0, 1  # the codec in the attributes of a record batch
ABORTED_STEPS = 999
LONG_TEXT = "ü" * 60_000  # in one event of each language: a record may have up to 256 KiB

Vectors = dict[str, tuple[int, bytes]]  # by user id, the steps and the little-endian floating-point numbers


class Live:
    """A deployment to which the programs of every language have sent events, and which has erased one user of each."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.deployment, self.folder = deployment, folder
        self.programs: dict[str, Programs] = {}
        self.stored: Vectors = {}


def users_of(language: str) -> list[str]:
    return [f"{language}-{name}" for name in NAMES]


def erased_user(language: str) -> str:
    return f"{language}-zoë"


def events_of(language: str) -> str:
    """Return the events of the language's users as lines of JSON."""
    items = itertools.cycle(SHOP_ITEMS)
    events = [
        event(f"e{number}", user, next(items), time_ms=10**12 + number)
        for number in range(EVENTS)
        for user in users_of(language)
    ]
    events[0]["unknown"] = LONG_TEXT
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in events)


def require(live: Live, language: str) -> Programs:
    """Return the programs of the language. Skips the test where a tool is missing, and fails on CI."""
    if missing := missing_tools(language):
        reason = f"no {' and '.join(missing)} on the PATH: install what is missing to run docs/clients/{language}"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return live.programs[language]


@pytest.fixture(scope="module")
def live(services: LocalServices, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("clients")
    live = Live(Deployment(services, bundle, folder), folder)
    settings, languages = live.deployment.settings, [name for name in TOOLS if not missing_tools(name)]
    with ThreadPoolExecutor() as pool:
        building = {language: pool.submit(prepare, language, folder) for language in languages}
        worker = live.deployment.worker()
        worker.start()
        live.programs = {language: built.result() for language, built in building.items()}

        def produce(language: str) -> str:
            to = (settings.broker, settings.behavior_topic)
            return live.programs[language].run("produce", *to, given=events_of(language))

        printed = dict(zip(languages, pool.map(produce, languages), strict=True))
    assert printed == {language: f"{EVENTS * len(NAMES)} events sent\n" for language in languages}
    live.deployment.wait_until_committed()
    send_and_abort_updates(live)
    live.deployment.send([(erased_user(language).encode(), None) for language in languages])
    live.deployment.wait_until_committed()
    live.stored = stored_vectors(live.deployment)
    yield live
    worker.stop()


def send_and_abort_updates(live: Live) -> None:
    """Write updates in a transaction that is aborted, to the partitions where the erasures' null values will follow."""
    settings, bundle_id = live.deployment.settings, live.deployment.bundle.bundle_id
    producer = KafkaProducer(bootstrap_servers=settings.broker, transactional_id=f"{settings.group}-aborted")
    producer.init_transactions()
    producer.begin_transaction()
    for language in live.programs:
        user = erased_user(language)
        partition = murmur2_partition(user.encode(), settings.partitions)
        update = {"user_id": user, "bundle_id": bundle_id, "steps": ABORTED_STEPS, "representation": "AAAAAA=="}
        key, value = f"{bundle_id}/{user}".encode(), json.dumps(update).encode()
        producer.send(settings.updates_topic, key=key, value=value, partition=partition)
    producer.flush()
    producer.abort_transaction()
    producer.close()


def stored_vectors(deployment: Deployment) -> Vectors:
    """Return what Cassandra holds for each user."""
    store = open_store(deployment.settings, deployment.bundle)
    found = {row.user_id: (row.steps, row.representation.astype("<f4").tobytes()) for row in store.users.scan()}
    store.close()
    return found


def packed(vector: list[float]) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


@pytest.mark.parametrize("language", TOOLS)
def test_events_come_to_the_partition_of_their_user_and_are_applied(live: Live, language: str) -> None:
    require(live, language)
    settings = live.deployment.settings
    wanted = [json.loads(line) for line in events_of(language).splitlines()]
    records = [r for r in live.deployment.records(settings.behavior_topic) if r.key.decode() in users_of(language)]
    sent = [r for r in records if r.value is not None]
    assert sorted(map(str, (json.loads(r.value) for r in sent))) == sorted(map(str, wanted))
    assert {r.partition - murmur2_partition(r.key, settings.partitions) for r in sent} == {0}
    assert all(r.key.decode() == json.loads(r.value)["user_id"] for r in sent)
    expected = dict.fromkeys(set(users_of(language)) - {erased_user(language)}, EVENTS)
    assert {user: steps for user, (steps, _) in live.stored.items() if user in users_of(language)} == expected
    assert [letter for letter in live.deployment.dead_letters() if letter.key.decode() in users_of(language)] == []
    for user in expected:  # a user's events keep the order in which they were sent
        assert [json.loads(r.value)["event_id"] for r in sent if r.key.decode() == user] == ["e0", "e1", "e2"]


@pytest.mark.parametrize("language", TOOLS)
def test_batches_are_compressed_by_gzip_and_from_a_producer_with_idempotence(
    live: Live, services: LocalServices, language: str
) -> None:
    """A client may leave a batch as it is where gzip does not make the batch smaller."""
    require(live, language)
    settings, users, codecs = live.deployment.settings, set(users_of(language)), set()
    records = live.deployment.records(settings.behavior_topic)
    erasures = {(r.partition, r.offset) for r in records if r.value is None}  # by Thalweg, which has another codec
    for path in services.data_dir.rglob(f"{settings.behavior_topic}-*/*.log"):
        partition = int(path.parent.name.rpartition("-")[2])
        for batch in MemoryRecords(path.read_bytes()):
            if (partition, batch.base_offset) not in erasures and next(iter(batch)).key.decode() in users:
                codecs.add(batch.compression_type)
                assert batch.producer_id >= 0
    assert GZIP in codecs
    assert codecs <= {NOT_COMPRESSED, GZIP}


@pytest.mark.parametrize("language", TOOLS)
def test_updates_give_the_stored_vectors_to_the_last_bit(live: Live, language: str) -> None:
    settings, bundle = live.deployment.settings, live.deployment.bundle.bundle_id
    erased = {f"{bundle}/{erased_user(name)}" for name in live.programs}
    programs = require(live, language)

    def table(lines: list[Any]) -> dict[str, Any]:
        return {line["key"]: line for line in lines}

    def is_complete(lines: list[Any]) -> bool:
        last = table(lines)
        steps = {key: line["steps"] for key, line in last.items() if line["vector"] is not None}
        return erased <= last.keys() - steps.keys() and steps == {
            f"{bundle}/{user}": of_user for user, (of_user, _) in live.stored.items()
        }

    to = (settings.broker, settings.updates_topic)
    with programs.following("updates", *to, log=live.folder / f"{language}.updates") as lines:
        read = wait_for(lines, is_complete)
    assert all(line["steps"] != ABORTED_STEPS for line in read if line["vector"]), "a transaction was aborted"
    last = table(read)
    found = {line["user_id"]: (line["steps"], packed(line["vector"])) for line in last.values() if line["vector"]}
    assert found == live.stored
    assert {line["bundle_id"] for line in last.values() if line["vector"]} == {bundle}


@pytest.mark.parametrize("language", TOOLS)
def test_a_row_is_read_by_cql_to_the_last_bit(live: Live, language: str) -> None:
    programs, settings = require(live, language), live.deployment.settings
    host, port = settings.cassandra.rsplit(":", 1)
    for user in (f"{language}-用户", erased_user(language)):
        found = json.loads(programs.run("vector", host, port, settings.keyspace, user))
        vector = None if found["vector"] is None else packed(found["vector"])
        assert (found["user_id"], found["bundle_id"]) == (user, live.deployment.bundle.bundle_id)
        assert (found["steps"], vector) == live.stored.get(user, (0, None))


def test_the_state_of_every_user_is_that_of_the_events(live: Live) -> None:
    """The rows are those that the events of all languages give, applied once each and in order."""
    verified = live.deployment.verify()
    assert verified.clean, verified.mismatches
    assert verified.users == len(live.stored) > 0
