"""`thalweg rekey` is killed and stopped while a producer writes, and every line stands once in the topic by user."""

import asyncio
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from encoder.data.mapping import load_mapping
from export.runtime.bundle import Bundle
from streams.broker.partitioners.rules import PARTITIONERS
from streams.broker.topics import broker_admin, describe_topic, ensure_topic
from streams.commands.rekey import rekey
from streams.health.rights.kafka_rights import dead_letter_topic, rekey_id
from streams.local import LocalServices
from tests.support.deployment import Deployment, environment_of
from tests.support.mapped.segment import Call, calls, records

MOST, PART, USERS, RATE = 60_000, 1_000, 40, 2_000.0
KILLS = 4
SEEN_WITHIN_S, ENDS_WITHIN_S = 20.0, 5.0


@pytest.fixture
def deployment(services: LocalServices, bundle: Bundle, tmp_path: Path) -> Deployment:
    made = Deployment(services, bundle, tmp_path)
    ensure_topic(made.settings, target_of(made), 3)  # the source has 4 partitions
    return made


class Run:
    """A process of the command."""

    def __init__(self, deployment: Deployment, *options: str) -> None:
        self._source, self._target = deployment.settings.behavior_topic, target_of(deployment)
        self._settings = deployment.settings
        command = [sys.executable, "-m", "streams.cli", "rekey", self._source, "--mapping", "segment"]
        self.process = subprocess.Popen(
            [*command, "--to", self._target, *options],
            env=environment_of(deployment.settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def lag(self) -> int:
        return describe_topic(self._settings, self._source, rekey_id(self._source, self._target)).lag

    def end(self, number: signal.Signals, code: int) -> tuple[str, str, float]:
        """Send a signal. Return what the process wrote, and how long the end took, in seconds."""
        begun_s = time.monotonic()
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SEEN_WITHIN_S)
        assert self.process.returncode == code, out + err
        return out, err, time.monotonic() - begun_s


@pytest.fixture
def start(deployment: Deployment) -> Iterator[Callable[..., Run]]:
    """Return a function that starts a run. The runs end with the test."""
    runs: list[Run] = []

    def started(*options: str) -> Run:
        runs.append(Run(deployment, *options))
        return runs[-1]

    yield started
    for run in runs:
        run.process.kill()
        run.process.wait()


def target_of(deployment: Deployment) -> str:
    return f"{deployment.settings.behavior_topic}.keyed"


def written(deployment: Deployment) -> int:
    """Return the end of the target, with the records of transactions that are open or aborted."""
    return sum(describe_topic(deployment.settings, target_of(deployment)).end_offsets.values())


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at_s = time.monotonic() + SEEN_WITHIN_S
    while not holds():
        assert time.monotonic() < give_up_at_s, f"not so after {SEEN_WITHIN_S} s"
        time.sleep(0.02)


def test_no_line_is_lost_or_written_twice_when_the_command_is_killed(
    deployment: Deployment, start: Callable[..., Run]
) -> None:
    log, draw, killed = calls(MOST, USERS, 500, foreign=0.02), random.Random(7), threading.Event()
    sent: list[Call] = []

    def send() -> None:
        while not killed.is_set() and len(sent) < MOST:
            part = log[len(sent) : len(sent) + PART]
            deployment.send(records(part), RATE)
            sent.extend(part)

    sending = threading.Thread(target=send)
    sending.start()
    for _ in range(KILLS):
        before, run = written(deployment), start("--follow")
        wait_until(lambda before=before: written(deployment) > before)
        time.sleep(draw.uniform(0, 0.3))
        run.end(signal.SIGKILL, -signal.SIGKILL)
    assert sending.is_alive(), "the last kill came after the load, so the test shows nothing"
    run = start("--follow")
    killed.set()
    sending.join()
    wait_until(lambda: run.lag() == 0)
    out, err, took_s = run.end(signal.SIGTERM, 0)
    assert "records: " in out
    assert err == ""
    assert took_s < ENDS_WITHIN_S
    check_target(deployment, sent)


def check_target(deployment: Deployment, log: list[Call]) -> None:
    """Every user has the lines of the user's records once, in their order, under the user's key."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    for call in log:
        if call.events:
            wanted.setdefault(call.user, []).extend(lines_of(call.value))
    found: dict[str, list[tuple[str, str]]] = {}
    for record in deployment.records(target_of(deployment)):
        event = msgspec.json.decode(record.value)
        assert record.key == event["user_id"].encode()
        found.setdefault(event["user_id"], []).append((event["event_id"], event["item_id"]))
    repeated = [one for one, times in Counter(pair for pairs in found.values() for pair in pairs).items() if times > 1]
    assert repeated == []
    assert found == wanted
    letters = Counter(
        record.value for record in deployment.records(dead_letter_topic(deployment.settings.behavior_topic))
    )
    assert letters == Counter(call.value for call in log if call.events is None)


def lines_of(value: bytes) -> list[tuple[str, str]]:
    """Return the id of the event and the product of each line of a call."""
    call = msgspec.json.decode(value)
    products = call["properties"].get("products")
    if products is None:
        return [(call["messageId"], call["properties"]["product_id"])]
    return [(f"{call['messageId']}#{n}", line["product_id"]) for n, line in enumerate(products, 1)]


def test_a_second_process_ends_the_first_one(deployment: Deployment, start: Callable[..., Run]) -> None:
    """The second one begins at once. The first one ends at its next record, and nothing is written twice."""
    log = calls(900, USERS, 500)
    first = start("--follow")
    deployment.send(records(log[:300]))
    wait_until(lambda: written(deployment) > 0 and first.lag() == 0)
    second = start()  # without --follow, it ends when it has read what is there
    out, err = second.process.communicate(timeout=SEEN_WITHIN_S)
    assert second.process.returncode == 0, err
    assert "0 records" in out
    deployment.send(records(log[300:600]))
    out, err = first.process.communicate(timeout=SEEN_WITHIN_S)
    assert first.process.returncode == 1
    assert "another `thalweg rekey` of these topics has begun" in err
    assert len(err.splitlines()) == 1, err[:6000]
    last = start("--follow")
    deployment.send(records(log[600:]))
    wait_until(lambda: last.lag() == 0)
    assert last.end(signal.SIGINT, 0)[1] == ""
    check_target(deployment, log)


def test_added_partitions_are_read_and_written(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle command also commits now and then, and so keeps its offsets."""
    monkeypatch.setattr(rekey, "CHECK_S", 0.5)
    source, target, log = deployment.settings.behavior_topic, target_of(deployment), calls(400, USERS, 500)
    ensure_topic(deployment.settings, dead_letter_topic(source), 1)
    rule, places = PARTITIONERS["murmur2"], rekey.Places(3, 1)
    command = rekey.Rekey(deployment.settings, source, target, load_mapping("segment"), rule, places)

    def events() -> int:
        return len(deployment.records(target))

    async def run() -> None:
        running = asyncio.create_task(command.run(follow=True))
        with broker_admin(deployment.settings) as admin:
            admin.create_partitions({source: 6, target: 5})
        await asyncio.sleep(2.5)
        await asyncio.to_thread(deployment.send, records(log))
        give_up_at_s = time.monotonic() + SEEN_WITHIN_S
        while await asyncio.to_thread(events) < sum(call.events or 0 for call in log):
            assert time.monotonic() < give_up_at_s, running
            await asyncio.sleep(0.2)
        command.stop()
        await running

    asyncio.run(run())
    check_target(deployment, log)
    described = describe_topic(deployment.settings, source, command.group)
    assert described.lag == 0
    assert set(described.committed) == set(range(6))
    assert {record.partition for record in deployment.records(target)} == set(range(5))
