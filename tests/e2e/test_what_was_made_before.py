"""A bundle, topics with the offsets of their group, and a keyspace of commit afb58ec still work.

The folder `before_rooms` holds all of them, and its README says how they were made. Each test restores them and
compares the result of this version with the result of that commit.

Two things cannot be restored. Kafka gives a new topic another id, so the restored row of `sources` gets the new id.
Cassandra does not show deleted rows, so the deletions of erased users are missing.
"""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata
from numpy.typing import NDArray

from export.runtime.bundle import Bundle
from export.runtime.inputs import StepInputs
from export.runtime.stepper import Stepper
from streams.broker.topics import broker_admin, describe_topic
from streams.commands.dead_letters.contents import read_contents
from streams.config.settings import Settings
from streams.contracts.dead_letters import BUNDLE_HEADER, EPOCH_HEADER, REASON_HEADER
from streams.contracts.fields import record_id
from streams.contracts.representation_updates import decode_vector
from streams.engine.arena import StoredUser
from streams.engine.outputs import OutputEncoder
from streams.local import LocalServices
from streams.store.protocol.cluster import connect
from streams.store.store import open_store
from streams.worker.source import Source
from tests.support.deployment import Deployment

FOLDER = Path(__file__).parent / "before_rooms"
TOPICS = json.loads((FOLDER / "topics.json").read_bytes())
KEYSPACE = json.loads((FOLDER / "keyspace.json").read_bytes())
EXPECTED = json.loads((FOLDER / "expected.json").read_bytes())
# The records keep their timestamps. A broker deletes records after a week by default, and it refuses records of which
# its own clock says that they lie an hour ahead.
ANY_AGE = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)}
# Float32 as another processor or another size of batch rounds it.
NEAR = {"rtol": 1e-6, "atol": 1e-6}
FORESEEN = {"rel": 1e-4, "abs": 1e-6}  # sums and exponentials of the heads' float32
TIME_MS = "expected_gap_ms"  # a time that the heads foresee, rounded to whole milliseconds
# A worker of this version adds these tables.
LATER_TABLES = {"behavior_topic", "mappings", "migrations", "pending_erasures", "promotions", "stored_positions"}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.load(FOLDER / "bundle")


