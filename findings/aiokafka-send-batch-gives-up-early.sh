#!/usr/bin/env bash
# aiokafka 0.14.0: `AIOKafkaProducer.send_batch` gives up long before `request_timeout_ms`, where several calls wait for
# the same partition.
#
# Expected: a call that waits for its partition raises KafkaTimeoutError after `request_timeout_ms` at the earliest.
# Behaviour: the accumulator subtracts the time since the *beginning* of the call from the rest of the timeout after
#   every wait. The call loses 0.1 s, then 0.2 s, then 0.3 s and so on, instead of 0.1 s each time.
# Why it matters: a program that publishes several record batches to one partition fails after a short absence of the
#   broker. Where a broker was frozen for 5 s, a timeout of 30 s is used up by the seventh lost wait.
#
# The script drives the accumulator that `send_batch` waits in (`MessageAccumulator.add_batch`), with 20 callers and a
# sender that takes one batch each 0.1 s. Every caller has its turn within 2 s, and the timeout is 3 s.
# Output seen on 2026-11-28: "12 of 20 calls gave up, the first one after 0.8 s of 3.0 s"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiokafka==0.14.0
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import time

from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.structs import TopicPartition

CALLERS, EVERY_S, TIMEOUT_S = 20, 0.1, 3.0
PARTITION = TopicPartition("topic", 0)


class OneNode:
    """The part of the cluster's metadata that the accumulator asks: node 0 leads every partition."""

    def leader_for_partition(self, partition):
        return 0


async def main():
    accumulator = MessageAccumulator(OneNode(), 16384, 0, 300)
    gave_up_after_s = []

    async def send():
        builder = accumulator.create_builder()
        builder.append(timestamp=None, key=None, value=b"value")
        builder.close()
        began_s = time.monotonic()
        try:
            await accumulator.add_batch(builder, PARTITION, TIMEOUT_S)
        except KafkaTimeoutError:
            gave_up_after_s.append(time.monotonic() - began_s)

    calls = [asyncio.create_task(send()) for _ in range(CALLERS)]
    while not all(call.done() for call in calls):
        await asyncio.sleep(EVERY_S)
        accumulator.drain_by_nodes(ignore_nodes=())
    first_s = min(gave_up_after_s, default=None)
    print(f"{len(gave_up_after_s)} of {CALLERS} calls gave up, the first one after {first_s or 0:.1f} s of {TIMEOUT_S} s")
    assert first_s is not None and first_s < TIMEOUT_S / 2, "the calls waited as long as they may: the finding is over"


asyncio.run(main())
PYTHON
