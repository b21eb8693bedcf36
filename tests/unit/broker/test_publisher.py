"""What a publisher makes of a result."""

import sys

from streams.broker.publisher import Publisher
from streams.config.settings import Settings
from tests.support.processing import ITEMS, MemoryStore, feed, processor, record


def test_names_of_what_was_published_are_let_go() -> None:
    log = [record(n, f"user-{n}", "i1", f"e{n}", n) for n in range(50)]
    result = feed(processor(), MemoryStore(), log, 1)
    publisher = Publisher(Settings(), "group", "gru-1", ITEMS)
    names = [event.user_id for event in result.columns.event] + result.rows.user_id
    before = [sys.getrefcount(name) for name in names]
    for _ in range(3):
        assert (len(list(publisher.evaluations(result))), len(list(publisher.updates(result)))) == (50, 50)
    assert [sys.getrefcount(name) for name in names] == before
