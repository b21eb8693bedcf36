"""Runs `thalweg worker` and stops it (SIGTERM) during its first join, while it also waits for metadata."""

import asyncio
import os
import signal
import sys
from typing import Any

from streams.broker.consumer import BatchConsumer
from streams.cli import main

SETTLE_S = 0.2  # until the thread of the consumer stops and waits for the join


def arm() -> None:
    """Make the worker stop itself in its first callback for revoked partitions."""
    original = BatchConsumer.on_partitions_revoked
    was_told = False

    async def revoked(self: Any, partitions: Any) -> None:
        nonlocal was_told
        if not was_told:
            was_told = True
            os.kill(os.getpid(), signal.SIGTERM)
            thread, client = self._thread, self._thread._consumer._client
            while not thread._stopped.is_set():  # noqa: ASYNC110  # another thread sets it, without an event
                await asyncio.sleep(0)
            await asyncio.sleep(SETTLE_S)
            thread.thread_loop.call_soon_threadsafe(client.force_metadata_update)
            while client._md_update_fut is None:  # noqa: ASYNC110  # another thread sets it, without an event
                await asyncio.sleep(0)
        await original(self, partitions)

    BatchConsumer.on_partitions_revoked = revoked


if __name__ == "__main__":
    arm()
    sys.exit(main(["worker"]))
