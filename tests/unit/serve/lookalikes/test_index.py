"""The look-alike index beside a search over plain arrays."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from export.runtime.bundle import Bundle
from streams.config.settings import Settings
from streams.contracts.representation_updates import RepresentationUpdate, update_keys
from streams.serve.lookalikes import index as module
from streams.serve.lookalikes.follower import LookalikeFollower
from streams.serve.lookalikes.index import LookalikeIndex
from tests.support.bundles import tiny_bundle

WIDTH = 6


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_USERS", 16)  # so that a hundred users take several blocks


def expected(vectors: dict[str, np.ndarray], query: np.ndarray, count: int) -> tuple[list[str], np.ndarray]:
    users = list(vectors)
    rows = np.stack([vectors[user] for user in users])[:, :WIDTH].astype(np.float64)
    wanted = query[:WIDTH].astype(np.float64)
    cosine = rows @ wanted / np.linalg.norm(rows, axis=1) / np.linalg.norm(wanted)
    order = np.argsort(-cosine, kind="stable")[:count]
    return [users[place] for place in order], cosine[order]


def assert_nearest(index: LookalikeIndex, vectors: dict[str, np.ndarray], query: np.ndarray, count: int) -> None:
    users, cosine = expected(vectors, query, count)
    (found,) = index.nearest([query], count)
    assert found.user_id == users
    np.testing.assert_allclose(found.cosine, cosine, rtol=1e-5, atol=1e-6)


def test_users_are_the_nearest_after_any_order_of_changes() -> None:
    rng = np.random.default_rng(0)
    index, vectors = LookalikeIndex(WIDTH), dict[str, np.ndarray]()
    for _ in range(60):
        names = [f"user-{number}" for number in rng.integers(0, 120, 12)]
        drawn = rng.normal(size=(12, WIDTH + 3)).astype(np.float32)
        index.put(names, drawn)
        vectors |= dict(zip(names, drawn, strict=True))
        for number in rng.integers(0, 120, 5).tolist():
            index.remove(f"user-{number}")
            vectors.pop(f"user-{number}", None)
        assert len(index) == len(vectors)
        assert_nearest(index, vectors, rng.normal(size=WIDTH + 3).astype(np.float32), 10)
    assert len(index) > 3 * 16
    queries = list(rng.normal(size=(3, WIDTH)).astype(np.float32))
    together = index.nearest(queries, 7)
    for query, one in zip(queries, together, strict=True):
        assert one.user_id == expected(vectors, query, 7)[0]


def test_components_behind_the_width_change_nothing() -> None:
    index = LookalikeIndex(WIDTH)
    index.put(["a", "b"], np.float32([[1] * WIDTH + [900, -900], [1] * (WIDTH - 1) + [0, 0, 0]]))
    (found,) = index.nearest([np.float32([2] * WIDTH + [-5, 5])], 2)
    assert found.user_id == ["a", "b"]
    assert found.cosine[0] == pytest.approx(1)


def test_fewer_users_than_wanted_and_none_at_all_are_answers() -> None:
    index = LookalikeIndex(WIDTH)
    assert index.nearest([np.ones(WIDTH, np.float32)], 5)[0].user_id == []
    index.put(["a"], np.ones((1, WIDTH), np.float32))
    assert index.nearest([np.ones(WIDTH, np.float32)], 5)[0].user_id == ["a"]
    index.remove("a")
    index.remove("a")
    assert index.nearest([np.ones(WIDTH, np.float32)], 5)[0].user_id == []


def test_a_user_who_is_missing_in_a_later_reading_is_forgotten() -> None:
    """Compaction has deleted the user's updates and the tombstone while nobody read the topic."""
    index, draw = LookalikeIndex(4), np.random.default_rng(5)
    vectors = {f"u{n}": draw.normal(size=4).astype(np.float32) for n in range(40)}
    index.begin_reading()
    index.put(list(vectors), np.stack(list(vectors.values())))
    index.end_reading()
    assert len(index) == 40
    index.begin_reading()
    left = {name: vector for name, vector in vectors.items() if name not in ("u0", "u17", "u39")}
    index.put(["u39"], vectors["u39"][None])
    index.remove("u39")
    index.put(list(left), np.stack(list(left.values())))
    index.end_reading()
    assert_nearest(index, left, vectors["u0"], 50)


def test_a_full_index_leaves_new_users_out_and_says_so() -> None:
    index = LookalikeIndex(WIDTH, most_users=2)
    index.put(["a", "b"], np.eye(2, WIDTH, dtype=np.float32))
    assert not index.is_full
    index.put(["c", "a"], np.eye(2, WIDTH, 1, dtype=np.float32))
    assert index.is_full
    (found,) = index.nearest([np.eye(1, WIDTH, 2, dtype=np.float32)[0]], 3)
    assert found.user_id == ["a", "b"], "a known user still moves"


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None


def update(bundle: Bundle, user_id: str, vector: np.ndarray) -> Record:
    value = RepresentationUpdate(user_id, bundle.bundle_id, vector.astype("<f4").tobytes(), 1, 2, "topic-0-0-1")
    return Record(update_keys(bundle.bundle_id, [user_id])[0], msgspec.json.encode(value))


def test_a_follower_keeps_the_last_update_of_each_user_of_its_bundles(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "own")
    other = tiny_bundle(tmp_path / "other", seed=1)
    follower = LookalikeFollower(Settings(), [bundle], lambda _: Settings().updates_topic)
    width = bundle.manifest.representation_width
    a, b, c = np.eye(3, width, dtype=np.float32)
    key = update_keys(bundle.bundle_id, ["x/y"])[0]
    follower.apply([update(bundle, "x/y", a), update(bundle, "u", b), update(other, "foreign", a)])
    follower.apply([Record(b"u", None), Record(None, b"{}"), Record(b"older", update(bundle, "older", a).value)])
    follower.apply([Record(key, b"no update"), update(bundle, "short", a[:4])])
    index = follower.indexes[bundle.bundle_id]
    assert index.width == width - 3, "the three counters do not count"
    assert index.nearest([a], 9)[0].user_id == ["x/y", "u"]
    follower.apply([update(bundle, "x/y", c), update(bundle, "x/y", b), Record(key, None), update(bundle, "v", a)])
    assert sorted(index.nearest([a], 9)[0].user_id) == ["u", "v"]
    follower.apply([Record(f"{bundle.bundle_id}/".encode() + b"\xff", None)])
    follower.apply([Record(key, None), update(bundle, "x/y", a)])
    assert sorted(index.nearest([a], 9)[0].user_id) == ["u", "v", "x/y"]
    assert follower.age_ms is None
