"""Ids of the stream: a page goes on after its last message, or begins anew where that cannot be."""

import pytest

from streams.serve.live.ring import Ring, framed


def filled(messages: int, size: int = 5) -> Ring:
    ring = Ring("ab12", size)
    for number in range(1, messages + 1):
        ring.add("status", b"%d" % number)
    return ring


@pytest.mark.parametrize(
    ("last", "expected"),
    [(9, []), (8, [b"9"]), (4, [b"5", b"6", b"7", b"8", b"9"]), (3, None), (0, None)],
)
def test_the_ring_gives_all_messages_after_one_or_says_that_some_are_gone(
    last: int, expected: list[bytes] | None
) -> None:
    found = filled(9).since(last)
    assert (None if found is None else [message.data for message in found]) == expected


def test_a_ring_that_is_not_full_has_all_messages_from_the_beginning() -> None:
    found = filled(2).since(0)
    assert found is not None
    assert [message.number for message in found] == [1, 2]
    assert Ring("ab12", 5).since(0) == []


@pytest.mark.parametrize("text", ["", "3", "ab12", "ab12-", "ab12-10", "ab12--3", "cd34-3", "ab12-3 ", "ab12-3\n"])
def test_an_id_of_another_server_or_of_the_future_names_no_message(text: str) -> None:
    assert filled(9).number_of(text) is None


def test_an_id_names_its_message() -> None:
    ring = filled(9)
    assert [ring.number_of(ring.id_of(number)) for number in (0, 3, 9)] == [0, 3, 9]


def test_a_message_has_the_format_of_server_sent_events() -> None:
    assert framed("ab12-3", "status", b'{"a":1}') == b'id: ab12-3\nevent: status\ndata: {"a":1}\n\n'


def test_a_message_may_change_as_soon_as_there_is_a_newer_one() -> None:
    ring = Ring("ab12", 5)
    ring.add("status", b"[1]", b"[]")
    assert [one.data for one in ring.since(0) or []] == [b"[1]"]
    ring.add("alarms", b"2")
    ring.add("status", b"[3]", b"[]")
    assert [one.data for one in ring.since(0) or []] == [b"[]", b"2", b"[3]"]
