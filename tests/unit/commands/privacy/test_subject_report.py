"""Rows and records as values of the document of `thalweg subject`."""

from datetime import datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from streams.commands.dead_letters.originals import LetterRecord
from streams.commands.subject.report import NotLookedAt, SubjectReport, held_record, readable_row

ROW = {
    "user_id": "ann",
    "bundle_id": "gru-a",
    "representation": np.array([0.5, -1.0], ">f4").tobytes(),
    "recent_items": np.array([2, 1, -1], ">i4").tobytes(),
    "bought_items": None,
    "steps": 3,
    "written_at": datetime(2026, 11, 29, 12, 0),
    "state": b"\x02\xff",
}


def test_a_row_of_a_bundle_that_is_at_hand_names_its_items() -> None:
    found = readable_row("representations_2", ROW, {"gru-a": ["", "shoe", "hat"]})
    assert found["representation"] == [0.5, -1.0]
    assert found["recent_items"] == ["hat", "shoe", None]
    assert found["bought_items"] is None
    assert found["state"] == {"base64": "Av8="}
    assert found["written_at"] == "2026-11-29T12:00:00Z"
    msgspec.json.encode(found)


def test_a_row_of_another_bundle_keeps_the_numbers_of_its_items() -> None:
    assert readable_row("representations_2", ROW, {"gru-b": ["", "shoe"]})["recent_items"] == [2, 1, -1]


def test_bytes_that_are_no_text_stay_bytes() -> None:
    headers = [("h", None)]
    record = SimpleNamespace(topic="t", partition=1, offset=2, timestamp=3, key=b"ann", value=b"\xff", headers=headers)
    found = held_record(record, "dead letter", certain=False)
    assert (found.key, found.value, found.headers) == ("ann", {"base64": "/w=="}, [("h", None)])
    assert not found.certain


def test_a_decrypted_dead_letter_is_shown_with_its_topic() -> None:
    letter = LetterRecord(1, 2, 3, b"ann", b"no JSON", [("h", None)])
    found = held_record(letter, "dead letter", topic="events.dlq")
    assert (found.topic, found.key, found.value, found.offset) == ("events.dlq", "ann", "no JSON", 2)


@pytest.mark.parametrize(
    ("kind", "is_complete"), [("failed", False), ("open", False), ("deleted", True), ("unlikely", True)]
)
def test_only_what_could_have_been_read_makes_a_report_incomplete(kind: Any, is_complete: bool) -> None:
    missed = NotLookedAt("x", kind, "y")
    report = SubjectReport(user_id="ann", stored_id="ann", asked_at_ms=0, not_looked_at=[missed])
    assert report.is_complete == is_complete
