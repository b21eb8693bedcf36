"""Runs `thalweg worker` and stops it (SIGTERM) during its first join, while it also waits.

The argument names what the worker waits for: `metadata` of the cluster, `own` (a transactional producer that does not
start) or `refresh` (a request to Kafka or Cassandra that is not answered).
"""

import asyncio
import os
import signal
import sys
import time
from typing import Any

from streams.broker.consumer import BatchConsumer
from streams.broker.publisher import Publisher
from streams.cli import main
from streams.worker.source import Source

SETTLE_S = 0.2  # until the thread of the consumer stops and waits for the join
UNANSWERED_S = 600.0
TOLD_TO_STOP = "told to stop"  # the line of the log before the signal


def stop_this_worker() -> None:
    print(TOLD_TO_STOP, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)


def wait_for_an_owner() -> None:
    """Make the worker stop itself when it begins to own partitions, which then takes for ever."""

    async def own(self: Any, partitions: Any) -> None:
        stop_this_worker()
        await asyncio.sleep(UNANSWERED_S)

    Publisher.own = own


def wait_for_an_answer() -> None:
    """Make the worker stop itself when it asks for the epoch, which then takes for ever."""

    def refresh(self: Any) -> None:
        stop_this_worker()
        time.sleep(UNANSWERED_S)

    Source.refresh = refresh


def wait_for_metadata() -> None:
    """Make the worker stop itself in its first callback for revoked partitions."""
    original = BatchConsumer.on_partitions_revoked
    was_told = False

    async def revoked(self: Any, partitions: Any) -> None:
        nonlocal was_told
        if not was_told:
            was_told = True
            stop_this_worker()
            thread, client = self._thread, self._thread._consumer._client
            while not thread._stopped.is_set():  # noqa: ASYNC110  # another thread sets it, without an event
                await asyncio.sleep(0)
            await asyncio.sleep(SETTLE_S)
            while client._md_update_fut is None:  # An update may begin and end while this thread does not run.
                thread.thread_loop.call_soon_threadsafe(client.force_metadata_update)
                await asyncio.sleep(0.001)
        await original(self, partitions)

    BatchConsumer.on_partitions_revoked = revoked


if __name__ == "__main__":
    {"metadata": wait_for_metadata, "own": wait_for_an_owner, "refresh": wait_for_an_answer}[sys.argv[1]]()
    sys.exit(main(["worker"]))
