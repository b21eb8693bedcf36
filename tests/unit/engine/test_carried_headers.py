"""The headers of outputs stand in the order of the outputs, and belong to the records that caused the outputs."""

from itertools import islice

from streams.engine.carried_headers import NO_SOURCES, Headers, evaluation_headers, update_headers
from streams.engine.outputs import OutputEncoder
from tests.support.processing import ITEMS, MemoryStore, feed, processor, record


def trace(name: str) -> Headers:
    return [("traceparent", name.encode())]


# b has two events in a trace, a has one of two, and the erasure of gone is in a trace.
LOG = [
    record(0, "a", "i1", "0", 50),
    record(1, "b", "i1", "1", 50),
    record(2, "gone", "i2", "2", 50),
    record(3, "b", "i3", "3", 60),
    record(4, "gone", None, "", 0),
    record(5, "a", "i2", "5", 70),
    record(6, "c", "i2", "6", 70),
]
SOURCES = {(0, offset): trace(str(offset)) for offset in (0, 1, 3, 4)} | {(1, 6): trace("another partition")}


def test_an_evaluation_event_carries_the_headers_of_its_event() -> None:
    scored = feed(processor(), MemoryStore(), LOG, 1)
    events = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1).evaluations(scored)
    found = zip(events, evaluation_headers(scored, SOURCES), strict=True)
    assert [(key, headers) for (_, key, _), headers in found] == [
        (b"a", trace("0")),
        (b"b", trace("1")),
        (b"gone", []),
        (b"b", trace("3")),
        (b"a", []),
        (b"c", []),
    ]


def test_an_update_carries_the_headers_of_its_users_last_event_that_has_some() -> None:
    scored = feed(processor(), MemoryStore(), LOG, 1)
    updates = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1).updates(scored)
    found = zip(updates, update_headers(scored, "gru-1", SOURCES), strict=True)
    assert [(key, headers) for (_, key, _), headers in found] == [
        (b"gru-1/gone", trace("4")),
        (b"gone", trace("4")),
        (b"gru-1/a", trace("0")),
        (b"gru-1/b", trace("3")),
        (b"gru-1/c", []),
    ]


def test_without_traces_no_output_has_headers() -> None:
    scored = feed(processor(), MemoryStore(), LOG, 1)
    assert list(islice(evaluation_headers(scored, NO_SOURCES), 3)) == [[], [], []]
    assert list(islice(update_headers(scored, "gru-1", NO_SOURCES), 3)) == [[], [], []]
