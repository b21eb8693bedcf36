"""A new bundle while traffic flows: shadow, promote, roll back and retire, while clients ask without a pause."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from export.runtime.bundle import Bundle
from streams import cli
from streams.broker.clients import open_producer
from streams.broker.offsets.group_offsets import count_members
from streams.broker.topics import ensure_monitor_topics, topic_exists
from streams.commands.bundles.retire import Retirement
from streams.commands.bundles.standing import open_bundles
from streams.config.settings import Settings
from streams.contracts.comparisons import BundleComparison, comparison_key
from streams.contracts.representation_updates import decode_vector
from streams.demo.worker_process import WorkerProcess, settings_variables
from streams.local import LocalServices
from streams.store.store import open_store
from tests.faults.serving import CLIENTS, SEEN_WITHIN_S, USERS, Client, Truth
from tests.support.bundles import tiny_bundle
from tests.support.deployment import Deployment, event, record, run_thalweg, shopping
from tests.tools.serving import started

BEFORE_S, AFTER_S = 0.7, SEEN_WITHIN_S  # in which clients ask before and after a switch
SETTLED_WITHIN_S = 20.0


class Pair(NamedTuple):
    """The first bundle and the new bundle on the same topics and keyspace, and the process of `thalweg shadow`."""

    old: Deployment
    new: Deployment
    challenger: WorkerProcess

    @property
    def ids(self) -> tuple[str, str]:
        return self.old.bundle.bundle_id, self.new.bundle.bundle_id


@pytest.fixture(scope="module")
def third(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_bundle(tmp_path_factory.mktemp("third"), seed=2)


@pytest.fixture(scope="module")
def pair(
    services: LocalServices, bundle: Bundle, third: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """Workers of both bundles that have applied all events. `thalweg shadow` runs those of the new bundle."""
    old = Deployment(services, bundle, tmp_path_factory.mktemp("pair"))
    new = old.with_bundle(tiny_bundle(old.folder / "new", seed=1))
    old.send(shopping(1_000, USERS))
    worker = old.worker("old")
    worker.start()
    old.wait_until_committed()
    wait_until(lambda: standing(old.settings, old.bundle.bundle_id)["state"] == "serving")
    archive = str(old.folder / "archive")
    kept = run_thalweg(old.settings, "archive", "--to", archive)
    assert kept.returncode == 0, kept.stderr
    for name, said in (("first", "1,000 events of"), ("second", "are applied already")):  # a second start goes on
        challenger = shadow(new, name, "--from", archive)
        challenger.start()
        assert said in challenger.log.read_text()
        if name == "first":
            challenger.stop()
            assert challenger.exit_code == 0, challenger.log.read_text()
    new.wait_until_committed()
    wait_until(lambda: standing(old.settings, new.bundle.bundle_id)["item_vectors"] == 500)
    yield Pair(old, new, challenger)
    for one in (worker, challenger):
        one.stop()


def shadow(new: Deployment, name: str, *arguments: str) -> WorkerProcess:
    command = (sys.executable, "-m", "streams.cli", "shadow", str(new.bundle.path), *arguments)
    return WorkerProcess(new.settings, new.folder / f"{name}.log", command)


@pytest.fixture
def thalweg(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Return a function that runs a command in this process, and returns its exit code and everything it printed."""
    for name, value in settings_variables(pair.old.settings).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: object) -> tuple[int, str]:
        code = cli.main([str(argument) for argument in arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    return run


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {SETTLED_WITHIN_S:g} s"
        time.sleep(0.2)


def standing(settings: Settings, bundle_id: str) -> dict[str, Any]:
    with open_bundles(settings) as bundles:
        found = {one.bundle_id: msgspec.to_builtins(one) for one in bundles.standings()}
    return found.get(bundle_id, {"state": None, "item_vectors": 0})


def publish_comparison(settings: Settings, champion: str, challenger: str, low: float, age_s: float = 0) -> None:
    """Publish what a monitor finds on 900 blocks of events, `age_s` ago."""
    ensure_monitor_topics(settings)
    now_ms = int((time.time() - age_s) * 1000)
    fields: dict[str, Any] = {"champion": champion, "challenger": challenger, "users": 800, "user_blocks": 900}
    fields |= {"events": 4_000, "mean_difference": low + 0.01, "low": low, "high": low + 0.02, "champion_mean": 0.79}
    fields |= {"challenger_mean": 0.8 + low, "open_events": 0, "unmatched_events": 0, "challenger_delay_ms": 0.0}
    fields |= {"champion_unknown_items": 0, "challenger_unknown_items": 0, "first_time_ms": now_ms - 10**7}
    found = BundleComparison(**fields, last_time_ms=now_ms, last_scored_at_ms=now_ms, published_at_ms=now_ms)

    async def send() -> None:
        async with open_producer(settings, "not sent") as producer:
            key, value = comparison_key(champion, challenger).encode(), msgspec.json.encode(found)
            await producer.send_and_wait(settings.comparisons_topic, value, key)

    asyncio.run(send())


def test_a_shadowed_bundle_has_rows_updates_and_workers_of_its_own(
    pair: Pair, third: Bundle, thalweg: Callable[..., tuple[int, str]]
) -> None:
    own = f"{pair.old.settings.updates_topic}.{pair.new.bundle.bundle_id}"
    code, text = thalweg("bundles", "--json")
    found = {one["bundle_id"]: one for one in json.loads(text.splitlines()[-1])["bundles"]}
    assert code == 0
    wanted = [
        (pair.old, {"alias": "champion", "state": "serving", "updates_topic": pair.old.settings.updates_topic}),
        (pair.new, {"alias": "challenger", "state": "shadow", "updates_topic": own}),
    ]
    for one, fields in wanted:
        of_both = {"rows": USERS, "rows_error": 0, "workers": 1, "lag": 0, "item_vectors": 500, "items": 500}
        assert fields | of_both == {name: found[one.bundle.bundle_id][name] for name in fields | of_both}
        store = open_store(one.settings, one.bundle)
        stored = {user.user_id: user for user in store.users.scan()}
        store.close()
        updates = one.last_updates()
        assert updates.keys() == stored.keys()
        for user_id, update in updates.items():
            assert update is not None
            assert (update.bundle_id, update.steps) == (one.bundle.bundle_id, stored[user_id].steps)
            assert (decode_vector(update.representation) == stored[user_id].representation).all()
        assert one.verify().clean
    keys = {key.partition(b"/")[0].decode() for key in (r.key for r in pair.old.records(pair.old.updates_topic()))}
    assert keys == {pair.old.bundle.bundle_id}, "readers of the first topic get no update of the challenger"
    _, shown = thalweg("bundles")
    assert "All rows were counted" in shown
    assert own in shown
    code, text = thalweg("setup", "--bundle", third.path)
    assert (code, f"made     topic {pair.old.settings.updates_topic}.{third.bundle_id}: 4 partitions" in text) == (
        0,
        True,
    )
    code, text = thalweg("shadow", third.path)
    assert code == 1
    assert f"{pair.new.bundle.bundle_id} is the challenger already" in text


def test_a_promotion_without_evidence_is_refused_and_says_what_lacks(
    pair: Pair, thalweg: Callable[..., tuple[int, str]]
) -> None:
    old, new = pair.ids
    settings = pair.old.settings

    def refusal() -> str:
        code, text = thalweg("promote", new)
        assert code == 1
        assert f"promote: refused, and {old} stays active" in text
        return text

    assert f"no comparison of {old} with {new} is published: let one `thalweg monitor` run" in refusal()
    publish_comparison(settings, new, old, low=0.1)
    assert "differs by -0.1100, and the interval from -0.1200 to -0.1000" in refusal(), "the other way round"
    publish_comparison(settings, old, new, low=-0.001)
    text = refusal()
    assert f"{new} is not shown to be better than {old}: the mrr@20 differs by +0.0090" in text
    assert "from -0.0010 to +0.0190 is not above 0, after 4,000 events of 800 users" in text
    publish_comparison(settings, new, old, low=0.01, age_s=7_300)
    publish_comparison(settings, old, new, low=0.01, age_s=7_200)
    assert "both bundles scored the last event of the comparison 120 minutes ago" in refusal()
    assert "known are" in thalweg("promote", "gru-nothing")[1]
    assert f"{old} is the active bundle already" in thalweg("promote", pair.old.bundle.path)[1]
    code, text = thalweg("rollback")
    assert (code, f"no bundle was promoted before {old}" in text) == (1, True)
    with open_bundles(settings) as bundles:
        assert bundles.aliases.history() == []


def test_answers_follow_a_promotion_and_a_rollback_and_none_is_wrong_or_mixed(
    pair: Pair, thalweg: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    old, new = pair.ids
    settings = pair.old.settings
    publish_comparison(settings, old, new, low=0.01)
    given = [argument for one in (pair.old, pair.new) for argument in ("--bundle", str(one.bundle.path))]
    server = started(settings, tmp_path / "server", "--lookalikes", *given)
    truths = {one.bundle.bundle_id: Truth(one) for one in (pair.old, pair.new)}
    clients = [Client(f"http://{server.address}", truths, seed) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    traffic = threading.Thread(target=pair.old.send, args=(shop_of_others(800), 100.0))  # rows of no asked user
    traffic.start()
    for command, before, after in (
        (["promote", new], old, new),
        (["rollback"], new, old),
        (["promote", new], old, new),
    ):
        time.sleep(BEFORE_S)
        code, text = thalweg(*command, "--json")
        switched_s = time.monotonic()
        assert code == 0, text
        outcome = json.loads(text.splitlines()[-1])
        assert (outcome["switched"], outcome["bundle_id"], outcome["replaced"]) == (True, after, before)
        time.sleep(AFTER_S)
        assert max(client.last_of.get(before, 0.0) for client in clients) - switched_s < SEEN_WITHIN_S
        assert all(client.last_of[after] > switched_s for client in clients)
    traffic.join()
    for client in clients:
        client.end()
    # Updates of the new bundle stand in the bundle's own topic, which the look-alikes and the page read.
    alike = server.ask("/v1/users/user-1/lookalikes", k=5)
    assert (alike["bundle_id"], alike["index_users"] >= USERS) == (new, True)
    wait_until(lambda: bool(server.ask("/v1/live/users/user-1")["places"]))
    assert server.ask("/v1/live/users/user-1")["bundle_id"] == new
    server.stop()
    assert [text for client in clients for text in client.wrong] == []
    counts = [client.counts for client in clients]
    assert {status for count in counts for status in count} == {"200"}
    assert min(count["200"] for count in counts) > 100
    code, text = thalweg("bundles")
    assert code == 0
    assert text.count(f"{new} in place of {old} (promote)") == 2
    assert text.count(f"{old} in place of {new} (rollback)") == 1


def shop_of_others(count: int) -> Sequence[tuple[bytes, bytes]]:
    return [record(event(f"o-{i}", f"other-{i % 50}", f"item-{1 + i % 400}")) for i in range(count)]


def test_a_bundle_that_stopped_is_refused_unless_forced_and_is_retired_at_last(
    pair: Pair, thalweg: Callable[..., tuple[int, str]]
) -> None:
    """The new bundle is active at the beginning, and retired at the end."""
    old, new = pair.ids
    settings = pair.old.settings
    pair.challenger.stop()
    pair.challenger.start()  # as a supervisor does
    assert f"shadow: {new} is the active bundle" in pair.challenger.log.read_text()
    assert f"{new} is the active bundle: promote another bundle" in thalweg("retire", new)[1]
    assert f"1 worker of {old} runs: stop all workers of the bundle first" in thalweg("retire", old)[1]
    assert thalweg("rollback")[0] == 0
    group = settings.consumer_group_id(new)
    with open_bundles(settings) as bundles:
        assert bundles.aliases.challenger() is None
    code, text = thalweg("retire", new)
    assert (code, f"1 worker of {new} runs" in text) == (1, True)
    pair.challenger.stop()
    wait_until(lambda: count_members(settings, group) == 0)
    code, text = thalweg("promote", new)
    assert code == 1
    assert f"no worker of {new} runs, so its rows fall behind" in text
    publish_comparison(settings, old, new, low=-0.5)
    code, text = thalweg("promote", new, "--force")
    assert (code, text.count("  ignored: ")) == (0, 2)
    assert thalweg("rollback")[0] == 0
    code, text = thalweg("bundles", "--json")
    forced = json.loads(text.splitlines()[-1])["history"][1]
    assert (forced["bundle_id"], forced["is_forced"]) == (new, True)
    assert len(json.loads(forced["evidence"])["ignored"]) == 2

    code, text = thalweg("retire", new)
    assert (code, "nothing is deleted: give --yes" in text) == (1, True)
    own = f"{settings.updates_topic}.{new}"
    rows = standing(settings, new)["rows"]
    for line in (
        f"rows: {rows} of",
        "item vectors: 500 of",
        f"updates: the topic {own}",
        f"the consumer group {group}",
    ):
        assert line in text
    with open_bundles(settings) as bundles:  # a command that is killed after its first step
        steps = Retirement(bundles, new).carry_out()
        assert next(steps) == f"rows: {rows} deleted"
        steps.close()
    assert standing(settings, new)["state"] == "retiring"
    assert topic_exists(settings, own)
    code, text = thalweg("shadow", pair.new.bundle.path)
    assert (code, f"bundle {new} was retired from keyspace" in text) == (1, True)
    code, text = thalweg("retire", new, "--yes")
    assert code == 0, text
    for line in ("rows: 0 deleted", "item vectors: 500 deleted", f"topic {own} deleted", f"group {group} deleted"):
        assert line in text
    found = standing(settings, new)
    assert {name: found[name] for name in ("state", "rows", "item_vectors", "lag")} == {
        **{"state": "retired", "rows": 0, "item_vectors": 0, "lag": None}
    }
    assert not topic_exists(settings, own)
    assert standing(settings, old)["rows"] == rows
    assert pair.old.verify().clean
    worker = run_thalweg(pair.new.settings, "worker")
    assert (worker.returncode, "was retired from keyspace" in worker.stderr) == (1, True)
    assert thalweg("retire", new, "--yes")[0] == 0  # a further run finds nothing