class Restored(Deployment):
    """The deployment as that commit left it, under its own names: the names stand in the ids of its outputs."""

    def __init__(self, services: LocalServices, bundle: Bundle, folder: Path) -> None:
        self.folder = folder
        self.bundle = bundle
        self.settings = Settings(**services.client_settings, bundle=str(bundle.path.absolute()), **TOPICS["settings"])

    def restore(self, committed: dict[str, int]) -> None:
        """committed: the group's offsets, by partition."""
        self._restore_topics()
        self._restore_offsets(committed)
        self._restore_keyspace()

    def _restore_topics(self) -> None:
        topics = TOPICS["topics"]
        wanted = {
            name: {
                "num_partitions": topic["partitions"],
                "replication_factor": 1,
                "configs": {**ANY_AGE, **topic["configs"]},
            }
            for name, topic in topics.items()
        }
        with broker_admin(self.settings) as admin:
            admin.create_topics(wanted)
            admin.wait_for_topics(list(wanted))
        producer = KafkaProducer(bootstrap_servers=self.settings.broker)
        for name, topic in topics.items():
            for record in topic["records"]:
                producer.send(
                    name,
                    key=_bytes(record["key"]),
                    value=_bytes(record["value"]),
                    headers=[(header, _bytes(value)) for header, value in record.get("headers", ())],
                    partition=record["partition"],
                    timestamp_ms=record["timestamp_ms"],
                )
        producer.flush()
        producer.close()
        for name, topic in topics.items():
            assert [_content(record) for record in self.records(name)] == [_made(record) for record in topic["records"]]
        offsets = [(record.partition, record.offset) for record in self.records(self.settings.behavior_topic)]
        assert offsets == [(r["partition"], r["offset"]) for r in topics[self.settings.behavior_topic]["records"]]

    def _restore_offsets(self, committed: dict[str, int]) -> None:
        topic, its_group = self.settings.behavior_topic, TOPICS["offsets"]["group"]
        assert self.settings.consumer_group_id(self.bundle.bundle_id) == its_group, (
            "this version reads as another consumer group"
        )
        describe_topic(self.settings, topic, its_group)  # returns when the broker knows the offsets of groups
        offsets = {TopicPartition(topic, int(p)): OffsetAndMetadata(at, "", -1) for p, at in committed.items()}
        with broker_admin(self.settings) as admin:
            admin.alter_group_offsets(its_group, offsets)
        found = describe_topic(self.settings, topic, its_group).committed
        assert found == {int(partition): at for partition, at in committed.items()}

    def _restore_keyspace(self) -> None:
        """By the statements of that commit: this version then finds its tables there, or it does not."""
        topic_id = describe_topic(self.settings, self.settings.behavior_topic).topic_id
        cluster, session = connect(self.settings)
        for statement in KEYSPACE["statements"]:
            session.execute(statement)
        for table, rows in KEYSPACE["tables"].items():
            for made in rows:
                row = made["row"] | ({"topic_id": str(topic_id)} if table == "sources" else {})
                insert = f"INSERT INTO {self.settings.keyspace}.{table} JSON %s DEFAULT UNSET"
                written = "" if made["written"] is None else f" USING TIMESTAMP {made['written']}"
                session.execute(insert + written, [json.dumps(row)])
        cluster.shutdown()

    def tables(self) -> dict[str, list[Any]]:
        """Every row of every table of the keyspace, in the order of its JSON text."""
        keyspace = self.settings.keyspace
        cluster, session = connect(self.settings)
        names = session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", [keyspace])
        found = {}
        for (name,) in list(names):
            rows = [json.loads(text) for (text,) in session.execute(f"SELECT JSON * FROM {keyspace}.{name}")]
            found[name] = sorted(rows, key=_text)
        cluster.shutdown()
        return found

    def users(self) -> dict[str, StoredUser]:
        """Every stored user as a worker of this version would restore it."""
        store = open_store(self.settings, self.bundle)
        encoder = OutputEncoder(self.settings.behavior_topic, self.bundle.bundle_id, 0, places=0, share=1)
        Source(self.settings, self.bundle, store, encoder).refresh()
        rows = list(store.users.scan())
        store.close()
        damaged = [row for row in rows if not isinstance(row, StoredUser)]
        assert damaged == []
        return {row.user_id: row for row in rows if isinstance(row, StoredUser)}

    def remove(self) -> None:
        """Take everything away, so that all can be restored once more under the same names.

        The group's offsets go with the topic.
        """
        with broker_admin(self.settings) as admin:
            admin.delete_topics(list(TOPICS["topics"]), raise_errors=False)
        cluster, session = connect(self.settings)
        session.execute(f"DROP KEYSPACE IF EXISTS {self.settings.keyspace}", timeout=60)
        cluster.shutdown()


@pytest.fixture(params=["committed", "committed_earlier"])
def restored(
    services: LocalServices, bundle: Bundle, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Restored]:
    """committed: as the last worker left the group's offsets when it was stopped in order.

    committed_earlier: as the worker before left them. The group is then where a kill of the last worker before its
    first commit would have left it: behind the rows that are stored and behind the outputs that are published.
    """
    deployment = Restored(services, bundle, tmp_path)
    try:
        deployment.restore(TOPICS["offsets"][request.param])
        yield deployment
    finally:
        deployment.remove()


def test_a_bundle_made_before_loads_under_its_id(bundle: Bundle) -> None:
    assert bundle.bundle_id == EXPECTED["bundle_id"] == TOPICS["offsets"]["group"].removeprefix("before-")


