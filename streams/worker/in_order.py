"""What is in flight, and the order in which batches finish."""

import asyncio
from collections.abc import Callable
from typing import Literal

# Batches that are processed and not stored: one batch is scored and one batch is stored while the next one is
# processed. Where the store is slow, a fourth batch had better wait and grow (docs/decisions.md#batches-in-flight).
BATCHES_TO_STORE = 3
# Batches that are processed and not acknowledged. Stored batches wait for their updates here.
BATCHES_IN_FLIGHT = 1_000
# Events that are processed and not acknowledged: about a second of work. More would lengthen a rebalance.
EVENTS_IN_FLIGHT = 64_000

Stage = Literal["publish", "write", "update"]
STAGES: tuple[Stage, ...] = ("publish", "write", "update")
Finished = dict[Stage, asyncio.Future[None]]


class InFlight:
    """Counts batches between processing and acknowledgement.

    A processed batch gets the next number. Rows are stored in the order of the numbers.
    """

    def __init__(self) -> None:
        self._started = 0  # the number of the last batch whose processing has begun
        self.processed = 0  # the number of the last batch whose states are in the arena
        self.stored = 0  # the number of the last batch whose rows are stored
        self._events: dict[object, int] = {}  # by batch in flight
        self._changed = asyncio.Event()

    @property
    def batches(self) -> int:
        """The number of batches in flight."""
        return len(self._events)

    def start(self) -> int:
        """The processing of a batch begins, on the processor's thread. Returns the number of the batch."""
        self._started = self.processed + 1
        return self._started

    def begin(self, batch: object, events: int) -> None:
        """A processed batch with this number of events is on its way to the acknowledgement."""
        self._events[batch] = events

    def on_stored(self) -> None:
        """The rows of the next batch in the order of the numbers are stored."""
        self.stored += 1
        self._changed.set()

    def end(self, batch: object) -> None:
        """The batch is acknowledged, was dropped, or has failed."""
        self._events.pop(batch, None)
        self._changed.set()

    async def room(self) -> None:
        """Return when another batch may be drawn."""
        await self.until(
            lambda: (
                self._started - self.stored < BATCHES_TO_STORE
                and self.batches < BATCHES_IN_FLIGHT
                and sum(self._events.values()) < EVENTS_IN_FLIGHT
            )
        )

    async def stored_beyond(self, number: int) -> None:
        """Return when the rows of a batch behind this number are stored."""
        await self.until(lambda: self.stored > number)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds. The condition is checked whenever a batch is stored or acknowledged."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()


class InOrder:
    """Lets batches work side by side, and finish each stage in the order in which the batches were entered."""

    def __init__(self) -> None:
        self._last: Finished = {}
        self._of: dict[object, tuple[Finished, Finished]] = {}  # by batch: the batch before, and the batch itself

    def enter(self, batch: object) -> None:
        """Put the batch behind all batches that were entered before."""
        loop = asyncio.get_running_loop()
        finished: Finished = {stage: loop.create_future() for stage in STAGES}
        self._of[batch] = self._last, finished
        self._last = finished

    async def finish(self, batch: object, stage: Stage) -> None:
        """Return when every batch before has finished the stage. The stage then is finished for this batch as well."""
        before, finished = self._of[batch]
        if stage in before:
            await before[stage]
        finished[stage].set_result(None)
        if stage == STAGES[-1]:
            del self._of[batch]

    def fail(self, batch: object, error: BaseException) -> None:
        """Let every batch behind this one fail with the same error, at the first stage that is not finished here."""
        _, finished = self._of.pop(batch, ({}, {}))
        for future in finished.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # Without a batch behind, nobody awaits the future, and nothing is to be logged.
