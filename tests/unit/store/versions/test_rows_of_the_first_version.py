"""Rows and records that a worker of the first version (commit 3129244a) left, read by this version.

`first_version.json` holds the bytes as Cassandra and Kafka held them, and what that version read of its own rows.
A later version must not make the file anew: what that version reads of itself proves nothing.
"""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from streams.contracts.dead_letters import decode_headers, epoch_of
from streams.contracts.evaluation_events import EvaluationEvent
from streams.contracts.representation_updates import RepresentationUpdate, decode_vector
from streams.engine.state_cell import decode_state, owner_crc

KEPT = json.loads((Path(__file__).parent / "first_version.json").read_text())
ROWS = {row["user_id"]: row for row in KEPT["rows"]}


@pytest.mark.parametrize("user_id", ROWS)
def test_a_row_is_read_as_the_first_version_read_it(user_id: str) -> None:
    row, expected = ROWS[user_id], ROWS[user_id]["expected"]
    owner = owner_crc(KEPT["bundle_id"].encode(), user_id.encode())
    state = decode_state(owner, kept(row["representation"]), kept(row["cell"]), KEPT["state_width"])
    assert {name: getattr(state, name) for name in ("partition", "offset", "steps", "last_time_ms", "last_item")} == {
        name: expected[name] for name in ("partition", "offset", "steps", "last_time_ms", "last_item")
    }
    assert [str(digest) for digest in state.recent] == expected["recent"]
    np.testing.assert_array_equal(state.state, np.frombuffer(kept(expected["state"]), "<f4"))
    vector = np.frombuffer(kept(row["representation"]), ">f4")
    np.testing.assert_array_equal(vector, np.frombuffer(kept(expected["vector"]), "<f4"))


def test_an_update_names_the_row_of_its_user() -> None:
    values = [update["value"] for update in KEPT["updates"] if update["value"] is not None]
    assert len(values) > 1
    for value in values:
        update = msgspec.json.decode(kept(value), type=RepresentationUpdate)
        assert update.bundle_id == KEPT["bundle_id"]
        expected = np.frombuffer(kept(ROWS[update.user_id]["expected"]["vector"]), "<f4")
        if update.steps == ROWS[update.user_id]["expected"]["steps"]:
            np.testing.assert_array_equal(decode_vector(update.representation), expected)


def test_evaluation_events_and_dead_letters_are_read() -> None:
    for record in KEPT["evaluations"]:
        assert msgspec.json.decode(kept(record["value"]), type=EvaluationEvent).bundle_id == KEPT["bundle_id"]
    headers = [decode_headers([(name, kept(value)) for name, value in one["headers"]]) for one in KEPT["dead_letters"]]
    assert [epoch_of(one) for one in headers] == [0] * len(headers)
    assert len(headers) > 1, "a broken record, and the marker of an erasure"


def kept(text: Any) -> bytes:
    return base64.b64decode(text)
