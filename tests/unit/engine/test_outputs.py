"""The encoder of outputs keeps no reference to what it has encoded."""

import sys

from streams.engine.outputs import OutputEncoder
from tests.support.processing import ITEMS, MemoryStore, feed, processor, record


def test_user_ids_of_published_outputs_have_no_more_references() -> None:
    log = [record(n, f"user-{n}", "i1", f"e{n}", n) for n in range(50)]
    result = feed(processor(), MemoryStore(), log, 1)
    encoder = OutputEncoder("events", "gru-1", ITEMS, share=1)
    names = [event.user_id for event in result.applied.event] + result.rows.user_id
    before = [sys.getrefcount(name) for name in names]
    for _ in range(3):
        assert (len(list(encoder.evaluations(result))), len(list(encoder.updates(result)))) == (50, 50)
    assert [sys.getrefcount(name) for name in names] == before