def test_the_graphs_of_a_bundle_made_before_give_what_they_gave(bundle: Bundle) -> None:
    kept, widths = EXPECTED["graphs"], bundle.manifest
    item, action, gap_ms, next_item = (np.array(kept[k], np.int64) for k in ("item", "action", "gap_ms", "next_item"))
    stepper = Stepper(bundle, on_cpu=True)
    state, representation = stepper.step(
        StepInputs(item, action, gap_ms, {}), _floats(kept["state"], widths.state_width)
    )
    np.testing.assert_allclose(state, _floats(kept["next_state"], widths.state_width), **NEAR)
    before = _floats(kept["representation"], widths.representation_width)
    np.testing.assert_allclose(representation, before, **NEAR)
    ranks, probability, mixture = stepper.predict(before, next_item)
    assert ranks.tolist() == kept["rank"]
    np.testing.assert_allclose(probability, _floats(kept["action_probability"], probability.shape[1]), **NEAR)
    np.testing.assert_allclose(mixture, _floats(kept["time_mixture"], mixture.shape[1]), **NEAR)


def test_a_worker_goes_on_from_topics_and_a_keyspace_made_before(restored: Restored) -> None:
    settings = restored.settings
    lag = describe_topic(settings, settings.behavior_topic, TOPICS["offsets"]["group"]).lag
    again = lag - EXPECTED["verified_before"]["not_committed"]  # records whose rows are stored and not committed
    assert _counts(restored) == _kept_counts("verified_before") | {"not_committed": lag}
    assert _letters(restored) == EXPECTED["letters_before"]

    worker = restored.worker()
    worker.start()
    try:
        restored.wait_until_committed()
        metrics = worker.scrape()
    finally:
        worker.stop()

    assert metrics is not None
    old = EXPECTED["worker"]
    assert metrics.total("thalweg_rebuilt_users_total") == 0, "a row that was stored before counts as damaged"
    assert [metrics.records(outcome) for outcome in ("applied", "dead_letter", "erased", "already_applied")] == [
        old["applied"],
        old["dead_letter"],
        old["erased"],
        old["already_applied"] + again,
    ]
    assert _counts(restored) == _kept_counts("verified_after")
    _compare_users(restored)
    _compare_updates(restored)
    _compare_evaluations(restored)
    _compare_dead_letters(restored)
    _compare_other_tables(restored)


def _compare_users(restored: Restored) -> None:
    """Each user's row is the one that a worker of that commit left after the same records."""
    users, expected = restored.users(), EXPECTED["users"]
    assert users.keys() == expected.keys()
    for user_id, user in users.items():
        kept = expected[user_id]
        names = ("partition", "offset", "steps", "last_time_ms", "last_item")
        assert {name: getattr(user, name) for name in names} == {name: kept[name] for name in names}, user_id
        assert [str(digest) for digest in user.recent] == kept["recent"], user_id
        np.testing.assert_allclose(user.state, _floats(kept["state"], 0)[0], err_msg=user_id, **NEAR)
        np.testing.assert_allclose(user.representation, _floats(kept["representation"], 0)[0], err_msg=user_id, **NEAR)


def _compare_updates(restored: Restored) -> None:
    """The last update of each user, which may be one made before, tells the user's stored row."""
    users, topic = restored.users(), restored.settings.behavior_topic
    last = {record.key: record.value for record in restored.records(restored.settings.updates_topic)}
    assert last[b"gone"] is last[b"leaves"] is None, "an update of an erased user is left under the key of before"
    updates = {user_id: update for user_id, update in restored.last_updates().items() if update is not None}
    assert updates.keys() == users.keys()
    for user_id, update in updates.items():
        user = users[user_id]
        assert (update.bundle_id, update.steps, update.event_time_ms, _with_epoch(update.source)) == (
            EXPECTED["bundle_id"],
            user.steps,
            user.last_time_ms,
            record_id(topic, 0, user.partition, user.offset),
        )
        np.testing.assert_array_equal(decode_vector(update.representation), user.representation)


