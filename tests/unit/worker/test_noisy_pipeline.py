"""With noise, no update carries a header of a producer, and evaluation events carry theirs."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from streams.contracts.privacy.update_noise import UpdateNoise
from streams.contracts.representation_updates import read_json_update
from streams.engine.outputs import OutputEncoder
from streams.worker.intake import Batch
from streams.worker.pipeline import Pipeline
from tests.support.processing import ITEMS, WIDTH, TinyBundle, record
from tests.support.stream.running_pipeline import Running, SlowPublisher, SlowStore, run_pipeline

TRACE = [("tracestate", b"shop=item-5")]


class KeepingPublisher(SlowPublisher):
    def __init__(self) -> None:
        super().__init__()
        self.evaluation_headers: list[Any] = []
        self.updates: list[Any] = []

    def record_batches(self, outputs: Any, headers: Any) -> list[Any]:
        found = list(outputs)
        self.evaluation_headers += [one for _, one in zip(found, headers, strict=False)]
        return found

    async def update(self, updates: Any) -> None:
        self.updates += [one for records in updates.values() for one in records]


class Traced(Pipeline):
    def restore(self, batch: Batch) -> AbstractAsyncContextManager[Any]:
        batch.source_headers = {(0, 0): TRACE}
        return super().restore(batch)


@pytest.mark.parametrize("adds_noise", [False, True])
def test_only_exact_updates_carry_the_headers_of_a_trace(adds_noise: bool) -> None:
    origin = TinyBundle.initial_representation
    noise = UpdateNoise("gru-1", origin, WIDTH, 4.0, 1e-6, 1.0, bytes(range(32))) if adds_noise else None
    encoder = OutputEncoder("events", "gru-1", ITEMS, places=0, share=1, noise=noise)
    publisher = KeepingPublisher()

    async def play(running: Running) -> None:
        await running.offer(0, record(0, "u", "i1", "e", 0))
        await running.confirmed()

    run_pipeline(play, SlowStore(), publisher, make_pipeline=lambda **parts: Traced(**parts | {"encoder": encoder}))
    [(key, value, headers)] = publisher.updates
    assert (key, headers) == (b"gru-1/u", [] if adds_noise else TRACE)
    assert read_json_update(value).has_noise == adds_noise
    assert publisher.evaluation_headers == [TRACE]
