"""The encoder of outputs names the incarnation of the topic, and keeps no reference to what it has encoded."""

import sys

import msgspec
import numpy as np

from streams.contracts.dead_letters import decode_headers
from streams.contracts.representation_updates import RepresentationUpdate, decode_items
from streams.engine.epochs import EpochView
from streams.engine.outputs import OutputEncoder
from tests.support.processing import ITEMS, MemoryStore, feed, processor, record

LOG = [
    record(0, "a", "i1", "x", 50),
    record(1, "gone", "i1", "y", 50),
    record(2, "gone", None, "", 0),
    record(3, "b", "i1", "z", 50)._replace(key=b"c"),
]


def outputs_in(view: EpochView) -> dict[str, list[str]]:
    """Return every id of the outputs of LOG, as a worker in that epoch writes them."""
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    encoder.use_epoch(view)
    result = feed(processor(), MemoryStore(), LOG, 1)
    values = [msgspec.json.decode(value or b"") for _, _, value in encoder.evaluations(result)]
    letters = [decode_headers(letter.headers) for letter in encoder.dead_letters(result)]
    return {
        "id": [value["id"] for value in values],
        "source": [msgspec.json.decode(value)["source"] for _, _, value in encoder.updates(result) if value],
        "epoch": [headers["thalweg-epoch"] for headers in letters],
    }


def test_an_update_lists_bought_items_also_where_the_bundle_knows_no_recent_items() -> None:
    result = feed(processor(), MemoryStore(), LOG[:1], 1)
    result = msgspec.structs.replace(result, state=np.array([[7, 3, 0, 0.5]], np.float32))
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1, bought_places=3)
    [(_, _, value)] = encoder.updates(result)
    update = msgspec.json.decode(value or b"", type=RepresentationUpdate)
    assert decode_items(update.bought_items or b"").tolist() == [7, 3, -1]
    assert (update.recent_items, update.recent_scores) == (None, None)


def test_ids_name_the_first_epoch_of_the_incarnation() -> None:
    first = outputs_in(EpochView(0, frozenset({0})))
    assert first == {
        "id": ["events-0-0-0", "events-0-0-1"],
        "source": ["events-0-0-0"],
        "epoch": ["0", "0"],  # a dead letter and an erasure marker
    }
    made_again = outputs_in(EpochView(2, frozenset({2})))
    assert made_again == {"id": ["events-2-0-0", "events-2-0-1"], "source": ["events-2-0-0"], "epoch": ["2", "2"]}


def test_a_replay_after_partitions_were_added_gives_the_same_ids() -> None:
    assert outputs_in(EpochView(1, frozenset({0, 1}))) == outputs_in(EpochView(0, frozenset({0})))
    assert outputs_in(EpochView(4, frozenset({2, 3, 4}))) == outputs_in(EpochView(2, frozenset({2})))


def test_the_key_of_an_update_holds_the_bundle_and_a_tombstone_also_takes_the_older_key() -> None:
    """Two bundles share one compacted topic. A key of the user alone would keep one vector of the two."""
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    updates = encoder.updates(feed(processor(), MemoryStore(), LOG, 1))
    assert [(key, value is None) for _, key, value in updates] == [
        (b"gru-1/gone", True),
        (b"gone", True),
        (b"gru-1/a", False),
    ]


def test_an_erasure_takes_no_update_of_another_user() -> None:
    """The first user id reads as the key of the update of ann."""
    users = ["gru-0f3a5c7e9b1d/ann", "google/42", "gru-1/ann"]
    log = [record(offset, user, None, "", 0) for offset, user in enumerate(users)]
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    assert [key for _, key, _ in encoder.updates(feed(processor(), MemoryStore(), log, 1))] == [
        b"gru-1/gru-0f3a5c7e9b1d/ann",
        b"gru-1/google/42",
        b"google/42",
        b"gru-1/gru-1/ann",
        b"gru-1/ann",  # no bundle has such a short id
    ]


def test_user_ids_of_published_outputs_have_no_more_references() -> None:
    log = [record(n, f"user-{n}", "i1", f"e{n}", n) for n in range(50)]
    result = feed(processor(), MemoryStore(), log, 1)
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1)
    names = [event.user_id for event in result.applied.event] + result.rows.user_id
    before = [sys.getrefcount(name) for name in names]
    for _ in range(3):
        assert (len(list(encoder.evaluations(result))), len(list(encoder.updates(result)))) == (50, 50)
    assert [sys.getrefcount(name) for name in names] == before