def _compare_evaluations(restored: Restored) -> None:
    """Each applied event has its one evaluation, and the later ones say what that commit said of the same events."""
    topic = TOPICS["topics"][restored.settings.evaluation_topic]
    before = [json.loads(_bytes(record["value"]) or b"")["id"] for record in topic["records"]]
    later = {_with_epoch(evaluation["id"]): evaluation for evaluation in EXPECTED["evaluations"]}
    found = [msgspec.to_builtins(evaluation) for evaluation in restored.evaluations()]
    assert sorted(evaluation["id"] for evaluation in found) == sorted([*before, *later])
    for evaluation in found:
        if (kept := later.get(evaluation["id"])) is not None:
            assert evaluation | {"id": kept["id"]} == {
                name: pytest.approx(value, **FORESEEN) if isinstance(value, float) or name == TIME_MS else value
                for name, value in kept.items()
            }


def _compare_dead_letters(restored: Restored) -> None:
    """The dead-letter topic holds what that commit put there, apart from reasons, epochs and bundles."""
    found = [_content(letter) for letter in restored.dead_letters()]
    expected = [_made(letter) for letter in EXPECTED["dead_letters"]]
    assert sorted(map(_comparable, found)) == sorted(map(_comparable, expected))
    assert _letters(restored) == EXPECTED["letters_after"]


def _compare_other_tables(restored: Restored) -> None:
    """All tables that were there are there, and a worker writes no row of these tables but those of users anew."""
    tables = restored.tables()
    assert tables.keys() == KEYSPACE["tables"].keys() | LATER_TABLES
    for name in [name for name in KEYSPACE["tables"] if not name.startswith("representations_")]:
        kept = [made["row"] for made in KEYSPACE["tables"][name]]
        compared = {column for row in kept for column in row} - ({"topic_id"} if name == "sources" else set())
        found, kept = ([{k: row[k] for k in compared} for row in rows] for rows in (tables[name], kept))
        assert sorted(found, key=_text) == sorted(kept, key=_text), name


def _counts(restored: Restored) -> dict[str, Any]:
    """What `thalweg verify` finds of that what it found then, but for differences that are below its tolerance."""
    found = msgspec.to_builtins(restored.verify())
    return {name: found[name] for name in _kept_counts("verified_before")}


def _kept_counts(name: str) -> dict[str, Any]:
    return {count: value for count, value in EXPECTED[name].items() if count != "max_abs_diff"}


def _letters(restored: Restored) -> dict[str, int]:
    contents = read_contents(restored.settings)
    return {"dead_letters": contents.dead_letters, "erased": contents.erased}


def _content(record: Any) -> tuple[Any, ...]:
    """What a record holds, but for its offset: in topics written in transactions markers take offsets as well."""
    return record.partition, record.timestamp, record.key, record.value, tuple(record.headers)


def _made(record: dict[str, Any]) -> tuple[Any, ...]:
    """`_content` of a record of the fixture."""
    headers = tuple((name, _bytes(value)) for name, value in record.get("headers", ()))
    return record["partition"], record["timestamp_ms"], _bytes(record["key"]), _bytes(record["value"]), headers


def _comparable(content: tuple[Any, ...]) -> tuple[Any, ...]:
    partition, _, key, value, headers = content
    left_out = (REASON_HEADER, EPOCH_HEADER, BUNDLE_HEADER)
    return partition, key, value, tuple(header for header in headers if header[0] not in left_out)


def _with_epoch(name: str) -> str:
    """The id of a record as this version writes the id. That commit wrote no epoch."""
    topic, *numbers = name.split("-")
    return record_id(topic, 0, *map(int, numbers[-2:]))


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _floats(text: str, width: int) -> NDArray[np.float32]:
    """(n, width) float32; a width of 0 stands for all in one row."""
    values = np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    return values.reshape(-1, width or len(values))


def _text(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)
